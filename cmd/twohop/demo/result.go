package demo

import (
	"fmt"
	"time"
)

// result is what --json prints. ok, not_executed, executed_error and unknown are about fishtrade.SendRocket, and add up to
// calls; one_hop and two_hop are its answers that say which nodes they crossed.
type result struct {
	Calls         int    `json:"calls"`
	OK            int    `json:"ok"`
	NotExecuted   int    `json:"not_executed"`
	ExecutedError int    `json:"executed_error"`
	Unknown       int    `json:"unknown"`
	OneHop        int    `json:"one_hop"`
	TwoHop        int    `json:"two_hop"`
	P50           uint32 `json:"p50_us"`
	P99           uint32 `json:"p99_us"`
	Lies          int    `json:"lies"`
	BadLines      int    `json:"bad_lines"`

	RankCalls   int     `json:"rank_calls"`
	RankUnknown int     `json:"rank_unknown"`
	Moved       int     `json:"moved"`
	Kills       int     `json:"kills"`      // of nodes and instances
	NodeKills   int     `json:"node_kills"` // of nodes
	Seed        uint64  `json:"seed,omitempty"`
	Seconds     float64 `json:"seconds"`
	CallsPerS   float64 `json:"calls_per_s"`
	Failed      string  `json:"failed,omitempty"` // what made the demo fail besides lies
}

// result sums the books up.
func (b *books) result(sent time.Duration) result {
	r := result{
		Calls: b.send.invoked, OK: b.send.told[classOK], NotExecuted: b.send.told[classNotExecuted],
		ExecutedError: b.send.told[classExecuted], Unknown: b.send.unknown(),
		OneHop: b.send.hops[1], TwoHop: b.send.hops[2],
		RankCalls: b.rank.invoked, RankUnknown: b.rank.unknown(), Moved: b.send.done,
		Seconds: float64(sent.Milliseconds()) / 1000,
	}
	r.P50, r.P99 = b.quantiles(0)
	if sent > 0 {
		r.CallsPerS = float64(int(float64(r.Calls)/sent.Seconds()*10)) / 10
	}
	return r
}

// words says what was checked, in lines.
func (b *books) words(v *verdict, r *result) []string {
	lines := []string{
		fmt.Sprintf("ledger: %s moves, %d lies", group(b.send.done), len(v.lies)),
		fmt.Sprintf("checked: what callers were told about %s calls of %s and %s of %s, against %d ledgers",
			group(b.send.invoked), b.send.method, group(b.rank.invoked), b.rank.method, len(b.pages)),
	}
	for _, a := range []*account{b.send, b.rank} {
		lines = append(lines, "  "+a.method)
		say := func(n int, format string, args ...any) {
			if n > 0 {
				lines = append(lines, fmt.Sprintf("    %9s %s", group(n), fmt.Sprintf(format, args...)))
			}
		}
		say(a.told[classOK], "were told OK: each started once and %s once", a.effect)
		say(a.refused(), "were told EXECUTED, above the limit: each started once, nothing %s", a.effect)
		say(a.told[classExecuted]-a.refused(), "were told EXECUTED: each started once")
		say(a.told[classNotExecuted], "were told NOT_EXECUTED: none started")
		if unknown := a.unknown(); unknown > 0 {
			ran := a.unknownStarted()
			say(unknown, "were told UNKNOWN: %s started, %s did not, none twice", group(ran), group(unknown-ran))
		}
	}
	if r.Kills > 0 {
		lines = append(lines, fmt.Sprintf("chaos killed %s and %s meanwhile",
			count(r.NodeKills, roleNode), count(r.Kills-r.NodeKills, "instance")))
	}
	if len(v.lies) > 0 {
		lines = append(lines, fmt.Sprintf("  but for %d lies", len(v.lies)))
	}
	return append(lines, fmt.Sprintf("%s calls in %.1f s: %s/s, p50 %.2f ms, p99 %.2f ms; one hop %s, two hops %s",
		group(r.Calls), r.Seconds, group(int(r.CallsPerS)), ms(r.P50), ms(r.P99), group(r.OneHop), group(r.TwoHop)))
}

// count writes a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return group(n) + " " + thing
}
