package rules

import (
	"fmt"
	"strings"
	"testing"
)

// enforced writes n rules that are enforced by servers; line says where and what.
func enforced(n int, line func(i int) string) string {
	var b strings.Builder
	b.WriteString("format: 1\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: r%d, %s}\n", i, line(i))
	}
	return b.String()
}

func TestServersAreNotToldMoreThanAFrameHolds(t *testing.T) {
	off := func(module string) func(int) string {
		return func(i int) string { return fmt.Sprintf("module: %s, method: M%d, off: {}", module, i) }
	}
	mixed := func(i int) string {
		if i%2 == 0 {
			return fmt.Sprintf("caller: c%d, off: {}", i)
		}
		return fmt.Sprintf("module: m, method: M%d, off: {}", i)
	}
	large := func(i int) string {
		return fmt.Sprintf("module: m, method: M%d, off: {fallback: \"%s\"}", i, strings.Repeat("x", 60<<10))
	}
	for name, c := range map[string]struct{ text, want string }{
		"as many as there may be":        {enforced(4096, off("m")), ""},
		"one more":                       {enforced(4097, off("m")), "with the rule r4096 there are more than 4096 that the servers of one module enforce"},
		"one more, of another module":    {enforced(4097, func(i int) string { return off(fmt.Sprintf("m%d", i%2))(i) }), ""},
		"those of all modules count":     {enforced(4097, mixed), "with the rule r4096 there are more than 4096"},
		"shares are the nodes' business": {enforced(5000, func(i int) string { return fmt.Sprintf("module: m, method: M%d, off: {share: 50}", i) }), ""},
		"many bytes":                     {enforced(18, large), "with the rule r17 the servers of one module have to be told more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
