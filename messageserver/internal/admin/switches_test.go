package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/governance/rules"
)

// ruleOf returns a rule of the document in force at a node.
func (n *node) ruleOf(id string) *rules.Rule {
	n.t.Helper()
	doc, err := rules.Parse(n.governed.rules.Current().Text)
	if err != nil {
		n.t.Fatal(err)
	}
	if i := slices.IndexFunc(doc.Rules, func(r rules.Rule) bool { return r.ID == id }); i >= 0 {
		return &doc.Rules[i]
	}
	return nil
}

// ids names the rules in force at a node.
func (n *node) ids() string {
	n.t.Helper()
	var all []string
	for _, r := range n.governed.rules.Set().Describe(n.governed.now()) {
		all = append(all, r.ID)
	}
	return strings.Join(all, " ")
}

// TestASwitchOffAndOn is what an operator does at night.
func TestASwitchOffAndOn(t *testing.T) {
	w := govern(t, "a", "b", "c")
	a, b := w.nodes["a"], w.nodes["b"]
	a.putRules("*", "# kept\n"+payLimit)
	a.governed.call("web", "pay", "Charge", 10)
	b.governed.call("web", "pay", "Charge", 20)
	b.governed.call("app", "pay", "Charge", 5)
	b.governed.call("app", "pay", "Refund", 50)
	b.governed.serve("pay", 2, nil)

	dry := a.turn(`{"action": "off", "module": "pay", "method": "Charge", "dry_run": true}`)
	if dry.Status != http.StatusOK || !dry.DryRun || dry.Nodes != nil || dry.lines() != "added off:pay.Charge" || a.ids() != "pay-limit" {
		t.Errorf("dry: %+v, in force %s", dry, a.ids())
	}
	if h := dry.Hits; len(h) != 2 || h[0].Caller != "web" || h[0].Calls != 30 || h[1].Caller != "app" || h[1].Calls != 5 || h[0].PerSecond <= 0 || dry.HitsError != "" {
		t.Errorf("hits %+v, %s", h, dry.HitsError)
	}
	off := a.turn(`{"action": "off", "module": "pay", "method": "Charge", "caller": "web", "for_seconds": 600, "reason": "ticket 1", "author": "kim",
		"off": {"share": 50, "fallback": "{}", "fallback_type": "application/json"}}`)
	if off.Status != http.StatusOK || off.ID != "off:pay.Charge:web" || off.lines() != "added off:pay.Charge:web" || !off.Converged || off.Mark.Version != 2 {
		t.Fatalf("got %+v", off)
	}
	if len(off.Hits) != 1 || off.Hits[0].Caller != "web" {
		t.Errorf("hits %+v", off.Hits)
	}
	if row := off.Nodes[1]; row.Servers != 2 || row.SDKMS == nil || *row.SDKMS >= 1000 {
		t.Errorf("got %+v", row)
	}
	for name, n := range w.nodes {
		r := n.ruleOf("off:pay.Charge:web")
		if r == nil {
			t.Fatalf("%s has %s", name, n.ids())
		}
		if left := time.Until(r.Until); r.Off.Share != 50 || r.Off.Fallback != "{}" || r.Off.FallbackType != "application/json" || r.Note != "ticket 1" ||
			left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("%s: %+v %+v, ends in %v", name, r, r.Off, left)
		}
	}
	if text := string(a.governed.rules.Current().Text); !strings.Contains(text, "# kept") {
		t.Errorf("the comment is gone: %s", text)
	}
	// The same switch again is the same rule, changed.
	again := a.turn(`{"action": "off", "module": "pay", "method": "Charge", "caller": "web", "reason": "longer"}`)
	if again.lines() != "changed off:pay.Charge:web" || a.ids() != "pay-limit off:pay.Charge:web" {
		t.Errorf("got %+v, in force %s", again, a.ids())
	}
	// On takes exactly this scope.
	none := a.turn(`{"action": "on", "module": "pay", "method": "Charge", "reason": "r"}`)
	if none.Status != http.StatusNotFound || !strings.Contains(none.Error, "exactly pay.Charge") || len(none.Switches) != 2 ||
		none.Switches[0].ID != "pay-limit" || none.Switches[1].ID != "off:pay.Charge:web" || none.Switches[1].Caller != "web" {
		t.Errorf("got %+v", none)
	}
	on := a.turn(`{"action": "on", "module": "pay", "method": "Charge", "caller": "web", "reason": "it works", "author": "kim"}`)
	if on.Status != http.StatusOK || !slices.Equal(on.Removed, []string{"off:pay.Charge:web"}) || on.lines() != "removed off:pay.Charge:web" || a.ids() != "pay-limit" {
		t.Errorf("got %+v, in force %s", on, a.ids())
	}
	if now := w.nodes["c"].ids(); now != "pay-limit" {
		t.Errorf("c has %s", now)
	}
}

