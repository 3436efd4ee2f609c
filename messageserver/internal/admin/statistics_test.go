package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

// statsView is what /v1/stats answers.
type statsView struct {
	Rows  []stats.Row
	Total int
	Nodes []heardRow
}

func (v *statsView) line() string {
	var all []string
	for _, r := range v.Rows {
		all = append(all, fmt.Sprintf("%s%s.%s=%d/%d", r.Caller, r.Module, r.Method, r.Entered, r.Nodes))
	}
	return strings.Join(all, " ")
}

func TestStatisticsOfTheMeshAddUp(t *testing.T) {
	w := govern(t, "a", "b", "c")
	a := w.nodes["a"]
	a.governed.call("web", "pay", "Charge", 3)
	w.nodes["b"].governed.call("web", "pay", "Charge", 4)
	w.nodes["b"].governed.call("app", "pay", "Refund", 5)
	w.nodes["c"].governed.call("app", "book", "Lend", 1)
	for query, want := range map[string]string{
		"":                                   "pay.Charge=3/1",
		"?scope=mesh":                        "pay.Charge=7/2 pay.Refund=5/1 book.Lend=1/1",
		"?scope=mesh&by=module":              "pay.=12/2 book.=1/1",
		"?scope=mesh&by=caller&sort=name":    "app.=6/2 web.=7/2",
		"?scope=mesh&module=pay&limit=1":     "pay.Charge=7/2",
		"?scope=mesh&caller=app&method=Lend": "book.Lend=1/1",
		"?scope=mesh&by=nothing&total=true":  ".=13/3",
	} {
		var got statsView
		a.wantJSON("/v1/stats"+query, http.StatusOK, &got)
		if got.line() != want || got.Total < len(got.Rows) {
			t.Errorf("%q: %s, want %s", query, got.line(), want)
		}
	}
	var got statsView
	a.wantJSON("/v1/stats?scope=mesh&limit=1", http.StatusOK, &got)
	if r := got.Rows[0]; got.Total != 3 || len(got.Nodes) != 3 || r.Classes["success"] != 7 || r.P50US < 900 || r.P50US > 1100 {
		t.Errorf("got %+v", got)
	}
	w.cut("a", "b", "down", "gone")
	a.wantJSON("/v1/stats?scope=mesh", http.StatusOK, &got)
	if got.line() != "pay.Charge=3/1 book.Lend=1/1" || got.Nodes[1].Error == "" {
		t.Errorf("without b: %s, %+v", got.line(), got.Nodes)
	}
}

// TestManyRowsComeInParts: an answer between nodes stays below its bound.
func TestManyRowsComeInParts(t *testing.T) {
	w := govern(t, "a", "b")
	b := w.nodes["b"]
	const subjects = 12_000
	for i := range subjects {
		b.governed.call(fmt.Sprintf("caller-%d", i%7), "pay", fmt.Sprintf("%s-%d", strings.Repeat("M", 300), i), 1)
	}
	src := b.sources()
	body, err := src.nodeStats(t.Context(), []byte(`{"by": "caller_method"}`))
	var part statsAnswer
	if err != nil || json.Unmarshal(body, &part) != nil || part.Next == 0 || len(body) > maxReport+maxReport/4 {
		t.Fatalf("the first part has %d bytes, %d rows, next %d, %v", len(body), len(part.Rows), part.Next, err)
	}
	asker := w.nodes["a"].sources()
	rows, err := asker.askStats(t.Context(), "b", stats.Query{By: stats.ByCallerMethod}) // however long it takes
	var sum uint64
	names := make(map[string]bool)
	for _, r := range rows {
		sum += r.Entered
		names[r.Caller+" "+r.Module+" "+r.Method] = true
	}
	if err != nil || sum != subjects || len(names) != len(rows) || len(rows) <= len(part.Rows) {
		t.Errorf("%d rows with %d names, %d calls, %v", len(rows), len(names), sum, err)
	}
}

func TestCallersOfTheMesh(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.governed.call("web", "pay", "Charge", 3)
	w.nodes["b"].governed.call("web", "pay", "Refund", 4)
	w.nodes["b"].governed.call("app", "pay", "Charge", 1)
	for query, want := range map[string]string{
		"module=pay": "web=3", "module=pay&scope=mesh": "web=7 app=1", "module=pay&method=Charge&scope=mesh&over=10m": "web=3 app=1", "module=x&scope=mesh": "",
	} {
		var got struct {
			Callers []stats.CallerRate
			Over    float64 `json:"over_seconds"`
		}
		a.wantJSON("/v1/stats/callers?"+query, http.StatusOK, &got)
		var all []string
		for _, c := range got.Callers {
			all = append(all, fmt.Sprintf("%s=%d", c.Caller, c.Calls))
		}
		if line := strings.Join(all, " "); line != want || got.Callers == nil || got.Over < 600 {
			t.Errorf("%s: %s, want %s", query, line, want)
		}
	}
	for _, query := range []string{"", "module=pay&over=2h", "module=pay&over=x", "module=pay&scope=x"} {
		a.wantText("/v1/stats/callers?"+query, http.StatusBadRequest, `"error"`)
	}
}

