package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/governance/rules"
)

// refusals is what lists of refused calls are answered with.
type refusals struct {
	Error    string
	Refusals []struct {
		Node         string
		RPCID        string `json:"rpc_id"`
		Caller       string
		Method       string
		Code         int
		CodeName     string  `json:"code_name"`
		RuleID       string  `json:"rule_id"`
		RetryAfterMS float64 `json:"retry_after_ms"`
		Explanation  rules.Explanation
		Text         string
	}
	Nodes []heardRow
}

// TestARefusedCallIsExplainedByAnyNode: the node that it entered knows it.
func TestARefusedCallIsExplainedByAnyNode(t *testing.T) {
	w := govern(t, "a", "b", "c")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	w.nodes["c"].governed.refuses(1<<62, "web", "Charge", "pay-limit")
	var got refusals
	a.wantJSON("/v1/rules/explain?rpc_id=4611686018427387904", http.StatusOK, &got)
	if len(got.Refusals) != 1 || len(got.Nodes) != 3 {
		t.Fatalf("got %+v", got)
	}
	if r := got.Refusals[0]; r.Node != "c" || r.RPCID != "4611686018427387904" || r.Caller != "web" || r.Code != 21 || r.CodeName != "RATE_LIMITED" ||
		r.RuleID != "pay-limit" || r.RetryAfterMS != 1.5 || len(r.Explanation.Rules) != 1 || !strings.Contains(r.Text, "pay-limit") {
		t.Errorf("got %+v", r)
	}
	w.cut("a", "b", "down", "gone")
	a.wantJSON("/v1/rules/explain?rpc_id=7", http.StatusNotFound, &got)
	if got.Error == "" || len(got.Nodes) != 3 || got.Nodes[1].Error == "" {
		t.Errorf("got %+v", got)
	}
	for _, query := range []string{"?rpc_id=x", "?rpc_id=0", "?rpc_id=-1", "", "?caller=web", "?module=pay&ip=x", "?module=pay&external=perhaps"} {
		a.wantText("/v1/rules/explain"+query, http.StatusBadRequest, `"error"`)
	}
}

func TestACallThatWasNotMadeIsExplained(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", "format: 1\nrules:\n"+
		"  - {id: pay-off, module: pay, method: Charge, caller: web, off: {}}\n"+
		"  - {id: pay-from, module: pay, addresses: {deny: [10.1.0.0/16]}}\n"+
		"  - {id: pay-inside, module: pay, method: Refund, visibility: {for: internal}}\n")
	for query, want := range map[string]string{
		"caller=web&module=pay&method=Charge":                             "pay-off",
		"caller=app&module=pay&method=Charge":                             "",
		"caller=web&module=pay&method=Charge&ip=10.1.2.3":                 "pay-from",
		"caller=web&module=pay&method=Charge&ip=::ffff:10.1.2.3":          "pay-from",
		"caller=app&module=pay&method=Refund&external=true&ip=192.0.2.1":  "pay-inside",
		"caller=app&module=pay&method=Refund&external=false&ip=192.0.2.1": "",
	} {
		var got struct {
			Call struct {
				Caller string
				IP     string `json:"caller_ip"`
			}
			Explanation rules.Explanation
			Text        string
		}
		a.wantJSON("/v1/rules/explain?"+query, http.StatusOK, &got)
		if got.Explanation.Decided != want || got.Text == "" || got.Call.Caller == "" {
			t.Errorf("%s: decided by %q, want %q: %s", query, got.Explanation.Decided, want, got.Text)
		}
		if want == "pay-off" && !strings.Contains(got.Text, "refused by pay-off with DEGRADED\n") {
			t.Errorf("%s: %s", query, got.Text)
		}
	}
	a.wantText("/v1/rules/explain?module=pay&method=Chrge", http.StatusOK, "method: nobody has registered Chrge in pay; did you mean Charge?")
	var state rulesView
	a.wantJSON("/v1/rules", http.StatusOK, &state)
	for _, r := range state.Rules {
		if r.Refused != 0 {
			t.Errorf("%s has counted what was not made: %d", r.ID, r.Refused)
		}
	}
}

func TestRefusedCallsAreListed(t *testing.T) {
	w := govern(t, "a", "b")
	a, b := w.nodes["a"], w.nodes["b"]
	a.governed.refuses(1, "web", "Charge", "x")
	b.governed.refuses(2, "app", "Charge", "y")
	b.governed.refuses(3, "web", "Refund", "y")
	for query, want := range map[string]string{
		"": "1", "?scope=mesh": "3 2 1", "?scope=mesh&caller=web": "3 1", "?scope=mesh&rule=y": "3 2", "?scope=mesh&method=Charge": "2 1",
		"?scope=mesh&limit=2": "3 2", "?scope=mesh&module=book": "",
	} {
		var got refusals
		a.wantJSON("/v1/rules/refused"+query, http.StatusOK, &got)
		var ids []string
		for _, r := range got.Refusals {
			ids = append(ids, r.RPCID)
		}
		if all := strings.Join(ids, " "); all != want || got.Refusals == nil {
			t.Errorf("%q: %s, want %s", query, all, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?scope=x"} {
		a.wantText("/v1/rules/refused"+query, http.StatusBadRequest, `"error"`)
	}
}
