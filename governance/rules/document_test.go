package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twohop/twohop/governance"
)

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheckRefusesWhatHasEnded(t *testing.T) {
	d := mustParse(t, rule("until: 2026-01-02T00:00:00Z\noff: {}")+"  - id: s\n    off: {}\n  - id: u\n    until: 2027-01-01T00:00:00Z\n    off: {}\n")
	if err := d.Check(nil, at(t, "2026-01-01T23:59:59Z")); err != nil {
		t.Errorf("before its end: %v", err)
	}
	now := at(t, "2026-01-02T00:00:00Z")
	want := "line 4, column 12: until: 2026-01-02T00:00:00Z is in the past: it is 2026-01-02T00:00:00Z; the rule r would do nothing"
	other := mustParse(t, rule("until: 2026-01-01T00:00:00Z\noff: {}"))
	for _, previous := range []*Document{nil, {}, other} {
		err := d.Check(previous, now)
		if wrong := (*Invalid)(nil); !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	same := mustParse(t, rule("until: 2026-01-02T01:00:00+01:00\nlate: {do: run}"))
	if err := d.Check(same, now); err != nil {
		t.Errorf("of a rule that has ended in the document before: %v", err)
	}
}

type registered map[string][]string

func (r registered) Modules() []string {
	var all []string
	for name := range r {
		all = append(all, name)
	}
	return all
}
func (r registered) Methods(module string) []string { return r[module] }

func TestWarningsNameWhatIsNear(t *testing.T) {
	d := mustParse(t, rule("module: fishtrad\nmethod: Send\noff: {}")+`  - id: s
    module: fishtrade
    method: SendRokcet
    off: {}
  - {id: u, module: fishtrade, method: Zap, off: {}}
  - {id: v, module: fishtrade, method: SendRocket, off: {}}
  - {id: w, module: zzz, off: {}}
  - {id: x, caller: nobody, off: {}}
`)
	var got []string
	for _, p := range d.Warnings(registered{"fishtrade": {"SendRocket", "Sell"}, "pay": {"Pay"}}) {
		got = append(got, p.String())
	}
	want := []string{
		"line 4, column 13: module: nobody has registered fishtrad; did you mean fishtrade?",
		"line 9, column 13: method: nobody has registered SendRokcet in fishtrade; did you mean SendRocket?",
		"line 11, column 40: method: nobody has registered Zap in fishtrade",
		"line 13, column 21: module: nobody has registered zzz",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDiffReadsInALine(t *testing.T) {
	old := mustParse(t, `format: 1
rules:
  - {id: gone, module: m, off: {share: 10}}
  - {id: same, rate: {per_second: 10}}
  - {id: limit, module: m, note: slow, rate: {per_second: 100}}
  - {id: pw, module: m, method: M, password: {keys: [{key_id: 1, secret: 0123456789abcdef}]}}
  - {id: kind, off: {}}
`)
	next := mustParse(t, `format: 1
rules:
  - {id: kind, late: {do: run}}
  - {id: same, rate: {per_second: 10.0, burst: 1, per: cluster, over: reject}}
  - {id: limit, module: m, until: 2027-01-01T00:00:00Z, rate: {per_second: 200, burst: 10}}
  - {id: pw, module: m, method: M, password: {keys: [{key_id: 1, secret: fedcba9876543210}, {key_id: 2, secret: fedcba9876543210}]}}
  - {id: new, caller: web, callers: {deny: [a, b]}}
`)
	var got []string
	changes := Diff(old, next)
	for _, c := range changes {
		got = append(got, c.String())
	}
	want := []string{
		"removed gone: module m, off.share 10",
		"changed kind: off.share removed, late.do run added",
		`changed limit: note removed, rate.per_second 100 → 200, until 2027-01-01T00:00:00Z added`,
		"changed pw: password.key_id 1 changed, password.key_id 2 *** added",
		`added new: caller web, callers.deny "a b"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(changes[2])
	if want := `{"op":"changed","id":"limit","kind":"rate","keys":[{"key":"note","old":"slow"},{"key":"rate.per_second","old":"100","new":"200"},` +
		`{"key":"until","new":"2027-01-01T00:00:00Z"}]}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if c := Diff(old, old); c != nil {
		t.Errorf("with itself: %v", c)
	}
	if c := Diff(nil, old); len(c) != 5 || c[0].Op != Added {
		t.Errorf("from nothing: %v", c)
	}
	if c := Diff(old, nil); len(c) != 5 || c[0].Op != Removed {
		t.Errorf("to nothing: %v", c)
	}
}

// TestSecretsAreShownNowhere: in no form of a document, of a set, or of an error.
func TestSecretsAreShownNowhere(t *testing.T) {
	const secret = "correct-horse-battery"
	text := rule("module: m\nmethod: M\npassword: {keys: [{key_id: 1, secret: " + secret + "}]}")
	d := mustParse(t, text)
	var shown []string
	show := func(v any) {
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		shown = append(shown, string(asJSON), fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v))
	}
	show(d)
	show(*d)
	show(d.Rules[0])
	show(d.Rules[0].Password)
	show(*d.Rules[0].Password)
	show(d.Rules[0].Password.Keys[0].Secret)
	show(Diff(nil, d))
	show(Diff(d, nil))
	show(Diff(d, mustParse(t, strings.ReplaceAll(text, secret, "another-long-secret"))))
	s := Compile(d, Options{})
	show(s.Describe(0))
	show(s.Explain(0, &governance.Call{Module: "m", Method: "M"}))
	shown = append(shown, s.Explain(0, &governance.Call{Module: "m", Method: "M"}).String())
	for _, bad := range []string{
		"{key_id: " + secret + ", secret: x}", "{key_id: 1, secret:" + secret + "}", "{key_id: 1, secert: " + secret + "}", secret, "[" + secret + "]",
		"{key_id: 1, secret: {" + secret + ": 1}}", "{key_id: 1, secret: " + secret + ", " + secret + ": x}", "{key_id: 1, secret: *" + secret + "}",
		"{key_id: 1, secret: &" + secret + " x}", "{key_id: 1, secret: !" + secret + " x}", "{key_id: 1, secret: " + secret + strings.Repeat("x", 2000) + "}",
		"{key_id: 1, secret: \"" + secret + "}", "{key_id: 1, ? {" + secret + ": x}}", "{key_id: 1, secret: %" + secret + "}",
	} {
		_, err := Parse([]byte(rule("module: m\nmethod: M\npassword: {keys: [" + bad + "]}")))
		if err == nil {
			t.Errorf("taken: %s", bad)
			continue
		}
		shown = append(shown, err.Error())
		_, err = Parse([]byte(rule("module: m\nmethod: M\npassword: " + bad)))
		if err == nil {
			t.Errorf("taken: %s", bad)
			continue
		}
		shown = append(shown, err.Error())
	}
	for _, s := range shown {
		if strings.Contains(s, secret) {
			t.Errorf("shows the secret: %s", s)
		}
	}
	if got := string(s.Restrictions("m", 0)[0].Password[0].Secret); got != secret {
		t.Errorf("the server is told %q", got)
	}
}

func TestRuleAsJSONIsTheRule(t *testing.T) {
	d := mustParse(t, rule("module: m\nuntil: 2027-01-01T00:00:00Z\nrate: {per_second: 5, over: pace, max_wait: 1500ms}"))
	text, err := json.Marshal(d.Rules[0])
	want := `{"id":"r","module":"m","until":"2027-01-01T00:00:00Z","rate":{"per_second":5,"burst":1,"per":"cluster","over":"pace","max_wait":"1.5s"},"line":3}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	var back Rule
	if err := json.Unmarshal(text, &back); err != nil || Diff(d, &Document{[]Rule{back}}) != nil {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if d.Rules[0].String() != "r (rate, m)" {
		t.Errorf("called %s", d.Rules[0])
	}
}

func TestHash(t *testing.T) {
	if got := Hash([]byte("abc")); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
}