func TestThePastIsAskedFor(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.governed.call("web", "pay", "Charge", 3)
	var got statsView
	a.wantJSON("/v1/stats?scope=mesh&from=10m", http.StatusOK, &got) // the running minute is not over
	if len(got.Nodes) != 2 || got.Nodes[1].Error != "" || got.Rows == nil {
		t.Errorf("got %+v", got)
	}
	for query, want := range map[string]string{
		"by=x": "by: is", "sort=x": "sort: is", "limit=0": "limit is", "total=x": "total is", "from=x": "from is", "step=x&from=1h": "step is",
		"step=30s&from=1h": "whole minutes", "to=1h": "from is missing", "from=1h&to=2h": "must be before", "from=9000h": "", "scope=x": "scope is",
	} {
		a.wantText("/v1/stats?"+query, http.StatusBadRequest, want)
	}
	for _, query := range []string{"", "from=x", "from=1h&to=2h"} {
		a.wantText("/v1/stats/export?"+query, http.StatusBadRequest, `"error"`)
	}
	status, body, header := a.get("/v1/stats/export?from=10m")
	if status != http.StatusOK || header.Get("Content-Type") != "application/x-ndjson" || body != "" {
		t.Errorf("%d %s %q", status, header.Get("Content-Type"), body)
	}
}

// TestAFileThatIsAway is the node's fault, not the question's; who calls is answered with what memory has, and says so.
func TestAFileThatIsAway(t *testing.T) {
	w := govern(t, "a", "b")
	a, b := w.nodes["a"], w.nodes["b"]
	a.governed.call("web", "pay", "Charge", 3)
	b.governed.call("web", "pay", "Charge", 4)
	const why = "what was counted before cannot be read: "
	var got struct {
		Callers []stats.CallerRate
		Nodes   []heardRow
	}
	wantLack := func(lackA, lackB string) {
		t.Helper()
		a.wantJSON("/v1/stats/callers?module=pay&scope=mesh", http.StatusOK, &got)
		if len(got.Callers) != 1 || got.Callers[0].Calls != 7 || !strings.HasPrefix(got.Nodes[0].Lack, lackA) || !strings.HasPrefix(got.Nodes[1].Lack, lackB) {
			t.Errorf("got %+v, want lack %q and %q", got, lackA, lackB)
		}
	}
	b.governed.stats.Close()
	wantLack("", why)
	if lack := got.Nodes[0].Lack; lack != "" {
		t.Errorf("a lacks nothing, and says %q", lack)
	}
	if off := a.turn(`{"action": "off", "module": "pay", "dry_run": true}`); len(off.Hits) != 1 || !strings.HasPrefix(off.HitsError, "b: "+why) {
		t.Errorf("hits %+v, %q", off.Hits, off.HitsError)
	}
	a.governed.stats.Close()
	wantLack(why, why)
	a.wantText("/v1/stats?from=10m", http.StatusServiceUnavailable, why)
	a.wantText("/v1/stats/export?from=10m", http.StatusServiceUnavailable, why)
	a.wantText("/v1/stats?from=9000h", http.StatusBadRequest, "90 days")
	a.wantText("/v1/stats", http.StatusOK, "rows") // of now
}

func TestHandlersOfTheMesh(t *testing.T) {
	w := govern(t, "a", "b")
	var got struct {
		Handlers []stats.Discrepancy
		Nodes    []heardRow
	}
	w.nodes["a"].wantJSON("/v1/stats/handlers?scope=mesh", http.StatusOK, &got)
	if got.Handlers == nil || len(got.Nodes) != 2 || got.Nodes[1].Error != "" {
		t.Errorf("got %+v", got)
	}
}

// TestMetricsOfRules: rules behind the first 500 are one series, and no series stands there twice.
func TestMetricsOfRules(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.governed.serve("pay", 3, func(governance.Mark) int { return 2 })
	text := "format: 1\nrules:\n  - {id: other, module: pay, caller: web, off: {}}\n  - {id: tried, module: book, shadow: true, off: {}}\n"
	for i := range 600 {
		text += fmt.Sprintf("  - {id: r%d, module: m%d, off: {}}\n", i, i)
	}
	if got := a.putRules("*", text); got.Status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	admit := func(caller, module string) {
		c := governance.Call{Caller: caller, Module: module, Method: "M"}
		a.governed.rules.Regime(governance.Subject{Caller: caller, Module: module, Method: "M"}).Policy.Admit(a.governed.now(), &c)
	}
	admit("web", "pay")
	admit("web", "book")
	admit("web", "m1")
	admit("web", "m599")
	a.governed.call("web", "pay", "Charge", 3)
	_, metrics, _ := a.get("/metrics")
	for _, want := range []string{
		"twohop_rules_version 1", "twohop_rules_epoch 1", `twohop_rules_info{hash="` + a.governed.rules.Standing().Hash + `"} 1`, "twohop_rules_count 602",
		`twohop_rule_refused_total{rule="other"} 2`, `twohop_rule_refused_total{rule="r1"} 1`, `twohop_rule_shadowed_total{rule="tried"} 1`,
		`twohop_rules_servers{enforcing="yes"} 2`, `twohop_rules_servers{enforcing="no"} 1`,
		`twohop_method_calls_total{class="SUCCESS",method="Charge",module="pay"} 3`,
	} {
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	if n := strings.Count(metrics, "\ntwohop_rule_refused_total{"); n != maxShownRules {
		t.Errorf("%d rules are shown, want %d", n, maxShownRules)
	}
}