func TestALimitIsSetAndTakenAway(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	got := a.turn(`{"action": "limit", "module": "pay", "reason": "r", "limit": {"per_second": 50.5, "burst": 7, "per": "node", "over": "pace", "max_wait_ms": 250}}`)
	r := a.ruleOf("limit:pay")
	if got.Status != http.StatusOK || got.ID != "limit:pay" || r == nil {
		t.Fatalf("got %+v", got)
	}
	if x := r.Rate; x.PerSecond != 50.5 || x.Burst != 7 || x.Per != "node" || x.Over != "pace" || time.Duration(x.MaxWait) != 250*time.Millisecond || !r.Until.IsZero() {
		t.Errorf("got %+v", x)
	}
	// A limit that stands in the document by another name is not taken away without it.
	on := a.turn(`{"action": "on", "module": "pay", "reason": "r"}`)
	if !slices.Equal(on.Removed, []string{"limit:pay"}) || a.ids() != "pay-limit" {
		t.Errorf("got %+v, in force %s", on, a.ids())
	}
}

// TestASwitchWithAnIDOfOnesOwnIsTakenAwayByIt: whatever it is called, and whoever has written it.
func TestASwitchWithAnIDOfOnesOwnIsTakenAwayByIt(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit+"  - {id: door, module: pay, visibility: {for: internal}}\n")
	for _, body := range []string{
		`{"action": "limit", "module": "pay", "id": "incident-7", "limit": {"per_second": 5}, "reason": "r"}`,
		`{"action": "off", "module": "pay", "id": "incident-8", "reason": "r"}`,
	} {
		if got := a.turn(body); got.Status != http.StatusOK {
			t.Fatalf("%s: got %+v", body, got)
		}
	}
	// One that is not there is told which are.
	none := a.turn(`{"action": "on", "id": "incident-9", "reason": "r"}`)
	if none.Status != http.StatusNotFound || !strings.Contains(none.Error, "with the id incident-9 to take away; there are 3") || len(none.Switches) != 3 {
		t.Errorf("got %+v", none)
	}
	if got := a.turn(`{"action": "on", "id": "incident-7", "module": "book", "reason": "r"}`); got.Status != http.StatusNotFound {
		t.Errorf("of another scope: got %+v", got)
	}
	if got := a.turn(`{"action": "on", "id": "door", "reason": "r"}`); got.Status != http.StatusNotFound {
		t.Errorf("a rule that neither limits nor switches off: got %+v", got)
	}
	for _, id := range []string{"incident-7", "incident-8", "pay-limit"} {
		if got := a.turn(fmt.Sprintf(`{"action": "on", "id": %q, "reason": "r"}`, id)); got.Status != http.StatusOK || !slices.Equal(got.Removed, []string{id}) {
			t.Errorf("%s: got %+v", id, got)
		}
	}
	if a.ids() != "door" {
		t.Errorf("in force: %s", a.ids())
	}
}

func TestSwitchesThatHaveEndedAreTakenOut(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	if got := a.turn(`{"action": "off", "module": "pay", "for_seconds": 0.05, "reason": "r"}`); got.Status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	for ended := false; !ended; {
		for _, r := range a.governed.rules.Set().Describe(a.governed.now()) {
			ended = r.Ended
		}
		select {
		case <-t.Context().Done():
			t.Fatal("it does not end")
		default:
		}
	}
	got := a.turn(`{"action": "off", "module": "book", "reason": "r"}`)
	if got.lines() != "removed off:pay, added off:book" {
		t.Errorf("got %+v", got)
	}
}

