package main

import (
	"strings"
	"testing"
)

func TestAlarmsAreShown(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/alarms": `{"node":"a","nodes":[{"node":"a"},{"node":"c","error":"late"}],"alarms":[
		{"kind":"link_down","subject":"c","severity":"critical","text":"refused\u001b","labels":{"peer":"c","a":"1"},"since":"2026-11-20T10:00:00Z","count":1,"reporters":["a","b"]},
		{"kind":"rules_store_down","subject":"","severity":"warning","text":"redis","since":"2026-11-20T10:00:00Z","ended":"2026-11-20T10:01:00Z","count":1,"reporters":["a"]}]}`})
	code, out, errs := f.run("", "alarms")
	if code != exitOK || errs != "twohop: node c was not heard, what it reports is missing here: late\n" {
		t.Errorf("%d, %q", code, errs)
	}
	if text := strings.Join(strings.Fields(out), " "); !strings.Contains(text, "SEVERITY KIND SUBJECT SINCE NODES WHAT critical link_down c a=1 peer=c ") ||
		!strings.Contains(text, "ago a b refused? warning rules_store_down - ") {
		t.Errorf("%s", out)
	}
	if q := f.questions("/v1/alarms")[0].query.Encode(); q != "scope=mesh" {
		t.Errorf("asked %s", q)
	}
	_, out, _ = f.run("", "alarms", "--all")
	if q := f.questions("/v1/alarms")[1].query.Encode(); q != "all=true&scope=mesh" || !strings.Contains(out, "ENDED") || strings.Count(out, " ago ") != 3 {
		t.Errorf("asked %s: %s", q, out)
	}
	f.answers["/v1/alarms"] = `{"node":"a","alarms":[],"nodes":[{"node":"a"}]}`
	if _, out, _ := f.run("", "alarms"); out != "no alarms\n" {
		t.Errorf("%q", out)
	}
	f.answers["/v1/alarms"] = `{"node":"a","alarms":[],"nodes":[{"node":"c","error":"late"}]}`
	if _, out, _ := f.run("", "alarms"); out != "no alarms, as far as nodes were heard\n" {
		t.Errorf("%q", out)
	}
}

func TestTheAuditLogIsListed(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/audit": `{"node":"a","view":{},"records":[{"seq":2,"at":"2026-11-20T10:00:00Z","author":"kim","action":"rules.apply","target":"rules",
		"reason":"ticket\n1","from":"1.6","to":"1.7 f783e286ca97c4b01cd8b5e090af2f0a484fccf2c818f5b51c4c8b9ec228fbe5","remote":"127.0.0.1:1","details":{"x":1}}]}`})
	code, out, errs := f.run("", "audit", "--since", "1h", "--author", "kim", "--action", "rules.apply", "--limit", "3")
	if code != exitOK || errs != "" {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "AT AUTHOR REMOTE ACTION TARGET FROM TO RESULT REASON", "2026-11-20 10:00:00 UTC kim 127.0.0.1:1 rules.apply rules 1.6 1.7 f783e286ca97 - ticket; 1")
	if q := f.questions("/v1/audit")[0].query.Encode(); q != "action=rules.apply&author=kim&limit=3&since=1h" {
		t.Errorf("asked %s", q)
	}
	if _, out, _ := f.run("", "audit", "--json"); !strings.Contains(out, `"x": 1`) {
		t.Errorf("as JSON: %s", out)
	}
	f.answers["/v1/audit"] = `{"node":"a","records":[],"view":{}}`
	if _, out, _ := f.run("", "audit"); out != "no such change was made through node a\n" {
		t.Errorf("%q", out)
	}
	if code, _, errs := f.run("", "audit", "--limit", "0"); code != exitUsage || !strings.Contains(errs, "--limit is 0, must be 1 to 10000") {
		t.Errorf("%d, %q", code, errs)
	}
}
