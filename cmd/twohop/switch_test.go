package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

const (
	registered = `{"total":2,"nodes":[{"node":"a"}],"modules":[{"module":"fishtrade","methods":[{"method":"SendRocket","visibility":"internal","instances":1}],"instances":[]},
		{"module":"pay.eu","methods":[],"instances":[]}]}`
	wouldSwitch = `{"node":"a","action":"off","dry_run":true,"mark":{"epoch":1,"version":7},"hash":"7",
		"changes":[{"op":"added","id":"off:fishtrade.SendRocket","kind":"off","keys":[{"key":"module","new":"fishtrade"}]}],
		"warnings":[{"line":1,"column":1,"message":"caller: nobody has registered web"},{"line":1,"column":1,"message":"module: nobody has registered website"}],
		"hits":[{"caller":"web","calls":7200,"per_second":2,"peak_minute":300,"last":"2026-11-20T10:07:00Z"},{"caller":"app","calls":3,"per_second":0.0008,"peak_minute":2}]}`
	nobodyHit = `{"node":"a","action":"off","dry_run":true,"mark":{"epoch":1,"version":7},"hash":"7","changes":[],"warnings":[],"hits":[]}`
	noSuch    = `404 {"error":"fishtrade.SendRocket is not off","switches":[{"id":"off:pay","kind":"off","module":"pay","caller":"web","until":"2026-11-20T10:07:00Z"}]}`
)

// switches is a node whose rules can be switched.
func switches(t *testing.T) *fakeNode {
	t.Helper()
	return newFakeNode(t, map[string]string{"/v1/registry": registered, "dry POST /v1/switches": wouldSwitch, "POST /v1/switches": everywhere})
}

// sent returns the switches that were really to be made.
func (f *fakeNode) sent() (all []adminclient.Switch) {
	f.t.Helper()
	for _, q := range f.questions("POST /v1/switches") {
		var s adminclient.Switch
		if err := json.Unmarshal([]byte(q.body), &s); err != nil {
			f.t.Fatal(err)
		}
		if !s.DryRun {
			all = append(all, s)
		}
	}
	return all
}

func TestASwitchShowsWhomItHitsAndAsks(t *testing.T) {
	f := switches(t)
	code, out, errs := f.runAt("y\n", "off", "fishtrade.SendRocket", "--caller", "web", "--group", "g1", "--share", "50", "--for", "10m",
		"--fallback", `{"ok":false}`, "--fallback-type", "application/json", "--reason", "ticket 4711", "--author", "kim")
	if code != exitOK {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "added off:fishtrade.SendRocket: module fishtrade", "it hits, by the calls of the last hour (fishtrade.SendRocket in group g1 for web):",
		"CALLER CALLS MEAN/S PEAK/MIN LAST", "web 7200 2.0 300 10:07 UTC", "app 3 <0.1 2 -", "version 1.8 is in force at node a")
	if !strings.Contains(errs, "Switch off 50 % of fishtrade.SendRocket in group g1 for web? [y/N]") || !strings.Contains(errs, "warning: caller: nobody has registered web") {
		t.Errorf("%q", errs)
	}
	sent := f.sent()
	if len(sent) != 1 {
		t.Fatalf("sent %+v", sent)
	}
	got := sent[0]
	off := *got.Off
	got.Off = nil
	if got != (adminclient.Switch{Action: "off", Module: "fishtrade", Method: "SendRocket", Group: "g1", Caller: "web", ForSeconds: 600, Reason: "ticket 4711", Author: "kim"}) ||
		off != (adminclient.SwitchOff{Share: 50, Fallback: `{"ok":false}`, FallbackType: "application/json"}) {
		t.Errorf("sent %+v, %+v", got, off)
	}

	f = switches(t)
	if code, _, errs := f.runAt("n\n", "off", "fishtrade", "--reason", "x"); code != exitUsage || len(f.sent()) != 0 || !strings.Contains(errs, "Switch off all of fishtrade? [y/N]") {
		t.Errorf("%d, %q, %+v", code, errs, f.sent())
	}
	f = switches(t)
	if code, out, _ := f.run("", "off", "--caller", "web", "--dry-run"); code != exitOK || len(f.sent()) != 0 || !strings.HasSuffix(out, "1 change would be made; nothing was changed\n") {
		t.Errorf("%d, %q", code, out)
	}
	f = switches(t)
	code, out, _ = f.run("", "off", "fishtrade", "--until", "2026-11-20T11:00:00+01:00", "--reason", "x", "--yes", "--json")
	if code != exitOK || !json.Valid([]byte(out)) || !f.sent()[0].Until.Equal(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("%d, %q, %+v", code, out, f.sent())
	}
	f.answers["dry POST /v1/switches"] = nobodyHit
	if _, out, _ := f.run("", "off", "fishtrade", "--reason", "x", "--yes"); !strings.Contains(out, "it hits nobody who has called in the last hour (all of fishtrade)") {
		t.Errorf("%q", out)
	}
	f.answers["dry POST /v1/switches"] = strings.Replace(nobodyHit, `"hits":[]`, `"hits":[],"hits_error":"node c was not heard"`, 1)
	if _, out, _ := f.run("", "off", "fishtrade", "--reason", "x", "--yes"); !strings.Contains(out, "whom it hits is not known completely: node c was not heard") || strings.Contains(out, "nobody") {
		t.Errorf("%q", out)
	}
}

