package demo

import (
	"fmt"
	"strings"
	"time"
)

// lastEnds is how many ends the table's quantiles are of.
const lastEnds = 5000

// table makes the live view out of what is in the ledgers.
type table struct {
	books *books
	cast  *cast
	chaos *chaos // nil: nobody is killed

	// What the rate is measured from.
	calls int
	at    time.Duration
	rate  float64
}

// measure takes the rate since the last call of it.
func (t *table) measure(elapsed time.Duration) {
	if elapsed > t.at {
		t.rate = float64(t.books.send.invoked-t.calls) / (elapsed - t.at).Seconds()
	}
	t.calls, t.at = t.books.send.invoked, elapsed
}

// lines returns the table.
func (t *table) lines(elapsed time.Duration) []string {
	b := t.books
	p50, p99 := b.quantiles(lastEnds)
	lines := []string{
		"",
		fmt.Sprintf("  elapsed %7.1f s    calls %11s    rate %8s/s    in flight %d",
			elapsed.Seconds(), group(b.send.invoked), group(int(t.rate)), b.send.invoked-b.send.ended),
		fmt.Sprintf("  p50 %8.2f ms   p99 %8.2f ms   one hop %11s   two hops %s",
			ms(p50), ms(p99), group(b.send.hops[1]), group(b.send.hops[2])),
		"",
		fmt.Sprintf("  %-20s%12s%14s%16s%12s", "told", classes[0], classes[1], classes[2], classes[3]),
		tally(b.send), tally(b.rank),
		"",
		fmt.Sprintf("  %-15s%-7s%26s%26s", "", "", b.send.method, b.rank.method),
		fmt.Sprintf("  %-15s%-7s%13s%13s%13s%13s", "entered at", "state", "one hop", "two hops", "one hop", "two hops"),
	}
	for _, n := range t.cast.nodes {
		send, rank := b.send.entered[n.name], b.rank.entered[n.name]
		lines = append(lines, fmt.Sprintf("  %-15s%-7s%13s%13s%13s%13s",
			n.name, n.state(), group(send[1]), group(send[2]), group(rank[1]), group(rank[2])))
	}
	lines = append(lines, "", fmt.Sprintf("  %-15s%-7s%13s%13s", "instance", "state", "started", "done"))
	for _, i := range t.cast.instances {
		for _, p := range b.pages {
			if p.name == i.name {
				lines = append(lines, fmt.Sprintf("  %-15s%-7s%13s%13s", i.name, i.state(), group(p.started), group(p.done)))
			}
		}
	}
	if t.chaos != nil {
		all, last := t.chaos.words()
		lines = append(lines, "  "+all, "  "+last)
	}
	return lines
}

// state says for people whether a part is played.
func (p *part) state() string {
	if p.isDown() {
		return "killed"
	}
	return "up"
}

func tally(a *account) string {
	var line strings.Builder
	fmt.Fprintf(&line, "  %-20s", a.method)
	for i, width := range []int{12, 14, 16, 12} {
		fmt.Fprintf(&line, "%*s", width, group(a.told[classes[i]]))
	}
	return line.String()
}

// plain returns the state as one line, for a log.
func (t *table) plain(elapsed time.Duration) string {
	b := t.books
	p50, p99 := b.quantiles(lastEnds)
	var line strings.Builder
	fmt.Fprintf(&line, "%.0fs calls=%d rate=%.0f/s", elapsed.Seconds(), b.send.invoked, t.rate)
	for _, c := range classes {
		fmt.Fprintf(&line, " %s=%d", c, b.send.told[c])
	}
	fmt.Fprintf(&line, " one_hop=%d two_hop=%d", b.send.hops[1], b.send.hops[2])
	fmt.Fprintf(&line, " p50=%.2fms p99=%.2fms", ms(p50), ms(p99))
	for _, p := range b.pages {
		if p.module != moduleWeb {
			fmt.Fprintf(&line, " %s=%d", p.name, p.done)
		}
	}
	if t.chaos != nil {
		all, last := t.chaos.words()
		if last != "" {
			last = "; " + last
		}
		fmt.Fprintf(&line, " (%s%s)", all, last)
	}
	return line.String()
}

func ms(micros uint32) float64 { return float64(micros) / 1000 }

// group writes a number with commas: 12,345.
func group(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
