package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/audit"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// rulesView is what GET /v1/rules answers.
type rulesView struct {
	Mark                               governance.Mark
	Hash, Author, Reason, Source, Text string
	Rules                              []struct {
		ID, Kind string
		Refused  uint64
	}
	Converged *bool
	Nodes     []nodeRow
}

func TestADocumentIsInForceAtEveryNode(t *testing.T) {
	store, err := rulestore.OpenBolt(filepath.Join(t.TempDir(), "rules"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w := governFrom(t, store, "a", "b", "c")
	a := w.nodes["a"]
	w.nodes["b"].governed.serve("pay", 3, nil)

	first := a.putRules(a.etag(), payLimit)
	if first.Status != http.StatusOK || first.Mark != (governance.Mark{Epoch: 1, Version: 1}) || first.lines() != "added pay-limit" || first.Unchanged {
		t.Fatalf("got %+v", first)
	}
	if !first.Converged || len(first.Nodes) != 3 {
		t.Fatalf("converged %t: %+v", first.Converged, first.Nodes)
	}
	for i, name := range []string{"a", "b", "c"} {
		row := first.Nodes[i]
		if row.Node != name || row.Mark == nil || *row.Mark != first.Mark || row.Hash != first.Hash || row.InForceMS == nil ||
			*row.InForceMS <= 0 || *row.InForceMS > 1000 {
			t.Errorf("%s: %+v", name, row)
		}
		if (row.SDKMS != nil) != (name == "b") {
			t.Errorf("%s: servers enforce after %v, of %d", name, row.SDKMS, row.Servers)
		}
	}
	var got rulesView
	a.wantJSON("/v1/rules?scope=mesh", http.StatusOK, &got)
	if got.Mark != first.Mark || got.Text != payLimit || got.Author != "kim" || got.Reason != "a test" || got.Source == "" || len(got.Rules) != 1 ||
		got.Rules[0].ID != "pay-limit" || got.Rules[0].Kind != "rate" || got.Converged == nil || !*got.Converged || len(got.Nodes) != 3 {
		t.Errorf("got %+v", got)
	}
	if remote := a.governed.remote.Load(); remote == nil || !strings.HasPrefix(*remote, "127.0.0.1:") {
		t.Errorf("it is recorded from %v", remote)
	}
	again := a.putRules(a.etag(), payLimit)
	if again.Status != http.StatusOK || !again.Unchanged || again.Mark != first.Mark || again.lines() != "" {
		t.Errorf("the same again: %+v", again)
	}
	comment := a.putRules(a.etag(), "# a comment\n"+payLimit)
	if comment.Unchanged || comment.Mark.Version != 2 || comment.lines() != "" {
		t.Errorf("a comment: %+v", comment)
	}
}

// TestServersThatDoNotAcknowledgeAreSeen: the answer comes after a second, and says which node waits for whom.
func TestServersThatDoNotAcknowledgeAreSeen(t *testing.T) {
	w := govern(t, "a", "b")
	w.nodes["b"].governed.serve("pay", 5, func(governance.Mark) int { return 3 })
	began := time.Now()
	got := w.nodes["a"].putRules("*", payLimit)
	if took := time.Since(began); took < enforceWait {
		t.Errorf("it took %v", took)
	}
	if b := got.Nodes[1]; got.Converged || b.Servers != 5 || b.Enforcing != 3 || b.InForceMS == nil || *b.InForceMS > 900 || b.SDKMS != nil {
		t.Errorf("converged %t, %+v", got.Converged, b)
	}
}

// TestTheWaitEndsWithTheLastServer: it is not the whole second.
func TestTheWaitEndsWithTheLastServer(t *testing.T) {
	w := govern(t, "a", "b")
	looked := 0
	w.nodes["b"].governed.serve("pay", 2, func(mark governance.Mark) int {
		if mark.Version == 1 {
			looked++
		}
		return min(looked, 2)
	})
	got := w.nodes["a"].putRules("*", payLimit)
	if b := got.Nodes[1]; !got.Converged || b.SDKMS == nil || b.InForceMS == nil || *b.SDKMS < *b.InForceMS || *b.SDKMS >= 1000 {
		t.Errorf("converged %t, %+v", got.Converged, b)
	}
}

func TestANodeThatIsNotHeardDoesNotStopAChange(t *testing.T) {
	w := govern(t, "a", "b", "c")
	w.cut("a", "b", "waiting", "connection refused")
	got := w.nodes["a"].putRules("*", payLimit)
	if got.Status != http.StatusOK || got.Converged || got.Nodes[1].Error == "" || got.Nodes[1].Mark != nil || got.Nodes[2].Mark == nil {
		t.Errorf("got %+v", got.Nodes)
	}
}

// TestTwoOperatorsAtOnce: the second one is told what the first has done.
func TestTwoOperatorsAtOnce(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	seen := a.etag()
	if first := a.putRules(seen, payOff, header("X-Author", "jo"), header("X-Reason", "ticket 1")); first.Status != http.StatusOK {
		t.Fatalf("got %+v", first)
	}
	for _, query := range []string{"", "?dry_run=true"} {
		var second changed
		second.Status = a.send(http.MethodPut, "/v1/rules"+query, asYAML, "format: 1\nrules: []\n", &second, header("If-Match", seen), header("X-Reason", "r"))
		if second.Status != http.StatusPreconditionFailed || second.Has.Author != "jo" || second.Has.Reason != "ticket 1" || second.Has.At.IsZero() ||
			second.Has.Mark.Version != 2 || second.lines() != "added pay-off" || !strings.Contains(second.Error, "1.2") {
			t.Errorf("%q: %+v", query, second)
		}
	}
	if now := a.etag(); now != `"1.2"` {
		t.Errorf("the second one has changed it to %s", now)
	}
	// From a version that never was, nothing can be compared, and it is refused all the same.
	for _, never := range []string{"1.99", "1.0", "0.7", "2.1"} {
		if old := a.putRules(`"`+never+`"`, payLimit); old.Status != http.StatusPreconditionFailed || old.Changes == nil || len(old.Changes) != 0 ||
			!old.NoSuch || !strings.HasPrefix(old.Error, "there is no version "+never+": the newest is 1.2;") {
			t.Errorf("%s: %+v", never, old)
		}
	}
	if old := a.putRules(`"0.0"`, payLimit); old.Status != http.StatusPreconditionFailed || old.NoSuch || old.lines() != "added pay-limit, added pay-off" {
		t.Errorf("from no document: %+v", old)
	}
}

func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	a.governed.broken.Store(true)
	put := a.putRules("*", payOff)
	var back changed
	back.Status = a.send(http.MethodPost, "/v1/rules/rollback", asJSON, `{"to": "1.1", "reason": "r"}`, &back)
	turn := a.turn(`{"action": "off", "module": "pay", "reason": "r"}`)
	for name, got := range map[string]changed{"put": put, "switch": turn} {
		if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Error, "could not be recorded") || !strings.Contains(got.Error, errDiskFull.Error()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if now := a.etag(); now != `"1.1"` {
		t.Errorf("the rules are %s", now)
	}
}

func TestAStoreThatIsAwayRefusesChanges(t *testing.T) {
	store := rulestore.NewMemory()
	w := governFrom(t, store, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	store.Close()
	if got := a.putRules("*", payOff); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Error, "the store of rules is not there") {
		t.Errorf("got %+v", got)
	}
	if got := a.turn(`{"action": "off", "module": "pay", "reason": "r"}`); got.Status != http.StatusServiceUnavailable ||
		!strings.Contains(got.Error, "nothing was changed") {
		t.Errorf("got %+v", got)
	}
	a.wantText("/v1/rules/history", http.StatusServiceUnavailable, "closed")
	a.wantText("/v1/rules", http.StatusOK, "pay-limit") // they stay in force
	var judged struct {
		Valid   bool
		Changes []struct{ ID string }
	}
	if status := a.send(http.MethodPost, "/v1/rules/validate", asYAML, payOff, &judged); status != http.StatusOK || !judged.Valid || len(judged.Changes) != 1 {
		t.Errorf("%d %+v", status, judged)
	}
}

func TestANodeWithoutRulesSaysSo(t *testing.T) {
	a := start(t)
	for _, path := range []string{
		"/v1/rules", "/v1/rules/history", "/v1/rules/explain?module=pay", "/v1/stats", "/v1/stats/callers?module=pay", "/v1/stats/handlers",
		"/v1/stats/export?from=1h", "/v1/alarms", "/v1/audit", "/v1/quota",
	} {
		a.wantText(path, http.StatusServiceUnavailable, `"error"`)
	}
	if got := a.putRules("*", payLimit); got.Status != http.StatusServiceUnavailable {
		t.Errorf("got %+v", got)
	}
	src := a.sources()
	for _, method := range []string{"RulesStanding", "Rules", "RulesCounts", "Stats", "StatsCallers", "Alarms"} {
		if _, err := src.NodeMethods()[method](t.Context(), nil); err == nil {
			t.Errorf("%s answers", method)
		}
	}
}

func TestBadChangesOfRulesAreRefused(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	bad := a.putRules("*", "format: 1\nrules:\n  - {id: x, module: pay, rate: {per_secnod: 1}}\n  - {id: y, off: {}, method: M}\n")
	if bad.Status != http.StatusBadRequest || len(bad.Problems) < 2 || bad.Problems[0].Line != 3 || bad.Problems[0].Column == 0 ||
		!strings.Contains(bad.Problems[0].Message, "per_second") {
		t.Errorf("got %+v", bad)
	}
	for _, test := range []struct {
		name       string
		status     int
		says       string
		kind, body string
		edit       []func(*http.Request)
	}{
		{"no If-Match", http.StatusPreconditionRequired, "ETag", asYAML, payLimit, []func(*http.Request){header("X-Reason", "r")}},
		{"bad If-Match", http.StatusBadRequest, "1.7", asYAML, payLimit, []func(*http.Request){header("X-Reason", "r"), header("If-Match", `"x"`)}},
		{"no reason", http.StatusBadRequest, "reason", asYAML, payLimit, []func(*http.Request){header("If-Match", "*")}},
		{"a blank reason", http.StatusBadRequest, "reason", asYAML, payLimit, []func(*http.Request){header("If-Match", "*"), header("X-Reason", "   ")}},
		{"a long reason", http.StatusBadRequest, "1001 bytes", asYAML, payLimit,
			[]func(*http.Request){header("If-Match", "*"), header("X-Reason", strings.Repeat("x", 1001))}},
		{"a file's name", http.StatusBadRequest, "file:", asYAML, payLimit,
			[]func(*http.Request){header("If-Match", "*"), header("X-Reason", "r"), header("X-Author", "file:/etc/rules")}},
		{"a form", http.StatusUnsupportedMediaType, "application/yaml or application/json", "text/plain", payLimit, []func(*http.Request){header("If-Match", "*")}},
		{"no document", http.StatusBadRequest, "format: 1", asYAML, "", []func(*http.Request){header("If-Match", "*"), header("X-Reason", "r")}},
		{"an unknown key", http.StatusBadRequest, "unknown field", asJSON, `{"txt": ""}`, []func(*http.Request){header("If-Match", "*")}},
		{"not JSON", http.StatusBadRequest, "the body", asJSON, `{`, []func(*http.Request){header("If-Match", "*")}},
		{"an end in the past", http.StatusBadRequest, "in the past", asYAML,
			"format: 1\nrules:\n  - {id: x, until: 2020-01-01T00:00:00Z, off: {}}\n", []func(*http.Request){header("If-Match", "*"), header("X-Reason", "r")}},
	} {
		var got changed
		got.Status = a.send(http.MethodPut, "/v1/rules", test.kind, test.body, &got, test.edit...)
		if got.Status != test.status || !strings.Contains(got.Error, test.says) {
			t.Errorf("%s: %d %q, want %d and %q", test.name, got.Status, got.Error, test.status, test.says)
		}
	}
	if now := a.etag(); now != `"0.0"` {
		t.Errorf("the rules are %s", now)
	}
	if records, err := a.governed.audit.List(t.Context(), audit.Filter{}); err != nil || len(records) != 0 {
		t.Errorf("what was refused is recorded: %v %v", records, err)
	}
}

func TestALargeDocumentIsRefused(t *testing.T) {
	w := govern(t, "a")
	large := bytes.Repeat([]byte("# filler\n"), maxDocument/9+1)
	got := w.nodes["a"].putRules("*", string(large))
	if got.Status != http.StatusRequestEntityTooLarge || !strings.Contains(got.Error, "10485760") {
		t.Errorf("%d %q", got.Status, got.Error)
	}
	fits := "format: 1\nrules:\n"
	for i := range 20 {
		fits += fmt.Sprintf("  - {id: r%d, module: m%d, off: {fallback: %s}}\n", i, i, strings.Repeat("x", 60<<10))
	}
	if got := w.nodes["a"].putRules("*", fits); got.Status != http.StatusOK {
		t.Errorf("%d bytes: %d %q", len(fits), got.Status, got.Error)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	a.putRules("*", "format: 1\nrules: []\n")
	var dry changed
	dry.Status = a.send(http.MethodPut, "/v1/rules?dry_run=true", asJSON, fmt.Sprintf(`{"text": %q}`, payOff), &dry, header("If-Match", "*"))
	if dry.Status != http.StatusOK || !dry.DryRun || dry.lines() != "added pay-limit, added pay-off" || dry.Nodes != nil {
		t.Errorf("got %+v", dry)
	}
	var back changed
	back.Status = a.send(http.MethodPost, "/v1/rules/rollback", asJSON, `{"to": "1.1", "dry_run": true}`, &back)
	if back.Status != http.StatusOK || !back.DryRun || back.Unchanged || back.lines() != "added pay-limit" || back.Nodes != nil {
		t.Errorf("got %+v", back)
	}
	if got := a.turn(`{"action": "off", "module": "pay", "dry_run": true}`); got.Status != http.StatusOK || got.lines() != "added off:pay" {
		t.Errorf("got %+v", got)
	}
	if now := a.etag(); now != `"1.2"` {
		t.Errorf("the rules are %s", now)
	}
}

func TestADocumentIsJudged(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	type judged struct {
		Valid              bool
		Problems, Warnings []struct {
			Line    int
			Message string
		}
		Mark    governance.Mark
		Changes []struct{ Op, ID string }
	}
	judge := func(text string) (j judged) {
		t.Helper()
		if status := a.send(http.MethodPost, "/v1/rules/validate", asYAML, text, &j); status != http.StatusOK {
			t.Errorf("it answers %d", status)
		}
		return j
	}
	if j := judge("format: 1\nrules:\n  - {id: x, module: pai, off: {}}\n"); !j.Valid || len(j.Warnings) != 1 || !strings.Contains(j.Warnings[0].Message, "did you mean pay") ||
		len(j.Changes) != 2 || j.Mark.Version != 1 {
		t.Errorf("got %+v", j)
	}
	if j := judge("format: 1\nrules:\n  - {id: x, module: pay, method: Charge, off: {}}\n"); !j.Valid || len(j.Warnings) != 0 {
		t.Errorf("got %+v", j)
	}
	if j := judge("format: 1\nrules:\n  - {id: x, modul: pay, off: {}}\n"); j.Valid || len(j.Problems) != 1 || j.Problems[0].Line != 3 || j.Changes == nil {
		t.Errorf("got %+v", j)
	}
	if j := judge("format: 1\nrules:\n  - {id: x, until: 2020-01-01T00:00:00Z, off: {}}\n"); j.Valid || len(j.Problems) != 1 {
		t.Errorf("got %+v", j)
	}
}

func TestHistoryDiffAndRollback(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	a.putRules("*", payOff, header("X-Author", "jo"))
	a.putRules("*", "format: 1\nrules: []\n")

	type history struct {
		Versions []versionView
		Next     string
	}
	var all, page, rest history
	a.wantJSON("/v1/rules/history", http.StatusOK, &all)
	a.wantJSON("/v1/rules/history?limit=2", http.StatusOK, &page)
	if len(all.Versions) != 3 || all.Next != "" || all.Versions[1].Author != "jo" || len(page.Versions) != 2 || page.Next != "1.2" {
		t.Errorf("got %+v, a page %+v", all, page)
	}
	a.wantJSON("/v1/rules/history?before="+page.Next, http.StatusOK, &rest)
	if len(rest.Versions) != 1 || rest.Versions[0].Mark.Version != 1 {
		t.Errorf("the rest is %+v", rest)
	}
	var old struct {
		Text string
		Mark governance.Mark
	}
	a.wantJSON("/v1/rules/versions/1.2", http.StatusOK, &old)
	if old.Text != payOff || old.Mark.Version != 2 {
		t.Errorf("got %+v", old)
	}
	var diff changed
	for query, want := range map[string]string{
		"from=1.1&to=1.2": "added pay-off", "from=1.2": "removed pay-limit, removed pay-off", "from=0.0&to=1.1": "added pay-limit", "from=1.3&to=0.0": "",
	} {
		a.wantJSON("/v1/rules/diff?"+query, http.StatusOK, &diff)
		if diff.lines() != want || diff.Changes == nil {
			t.Errorf("%s: %s, want %s", query, diff.lines(), want)
		}
	}
	var back changed
	back.Status = a.send(http.MethodPost, "/v1/rules/rollback", asJSON, `{"to": "1.2", "reason": "too early", "author": "kim"}`, &back)
	if back.Status != http.StatusOK || back.Mark.Version != 4 || back.lines() != "added pay-limit, added pay-off" || !back.Converged || len(back.Nodes) != 2 {
		t.Errorf("got %+v", back)
	}
	var now rulesView
	a.wantJSON("/v1/rules", http.StatusOK, &now)
	if now.Text != payOff || now.Reason != "rollback to 1.2: too early" {
		t.Errorf("got %+v", now)
	}
	for path, status := range map[string]int{
		"/v1/rules/versions/1.77": http.StatusNotFound, "/v1/rules/versions/7": http.StatusBadRequest, "/v1/rules/diff": http.StatusBadRequest,
		"/v1/rules/diff?from=1.1&to=x": http.StatusBadRequest, "/v1/rules/diff?from=1.77": http.StatusNotFound,
		"/v1/rules/history?before=x": http.StatusBadRequest, "/v1/rules/history?limit=0": http.StatusBadRequest, "/v1/rules?scope=x": http.StatusBadRequest,
	} {
		a.wantText(path, status, `"error"`)
	}
	for body, status := range map[string]int{
		`{"to": "1.77", "reason": "r"}`: http.StatusNotFound, `{"to": "x", "reason": "r"}`: http.StatusBadRequest, `{"to": "1.1"}`: http.StatusBadRequest, ``: http.StatusBadRequest,
	} {
		if got := a.send(http.MethodPost, "/v1/rules/rollback", asJSON, body, nil); got != status {
			t.Errorf("%s answers %d, want %d", body, got, status)
		}
	}
}

// TestANodeTellsOthersItsDocument: who hears of a newer version asks for it.
func TestANodeTellsOthersItsDocument(t *testing.T) {
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	src := w.nodes["b"].sources()
	got, err := ask[rulestore.Entry](t.Context(), &src, "a", "Rules", nil)
	if err != nil || string(got.Text) != payLimit || got.Version != 1 || got.Hash == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAPageCannotGovern: what a browser sends for another site changes nothing.
func TestAPageCannotGovern(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	body := `{"action": "off", "module": "pay", "reason": "r"}`
	for name, edit := range map[string]func(*http.Request){
		"another origin":   header("Origin", "http://evil.example"),
		"another site":     header("Sec-Fetch-Site", "cross-site"),
		"a form":           header("Content-Type", "application/x-www-form-urlencoded"),
		"a form as text":   header("Content-Type", "text/plain"),
		"a name of theirs": func(r *http.Request) { r.Host = "evil.example" },
	} {
		if status := a.send(http.MethodPost, "/v1/switches", asJSON, body, nil, edit); status < 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	for path, allow := range map[string]string{"/v1/switches": "POST", "/v1/rules": "GET, HEAD, PUT", "/v1/rules/history": "GET, HEAD", "/v1/rules/versions/1.1": "GET, HEAD"} {
		status, _, header := a.get(path, func(r *http.Request) { r.Method = http.MethodDelete })
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != allow {
			t.Errorf("%s: %d, allowed %q, want %q", path, status, header.Get("Allow"), allow)
		}
	}
	if now := a.etag(); now != `"0.0"` {
		t.Errorf("the rules are %s", now)
	}
}