func TestBadSwitchesAreRefused(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", payLimit)
	for body, want := range map[string]string{
		``:                                  "the body is missing",
		`{"action": "off", "modul": "pay"}`: "unknown field",
		`{"module": "pay", "reason": "r"}`:  "action: is missing",
		`{"action": "stop", "module": "pay", "reason": "r"}`:                                                   "must be off, on or limit",
		`{"action": "off", "module": "pay"}`:                                                                   "reason: is missing",
		`{"action": "off", "method": "Charge", "reason": "r"}`:                                                 "method: needs module",
		`{"action": "off", "group": "g", "reason": "r"}`:                                                       "group: needs module",
		`{"action": "off", "module": "pay", "for_seconds": -1, "reason": "r"}`:                                 "for_seconds",
		`{"action": "off", "module": "pay", "for_seconds": 1e30, "reason": "r"}`:                               "for_seconds",
		`{"action": "off", "module": "pay", "for_seconds": 1, "until": "2040-01-01T00:00:00Z", "reason": "r"}`: "give one of them",
		`{"action": "off", "module": "pay", "until": "2020-01-01T00:00:00Z", "reason": "r"}`:                   "in the past",
		`{"action": "off", "module": "pay", "until": "tomorrow", "reason": "r"}`:                               "the body",
		`{"action": "on", "module": "pay", "for_seconds": 1, "reason": "r"}`:                                   "for good",
		`{"action": "limit", "module": "pay", "reason": "r"}`:                                                  "limit: is missing",
		`{"action": "off", "module": "pay", "limit": {"per_second": 1}, "reason": "r"}`:                        "limit: is for",
		`{"action": "limit", "module": "pay", "off": {}, "limit": {"per_second": 1}, "reason": "r"}`:           "off: is for",
		`{"action": "limit", "module": "pay", "limit": {"per_second": -1}, "reason": "r"}`:                     "per_second",
		`{"action": "limit", "module": "pay", "limit": {"per_second": 1, "over": "pace"}, "reason": "r"}`:      "max_wait",
		`{"action": "limit", "module": "pay", "limit": {"per_second": 1, "max_wait_ms": -1}, "reason": "r"}`:   "max_wait_ms",
		`{"action": "off", "module": "p/y", "reason": "r"}`:                                                    "module",
		`{"action": "off", "module": "pay", "id": "a b", "reason": "r"}`:                                       "id",
		`{"action": "off", "module": "pay", "off": {"share": 101}, "reason": "r"}`:                             "share",
	} {
		if got := a.turn(body); got.Status != http.StatusBadRequest || !strings.Contains(got.Error, want) {
			t.Errorf("%s: %d %q, want %q", body, got.Status, got.Error, want)
		}
	}
	if now := a.etag(); now != `"1.1"` {
		t.Errorf("the rules are %s", now)
	}
}

// TestARuleOfAnotherIsNotReplaced: an id is a rule's, and so is what reads like it.
func TestARuleOfAnotherIsNotReplaced(t *testing.T) {
	w := govern(t, "a")
	a := w.nodes["a"]
	a.putRules("*", "format: 1\nrules:\n  - {id: mine, module: pay, rate: {per_second: 1}}\n  - {id: 'off:x.y', module: x.y, off: {}}\n")
	if got := a.turn(`{"action": "off", "module": "pay", "id": "mine", "reason": "r"}`); got.Status != http.StatusConflict || !strings.Contains(got.Error, "another rule") {
		t.Errorf("got %+v", got)
	}
	if got := a.turn(`{"action": "off", "module": "x", "method": "y", "reason": "r"}`); got.ID != "off:x.y-2" || a.ids() != "mine off:x.y off:x.y-2" {
		t.Errorf("got %+v, in force %s", got, a.ids())
	}
	if got := a.turn(`{"action": "on", "id": "off:x.y", "reason": "r"}`); got.lines() != "removed off:x.y" {
		t.Errorf("got %+v", got)
	}
}

func TestReadableIDs(t *testing.T) {
	long := strings.Repeat("m", 127)
	for want, scope := range map[string]rules.Scope{
		"off:all":              {},
		"off:all:web":          {Caller: "web"},
		"off:pay":              {Module: "pay"},
		"off:pay.Charge":       {Module: "pay", Method: "Charge"},
		"off:pay.Charge:web":   {Module: "pay", Method: "Charge", Caller: "web"},
		"off:pay:group:g1:web": {Module: "pay", Group: "g1", Caller: "web"},
		"off:" + long[:106]:    {Module: long, Method: "Charge"},
	} {
		if got := readableID(switchOff, scope); got != want {
			t.Errorf("%v is %s, want %s", scope, got, want)
		}
	}
}

// TestAnAnswerSaysWhatItDoesNotKnow: hits are not by group, and not of nodes that are not heard.
func TestAnAnswerSaysWhatItDoesNotKnow(t *testing.T) {
	w := govern(t, "a", "b")
	w.cut("a", "b", "down", "gone")
	got := w.nodes["a"].turn(`{"action": "off", "module": "pay", "group": "g", "dry_run": true}`)
	if got.Status != http.StatusOK || !strings.Contains(got.HitsError, "not counted by group") || !strings.Contains(got.HitsError, "b: the link to it is down") {
		t.Errorf("got %+v", got)
	}
}

// TestTwoSwitchesAtOnceAreBothThere: an edit goes on from what another one has made.
func TestTwoSwitchesAtOnceAreBothThere(t *testing.T) {
	w := govern(t, "a", "b")
	w.nodes["b"].serve()
	const each = 5
	done := make(chan changed)
	for _, n := range []*node{w.nodes["a"], w.nodes["b"]} {
		go func() {
			for i := range each {
				done <- n.turn(fmt.Sprintf(`{"action": "off", "module": "m%d", "caller": %q, "reason": "r"}`, i, n.name))
			}
		}()
	}
	for range 2 * each {
		if got := <-done; got.Status != http.StatusOK || got.Mark.Version == 0 {
			t.Errorf("got %+v", got)
		}
	}
	if now := strings.Fields(w.nodes["a"].ids()); len(now) != 2*each {
		t.Errorf("in force: %s", now)
	}
}
