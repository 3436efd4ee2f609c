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
		fmt.Sprintf("  p50 %8.2f ms     p99 %10.2f ms   one hop %11s    two hops %s",
			ms(p50), ms(p99), group(b.hops[1]), group(b.hops[2])),
		"",
		fmt.Sprintf("  %-20s%12s%14s%16s%12s", "told", classes[0], classes[1], classes[2], classes[3]),
		tally(b.send), tally(b.rank),
		"",
		"  instance       state      started        done",
	}
	for _, i := range t.cast.instances {
		state := "up"
		if i.isDown() {
			state = "killed"
		}
		for _, p := range b.pages {
			if p.name == i.name {
				lines = append(lines, fmt.Sprintf("  %-14s %-6s %11s %11s", i.name, state, group(p.started), group(p.done)))
			}
		}
	}
	if t.chaos != nil {
		did, last, _ := strings.Cut(t.chaos.String(), " kills, ")
		lines = append(lines, "", "  "+did+" kills", "  "+last)
	}
	return lines
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
	fmt.Fprintf(&line, " p50=%.2fms p99=%.2fms", ms(p50), ms(p99))
	for _, p := range b.pages {
		if p.module != moduleWeb {
			fmt.Fprintf(&line, " %s=%d", p.name, p.done)
		}
	}
	if t.chaos != nil {
		fmt.Fprintf(&line, " (%s)", t.chaos)
	}
	return line.String()
}

// String says what chaos did.
func (x *chaos) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	text := fmt.Sprintf("chaos: seed %d, %d kills", x.seed, x.kills)
	switch {
	case x.kills == 0:
	case x.back == 0:
		text += fmt.Sprintf(", %s was killed at %.1f s", x.last, x.lastAt.Seconds())
	default:
		text += fmt.Sprintf(", %s was killed at %.1f s and was back after %d ms", x.last, x.lastAt.Seconds(), x.back.Milliseconds())
	}
	return text
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