func TestASwitchIsTakenAwayByItsNames(t *testing.T) {
	f := switches(t)
	code, out, errs := f.run("", "on", "fishtrade.SendRocket", "--caller", "web", "--yes")
	if code != exitOK || errs != "twohop: warning: caller: nobody has registered web\n" || strings.Contains(out, "it hits") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if s := f.sent()[0]; s.Action != "on" || s.Method != "SendRocket" || s.Caller != "web" || s.Reason != "switched on again" || s.Off != nil {
		t.Errorf("sent %+v", s)
	}
	f = switches(t)
	if code, _, _ := f.run("", "on", "--id", "off:x", "--yes"); code != exitOK || f.sent()[0].ID != "off:x" {
		t.Errorf("%d, %+v", code, f.sent())
	}
	f.answers["dry POST /v1/switches"] = noSuch
	code, _, errs = f.run("", "on", "fishtrade.SendRocket", "--yes")
	if code != exitUsage || !strings.Contains(errs, "  off:pay: off all of pay for web, until 2026-11-20 10:07:00 UTC\ntwohop: fishtrade.SendRocket is not off; above are the switches") {
		t.Errorf("%d, %q", code, errs)
	}
	f.answers["dry POST /v1/switches"] = `404 {"error":"not off","switches":[]}`
	if code, _, errs := f.run("", "on", "fishtrade", "--yes"); code != exitUsage || errs != "twohop: nothing is off or limited: there is no switch in the rules\n" {
		t.Errorf("%d, %q", code, errs)
	}
}

// TestALimitStaysWhenCallsAreSwitchedOn: to a node, limits are switches, too.
func TestALimitStaysWhenCallsAreSwitchedOn(t *testing.T) {
	would := func(kinds ...string) string {
		var changes, removed []string
		for i, kind := range kinds {
			id := fmt.Sprintf("%s:%d", kind, i)
			changes, removed = append(changes, fmt.Sprintf(`{"op":"removed","id":%q,"kind":%q}`, id, kind)), append(removed, strconv.Quote(id))
		}
		return `{"node":"a","action":"on","mark":{"epoch":1,"version":7},"hash":"7","warnings":[],"hits":[],"changes":[` + strings.Join(changes, ",") + `],"removed":[` + strings.Join(removed, ",") + `]}`
	}
	f := switches(t)
	f.answers["dry POST /v1/switches"] = would("off", "rate")
	if code, _, errs := f.run("", "on", "fishtrade", "--yes"); code != exitOK || f.sent()[0].ID != "off:0" {
		t.Errorf("%d, %q, %+v", code, errs, f.sent())
	}
	for says, kinds := range map[string][]string{
		"it is limited, not off: `twohop limit --remove` takes rate:0 away":                {"rate"},
		"2 switches have these names, and limits, too: say which, with --id: off:0, off:1": {"off", "off", "rate"},
	} {
		f := switches(t)
		f.answers["dry POST /v1/switches"] = would(kinds...)
		if code, _, errs := f.run("", "on", "fishtrade", "--yes"); code != exitUsage || len(f.sent()) != 0 || !strings.Contains(errs, says) {
			t.Errorf("%d, %q, %+v", code, errs, f.sent())
		}
	}
	f = switches(t)
	f.answers["dry POST /v1/switches"] = would("off", "off")
	if code, _, _ := f.run("", "on", "fishtrade", "--yes"); code != exitOK || f.sent()[0].ID != "" {
		t.Errorf("%d, %+v", code, f.sent())
	}
}

