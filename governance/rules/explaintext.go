package rules

import (
	"fmt"
	"strings"
)

// String explains it in lines.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s → %s.%s", orDefault(e.Caller, "(nobody)"), e.Module, e.Method)
	if e.Group != "" {
		fmt.Fprintf(&b, ", group %s", e.Group)
	}
	fmt.Fprintf(&b, ", by rules %d.%d: ", e.Mark.Epoch, e.Mark.Version)
	if e.Decided == "" {
		b.WriteString("admitted\n")
	} else {
		fmt.Fprintf(&b, "refused by %s with code %d\n", e.Decided, e.Code)
	}
	for _, f := range e.Rules {
		fmt.Fprintf(&b, "  %s, line %d, %s (%s): %s", f.ID, f.Line, f.Kind, f.Scope, f.Why)
		if f.Refuses == RefusesYes {
			b.WriteString(": refuses")
		}
		for _, part := range []struct {
			is   bool
			text string
		}{{f.Shadow, "in shadow"}, {f.Over, "has ended"}, {f.Lifted != "", "lifted by " + f.Lifted}} {
			if part.is && !strings.Contains(f.Why, part.text) {
				b.WriteString("; " + part.text)
			}
		}
		b.WriteByte('\n')
	}
	for _, s := range e.Settings {
		fmt.Fprintf(&b, "  %s = %s, from %s, line %d\n", s.Key, s.Value, s.Rule, s.Line)
	}
	return b.String()
}
