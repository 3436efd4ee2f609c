package demo

import (
	"fmt"
	"io"
	"strings"
)

// maxShown bounds how many lies are printed with both sides.
const maxShown = 10

// verdict is what the ledgers say about what callers were told.
type verdict struct {
	lies []lie
	// faults are reasons to trust no verdict: records that cannot be, or none at all.
	faults []string
}

// judge compares both sides of all calls. cutOff is how many processes were killed, each of which may have torn one record.
func (b *books) judge(cutOff int) verdict {
	for _, p := range b.pages {
		p.finish()
	}
	v := verdict{lies: append(b.send.lies(), b.rank.lies()...)}
	if n := b.torn(); n > cutOff {
		v.faults = append(v.faults, fmt.Sprintf("%d records of the ledgers are cut off, and %d processes were killed", n, cutOff))
	}
	if b.strange > 0 {
		v.faults = append(v.faults, fmt.Sprintf("%d records stand in a ledger that should not have them", b.strange))
	}
	if b.send.invoked == 0 {
		v.faults = append(v.faults, "nothing was called, so nothing was checked")
	}
	return v
}

// print shows the first lies with both sides.
func (v *verdict) print(to io.Writer, b *books) error {
	var text strings.Builder
	for i, l := range v.lies {
		if i == maxShown {
			fmt.Fprintf(&text, "and %d lies more\n", len(v.lies)-maxShown)
			break
		}
		fmt.Fprintf(&text, "lie: %s, call %s: %s\n", l.method, l.key, l.what)
		lines, err := b.sides(l.key)
		if err != nil {
			return err
		}
		for _, line := range lines {
			fmt.Fprintln(&text, "  ", line)
		}
	}
	_, err := io.WriteString(to, text.String())
	return err
}
