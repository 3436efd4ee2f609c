package alarm

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const page = "../../../docs/alarms.md"

// TestThePageHasEveryKind compares the table of docs/alarms.md with Kinds.
func TestThePageHasEveryKind(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| kind | severity | seen by | subject | means | do |\n|---|---|---|---|---|---|\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s | %s |\n", k.Name, k.Severity, k.Scope, k.Subject, k.Means, k.Do)
	}
	if !strings.Contains(string(text), "\n\n"+table.String()+"\n") {
		t.Errorf("%s does not have this table:\n%s", page, &table)
	}
}

// TestThePageShowsWhatAWebhookGets compares the sample of docs/alarms.md with what is posted.
func TestThePageShowsWhatAWebhookGets(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	a, err := New(Options{Node: "a", Mesh: "default", Webhook: "http://w"})
	if err != nil {
		t.Fatal(err)
	}
	down := Alarm{Kind: LinkDown, Subject: "b", Text: "connect: connection refused"}
	down.complete("a", "default", at)
	rule := Alarm{Kind: LimitExceeded, Subject: "pay-limit", Text: "1,250 calls/s, the limit is 1,000", Labels: map[string]string{"module": "pay"}}
	rule.complete("a", "default", at.Add(-time.Minute))
	rule.Ended, rule.Count = at, 2
	body, err := json.MarshalIndent(a.receivers[0].post([]message{{alarm: down}, {alarm: rule}}, at.Add(time.Second)), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n```json\n"+string(body)+"\n```\n") {
		t.Errorf("%s does not have this sample:\n%s", page, body)
	}
}

func TestKindsAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Kinds() {
		if k.Name == "" || seen[k.Name] || k.Severity != Warning && k.Severity != Critical || k.Scope != ScopeMesh && k.Scope != ScopeNode ||
			k.Subject == "" || k.Means == "" || k.Do == "" || labelName(k.Name) != k.Name {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
	}
	if len(seen) != 28 {
		t.Errorf("%d kinds; a new one needs a row in docs/alarms.md", len(seen))
	}
}
