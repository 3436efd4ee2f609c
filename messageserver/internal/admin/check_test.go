package admin

import (
	"net/http"
	"strings"
	"testing"
)

func TestReadyTellsEveryCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(n *node)
		check  string // that fails
		says   string
		status int
	}{
		{"all is well", func(*node) {}, "", "", http.StatusOK},
		{"no listener", func(n *node) { n.closed = true }, "listener", "cannot connect", http.StatusServiceUnavailable},
		{"draining", func(n *node) { n.draining = true }, "draining", "takes no new sessions", http.StatusServiceUnavailable},
		{"a difference", func(n *node) { n.differences = []error{errDifference, errDifference} }, "consistency", errDifference.Error(), http.StatusServiceUnavailable},
		{"a difference that was passing", func(n *node) { n.differences = []error{errDifference} }, "", "", http.StatusOK},
		{"a need", func(n *node) { n.missing = map[string][]string{"pay": {"session(web/1 2)"}} }, "needs", "nobody serves pay, which session(web/1 2) needs", http.StatusOK},
		{"many needs", func(n *node) { n.missing = map[string][]string{"pay": {"e", "d", "c", "b", "a"}, "log": {"x"}} }, "needs",
			"nobody serves log, which x needs; nobody serves pay, which a, b, c and 2 more needs", http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := start(t)
			test.change(n)
			var got struct {
				Ready  bool    `json:"ready"`
				Checks []check `json:"checks"`
			}
			n.wantJSON("/readyz", test.status, &got)
			if got.Ready != (test.status == http.StatusOK) {
				t.Errorf("ready is %t", got.Ready)
			}
			var names []string
			for _, c := range got.Checks {
				names = append(names, c.Name)
				if c.OK != (c.Name != test.check) {
					t.Errorf("%s is %t: %s", c.Name, c.OK, c.Message)
				}
				if c.Name == test.check && !strings.Contains(c.Message, test.says) {
					t.Errorf("%s says %q, want %q", c.Name, c.Message, test.says)
				}
			}
			if all := strings.Join(names, " "); all != "listener draining consistency needs" {
				t.Errorf("checks are %s", all)
			}
		})
	}
}

func TestDebugCheckShowsDifferences(t *testing.T) {
	n := start(t)
	n.wantText("/debug/check", http.StatusOK, "ok")
	n.differences = []error{errDifference, errDifference}
	n.wantText("/debug/check", http.StatusInternalServerError, errDifference.Error())
	n.asked, n.differences = 0, []error{errDifference}
	n.wantText("/debug/check", http.StatusOK, "ok")
	if n.asked != 2 {
		t.Errorf("the books were checked %d times, want a second look", n.asked)
	}
}

func TestHealthNeedsNothing(t *testing.T) {
	n := start(t)
	n.closed, n.draining, n.differences = true, true, []error{errDifference, errDifference}
	n.wantText("/healthz", http.StatusOK, `"ok"`)
}
