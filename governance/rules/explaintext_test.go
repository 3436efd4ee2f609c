package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// TestConclusions: what a node admits may still be refused, and the first line says by what.
func TestConclusions(t *testing.T) {
	names := func(code uint16) string { return map[uint16]string{23: "DEGRADED"}[code] }
	for _, c := range []struct {
		rules []string
		want  string
	}{
		{[]string{"{id: x, module: other, off: {}}"}, "admitted\n"},
		{[]string{"{id: x, module: pay, off: {}}"}, "refused by x with DEGRADED\n"},
		{[]string{"{id: x, module: pay, callers: {allow: [shop]}}"}, "refused by x with code 14\n"},
		{[]string{"{id: x, module: pay, shadow: true, off: {}}"}, "admitted\n"},
		{
			[]string{"{id: x, module: pay, method: Pay, password: {keys: [{key_id: 1, secret: 0123456789abcdef}]}}"},
			"admitted by the node, but without a digest by its password x refuses it next to the handler\n",
		},
		{
			[]string{
				"{id: x, module: pay, method: Pay, password: {keys: [{key_id: 1, secret: 0123456789abcdef}]}}",
				"{id: y, module: pay, method: Pay, until: 2100-01-01T00:00:00Z, lift: {checks: [password]}}",
			},
			"admitted\n",
		},
		{
			[]string{"{id: x, off: {share: 50}}", "{id: y, module: pay, rate: {per_second: 10, per: instance}}"},
			"admitted by the node, but x refuses a share of such calls, and y may refuse it next to the handler\n",
		},
	} {
		e := compileText(t, document(c.rules...), Options{}).Explain(0, pay("web"))
		if _, got, _ := strings.Cut(e.Text(names), ", by rules 0.0: "); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: got %s, want %s", c.rules, got, c.want)
		}
	}
}

// TestANodesShareIsNamed: what this node has of a limit of the whole mesh is not the limit.
func TestANodesShareIsNamed(t *testing.T) {
	s := compileText(t, document("{id: mesh, rate: {per_second: 50, burst: 5}}", "{id: node, rate: {per_second: 20, burst: 4, per: node}}"), Options{})
	wantText := func(want string) {
		t.Helper()
		if got := s.Explain(time.Second, pay("web")).String(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s.Shared()[0].Bucket.Set(0, 50, 5)
	wantText("mesh, line 3, rate (every call): 5 of 5 left at 50 per second\n")
	s.Shared()[0].Bucket.Set(0, 50.0/3, 5.0/3)
	wantText("mesh, line 3, rate (every call): 1.6 left of this node's share, which is 16.7 per second; the mesh has 50 per second, burst 5\n")
	wantText("4 of 4 left at 20 per second, which each node has\n")
}

func TestExplanationsWarnOfNames(t *testing.T) {
	known := registered{"hello": {"Say", "Echo"}}
	for name, want := range map[string]string{
		"hello.Say": "", "hello.Sya": "method: nobody has registered Sya in hello; did you mean Say?",
		"helo.Say": "module: nobody has registered helo; did you mean hello?", "hello.": "",
	} {
		module, method, _ := strings.Cut(name, ".")
		e := Compile(nil, Options{}).Explain(0, &governance.Call{Module: module, Method: method}).Warned(known)
		if got := strings.Join(e.Warnings, "; "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if want != "" && !strings.Contains(e.String(), "\n  warning: "+want+"\n") {
			t.Errorf("%s", e)
		}
	}
}