func TestSwitchesThatAreNotMade(t *testing.T) {
	for says, args := range map[string][]string{
		`--share is 0, must be more than 0 and at most 100 (percent)`:          {"off", "fishtrade", "--share", "0"},
		`--share is NaN, must be more than 0`:                                  {"off", "fishtrade", "--share", "NaN"},
		`--fallback-type needs --fallback`:                                     {"off", "fishtrade", "--fallback-type", "text/plain"},
		`--for and --until both say when it ends`:                              {"off", "fishtrade", "--for", "1m", "--until", "2026-11-20T10:00:00Z"},
		`--for is 0s, must be at least 1s`:                                     {"off", "fishtrade", "--for", "0"},
		`--until is "tomorrow", must be a time as 2026-11-20T10:00:00Z`:        {"off", "fishtrade", "--until", "tomorrow"},
		`which calls? Name a method as fishtrade.SendRocket`:                   {"off"},
		`--group needs the module`:                                             {"off", "--group", "g"},
		`--method needs --module`:                                              {"off", "--method", "g"},
		`"fishtrade" stands beside --module and --method`:                      {"off", "fishtrade", "--module", "pay"},
		`".x" is neither a method, as fishtrade.SendRocket, nor a module`:      {"off", ".x"},
		`"b" is too much: one method or module`:                                {"off", "a", "b"},
		"may also mean the method eu of module pay: write --module pay.eu, or": {"off", "pay.eu"},
	} {
		f := switches(t)
		code, _, errs := f.run("", append(args, "--reason", "x", "--yes")...)
		if code != exitUsage || !strings.Contains(errs, says) || len(f.sent()) != 0 {
			t.Errorf("%q: %d, %q, want %s", args, code, errs, says)
		}
	}
	f := switches(t)
	if code, _, errs := f.run("", "off", "fishtrade", "--yes"); code != exitUsage || !strings.Contains(errs, "--reason is missing") {
		t.Errorf("%d, %q", code, errs)
	}
	if code, _, _ := f.run("", "off", "--module", "pay.eu", "--reason", "x", "--yes"); code != exitOK || f.sent()[0].Module != "pay.eu" || f.sent()[0].Method != "" {
		t.Errorf("%d, %+v", code, f.sent())
	}
}

func TestNamesComplete(t *testing.T) {
	f := switches(t)
	for _, args := range [][]string{{"off", "--admin", f.address, ""}, {"limit", "--admin", f.address, ""}, {"top", "--admin", f.address, "--callers", ""}} {
		if out := f.completes(args...); !strings.HasPrefix(out, "fishtrade\npay.eu\nfishtrade.SendRocket\n") {
			t.Errorf("%q: %q", args, out)
		}
	}
	if out := f.completes("off", "--admin", f.address, "--caller", ""); !strings.HasPrefix(out, "fishtrade\npay.eu\n:") {
		t.Errorf("%q", out)
	}
	if out := f.completes("limit", "--per", ""); !strings.HasPrefix(out, "cluster\nnode\ninstance\n") {
		t.Errorf("%q", out)
	}
	if out := f.completes("rules", "explain", "--what-if", ""); !strings.HasPrefix(out, "rpc=\ncaller=\n") {
		t.Errorf("%q", out)
	}
}
