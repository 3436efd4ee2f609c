package rules

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twohop/twohop/governance"
	"pgregory.net/rapid"
)

func compileText(t testing.TB, text string, o Options) *Set {
	t.Helper()
	return Compile(mustParse(t, text), o)
}

func document(lines ...string) string {
	return "format: 1\nrules:\n  - " + strings.Join(lines, "\n  - ") + "\n"
}

// ask sends one call through a set, and settles it.
func ask(s *Set, now time.Duration, c *governance.Call) governance.Verdict {
	r := s.Regime(governance.Subject{Caller: c.Caller, Module: c.Module, Method: c.Method, Group: c.Group})
	if r == nil || r.Policy == nil {
		return governance.Verdict{}
	}
	v := r.Policy.Admit(now, c)
	if v.Admitted() {
		r.Policy.Settle(now, c, governance.Succeeded)
	}
	return v
}

func pay(caller string) *governance.Call {
	return &governance.Call{Caller: caller, Module: "pay", Method: "Pay", CallerIP: netip.MustParseAddr("10.1.2.3")}
}

func TestTheFirstInTheOrderOfChecksIsNamed(t *testing.T) {
	lines := []string{
		"{id: concurrency, module: pay, concurrency: {max: 1}}", // which nothing fills here
		"{id: rate, module: pay, rate: {per_second: 1e-7, burst: 1}}",
		"{id: off, off: {fallback: no, fallback_type: text/plain}}",
		"{id: visibility, visibility: {for: admin}}",
		"{id: callers, callers: {deny: [web]}}",
		"{id: addresses-of-all, addresses: {deny: [10.0.0.0/8]}}",
		"{id: addresses-of-method, module: pay, method: Pay, addresses: {deny: [10.1.0.0/16]}}",
	}
	for _, want := range []struct {
		id   string
		code uint16
	}{{"addresses-of-method", 14}, {"addresses-of-all", 14}, {"callers", 14}, {"visibility", 14}, {"off", 23}, {"rate", 21}} {
		s := compileText(t, document(lines...), Options{Mark: governance.Mark{Epoch: 1, Version: 7}})
		e := s.Explain(0, pay("web"))
		v := ask(s, 0, pay("web"))
		if want.id == "rate" {
			if v.Code != 0 || e.Decided != "" {
				t.Errorf("the first call: %+v, explained %s", v, e)
			}
			e = s.Explain(0, pay("web"))
			v = ask(s, 0, pay("web"))
		}
		if v.RuleID != want.id || v.Code != want.code || v.RuleVersion != 7 {
			t.Errorf("refused by %s of %d with %d, want %s with %d", v.RuleID, v.RuleVersion, v.Code, want.id, want.code)
		}
		if e.Decided != want.id || e.Code != want.code {
			t.Errorf("explained by %s with %d, want %s with %d", e.Decided, e.Code, want.id, want.code)
		}
		if v.Code == 23 && (string(v.Fallback) != "no" || v.FallbackType != "text/plain") {
			t.Errorf("fallback %q of %q", v.Fallback, v.FallbackType)
		}
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "{id: "+want.id+",") })
	}
}

func TestConcurrencyIsHeldUntilSettled(t *testing.T) {
	const text = "{id: c, module: pay, concurrency: {max: 2, each: caller}}"
	s := compileText(t, document(text), Options{})
	c := pay("web")
	subject := governance.Subject{Caller: "web", Module: "pay", Method: "Pay"}
	old := s.Regime(subject)
	old.Policy.Admit(0, c)
	old.Policy.Admit(0, c)
	next := compileText(t, document(strings.Replace(text, "max: 2", "max: 3", 1)), Options{Previous: s})
	if e := next.Explain(0, c); e.Decided != "" || !strings.Contains(e.String(), "2 of 3 in flight") {
		t.Error(e)
	}
	r := next.Regime(subject)
	if r.Policy.Admit(0, c).Code != 0 || r.Policy.Admit(0, c).Code != 22 {
		t.Error("what was in flight is not counted under the next document")
	}
	if e := next.Explain(0, c); e.Decided != "c" || e.Code != 22 {
		t.Error(e)
	}
	old.Policy.Settle(0, c, governance.Succeeded)
	if v := r.Policy.Admit(0, c); v.Code != 0 {
		t.Error("what was settled under the document before is counted still")
	}
	if v := ask(next, 0, pay("other")); v.Code != 0 {
		t.Error("callers share a count")
	}
	// Of another kind, it begins anew.
	again := compileText(t, document("{id: c, module: pay, concurrency: {max: 2}}"), Options{Previous: compileText(t, document("{id: c, off: {}}"), Options{Previous: next})})
	if e := again.Explain(0, c); !strings.Contains(e.String(), "0 of 2 in flight") {
		t.Error(e)
	}
}

func TestBucketsGoOver(t *testing.T) {
	text := func(per string, perSecond int) string {
		return document(fmt.Sprintf("{id: r, module: pay, rate: {per_second: %d, burst: 10, per: %s}}", perSecond, per))
	}
	drain := func(s *Set, now time.Duration) (n int) {
		for n < 1000 && ask(s, now, pay("web")).Code == 0 {
			n++
		}
		return n
	}
	first := compileText(t, text("node", 10), Options{})
	if n := drain(first, 0); n != 10 {
		t.Fatalf("%d calls of a burst of 10", n)
	}
	second := compileText(t, text("node", 100), Options{Previous: first})
	if n := drain(second, 0); n != 0 {
		t.Errorf("a changed limit lets %d calls pass at once", n)
	}
	if n := drain(second, 51*time.Millisecond); n != 5 {
		t.Errorf("%d calls after 51 ms at 100 per second, want 5", n)
	}
	gone := compileText(t, document("{id: other, off: {share: 1}}"), Options{Previous: second})
	if n := drain(compileText(t, text("node", 10), Options{Previous: gone}), time.Second); n != 10 {
		t.Errorf("a rule that was gone lets %d calls pass, want 10", n)
	}
	// What a node has of the mesh's limit, it keeps the share of.
	third := compileText(t, text("cluster", 90), Options{Previous: second, Now: time.Second})
	third.Shared()[0].Bucket.Set(time.Second, 30, 3)
	for _, c := range []struct{ perSecond, want int }{{90, 30}, {45, 15}, {90, 30}} {
		third = compileText(t, text("cluster", c.perSecond), Options{Previous: third, Now: time.Second})
		if got := third.Shared()[0]; got.Bucket.Rate() != float64(c.want) || got.PerSecond != float64(c.perSecond) || got.Key != "r" {
			t.Errorf("of %d the node has %v, want %d (%+v)", c.perSecond, got.Bucket.Rate(), c.want, got)
		}
	}
	fourth := compileText(t, text("node", 90), Options{Previous: third, Now: time.Second})
	if d := fourth.Describe(time.Second)[0]; *d.PerSecond != 90 || len(fourth.Shared()) != 0 {
		t.Errorf("of the node alone it has %v", *d.PerSecond)
	}
	if d := fourth.Describe(time.Second)[0]; d.Refused != 3 {
		t.Errorf("%d refused over three documents, want 3", d.Refused)
	}
}

func TestEachCallerHasABucketUpToABound(t *testing.T) {
	const text = "{id: r, rate: {per_second: 1, burst: 1, each: caller}}"
	s := compileText(t, document(text), Options{MaxSubjects: 100})
	for i := range maxCallers + 5 {
		code := ask(s, 0, pay(fmt.Sprint("c", i))).Code
		if own := i <= maxCallers; (code == 0) != own {
			t.Fatalf("call of caller %d: %d", i, code)
		}
	}
	shared := s.Shared()
	if n := len(shared); n != maxCallers+1 || shared[n-1].Key != "r/*" || shared[n-1].Caller != "*" || shared[0].Key != "r/c0" || shared[0].Caller != "c0" {
		t.Fatalf("%d buckets, the last %+v", n, shared[n-1])
	}
	next := compileText(t, document(strings.Replace(text, "per_second: 1", "per_second: 2", 1)), Options{Previous: s})
	if b := next.Shared()[5].Bucket; b.Rate() != 2 || b.Left(0) != 0 || next.Shared()[maxCallers].Bucket.Rate() != 2 {
		t.Errorf("after the change it has %v, %v left", b.Rate(), b.Left(0))
	}
	if n := *next.Describe(0)[0].Callers; n != maxCallers+1 {
		t.Errorf("%d callers", n)
	}
}

func TestSharesOfCallsGoOn(t *testing.T) {
	var s *Set
	refused := 0
	for range 1000 {
		s = compileText(t, document("{id: o, off: {share: 1}}"), Options{Previous: s})
		if ask(s, 0, pay("web")).Code != 0 {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 1000 calls are off, with a new document after each; want 10", refused)
	}
}

func TestLiftsTakeChecksOff(t *testing.T) {
	calendar := &governance.Calendar{}
	calendar.Set(0, at(t, "2026-01-01T00:00:00Z").UnixNano())
	text := document(
		"{id: who, callers: {deny: [web]}}",
		"{id: where, module: pay, addresses: {deny: [10.0.0.0/8]}}",
		"{id: seen, visibility: {for: admin}}",
		"{id: pw, module: pay, method: Pay, password: {keys: [{key_id: 1, secret: 0123456789abcdef}]}}",
		"{id: all, module: pay, until: 2026-01-01T00:01:00Z, lift: {checks: [callers, addresses, visibility, password]}}",
	)
	s := compileText(t, text, Options{Calendar: calendar})
	if v := ask(s, 0, pay("web")); v.Code != 0 {
		t.Errorf("refused by %s while it is lifted", v.RuleID)
	}
	if e := s.Explain(0, pay("web")); e.Decided != "" || e.Rules[0].Lifted != "all" || e.Rules[3].Lifted != "all" {
		t.Error(e)
	}
	if v := ask(s, time.Minute, pay("web")); v.RuleID != "where" {
		t.Errorf("refused by %q after the end of the lift", v.RuleID)
	}
	if e := s.Explain(time.Minute, pay("web")); e.Decided != "where" || e.Rules[0].Lifted != "" {
		t.Error(e)
	}
	if end, ok := s.NextEnd(10 * time.Second); !ok || end != time.Minute {
		t.Errorf("the next end is %v, %v", end, ok)
	}
	if _, ok := s.NextEnd(time.Minute); ok {
		t.Error("an end that has been is the next")
	}
	if r := ids(s.Restrictions("pay", 0)); len(r) != 0 {
		t.Errorf("servers enforce %v while it is lifted", r)
	}
	if diff := cmp.Diff([]string{"pw", "where"}, ids(s.Restrictions("pay", time.Minute))); diff != "" {
		t.Error(diff)
	}
	shadow := compileText(t, strings.Replace(text, "id: all,", "id: all, shadow: true,", 1), Options{Calendar: calendar})
	if v := ask(shadow, 0, pay("web")); v.RuleID != "where" || len(shadow.Restrictions("pay", 0)) != 2 {
		t.Errorf("a lift in shadow lifts: %+v", v)
	}
	// For one caller only: the list of addresses is the node's alone, the password stays.
	some := compileText(t, strings.NewReplacer(", password]", "]", "id: all,", "id: all, caller: web,").Replace(text), Options{Calendar: calendar})
	if diff := cmp.Diff([]string{"pw"}, ids(some.Restrictions("pay", 0))); diff != "" {
		t.Error(diff)
	}
	if v := ask(some, 0, pay("other")); v.RuleID != "where" {
		t.Errorf("another caller is refused by %q", v.RuleID)
	}
}

func ids(restrictions []governance.Restriction) (all []string) {
	for _, r := range restrictions {
		all = append(all, r.RuleID)
	}
	return all
}

func TestRestrictionsAreWhatServersCanEnforce(t *testing.T) {
	calendar := &governance.Calendar{}
	calendar.Set(0, at(t, "2026-01-01T00:00:00Z").UnixNano())
	s := compileText(t, document(
		"{id: all-off, until: 2026-01-01T00:01:00Z, off: {}}",
		"{id: half-off, off: {share: 50}}",
		"{id: group-off, module: pay, group: g, off: {}}",
		"{id: other-off, module: other, off: {}}",
		"{id: shadow-off, module: pay, method: Pay, shadow: true, off: {fallback: x, fallback_type: y}}",
		"{id: who, callers: {deny: [web]}}",
		"{id: where, module: pay, caller: web, addresses: {allow: [10.0.0.0/8]}}",
		"{id: node-rate, rate: {per_second: 5, per: node}}",
		"{id: rate, module: pay, rate: {per_second: 5, per: instance}}",
		"{id: in-flight, concurrency: {max: 5}}",
		"{id: late, module: pay, late: {do: discard}}",
		"{id: late-pay, module: pay, method: Pay, late: {do: run}}",
		"{id: shadow-late, shadow: true, late: {do: run}}",
	), Options{Calendar: calendar})
	want := []governance.Restriction{
		{RuleID: "shadow-off", Method: "Pay", Shadow: true, Off: &governance.Off{Share: 1, Fallback: []byte("x"), FallbackType: "y"}},
		{RuleID: "late-pay", Method: "Pay", Late: governance.LateRun},
		{RuleID: "where", Caller: "web", Addresses: &governance.Addresses{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		{RuleID: "rate", Rate: &governance.Rate{PerSecond: 5, Burst: 1}},
		{RuleID: "late", Late: governance.LateDiscard},
		{RuleID: "all-off", Off: &governance.Off{Share: 1, Fallback: []byte{}}},
	}
	compare := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, s.Restrictions("pay", 0), compare); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[:5], s.Restrictions("pay", time.Minute), compare); diff != "" {
		t.Error(diff)
	}
}

func TestTheMostSpecificSettingHolds(t *testing.T) {
	scopes := []string{ // from the least to the most specific
		"", "caller: web, ", "module: pay, ", "module: pay, caller: web, ", "module: pay, group: g, ", "module: pay, group: g, caller: web, ",
		"module: pay, method: Pay, ", "module: pay, method: Pay, caller: web, ", "module: pay, method: Pay, group: g, ",
		"module: pay, method: Pay, group: g, caller: web, ",
	}
	call := *pay("web")
	call.Group = "g"
	lines := []string{"{id: shadow, module: pay, method: Pay, group: g, shadow: true, balance: {by: hash}}"}
	for i, scope := range scopes {
		lines = append(lines, fmt.Sprintf("{id: s%d, %sretry: {max_attempts: %d}}", i, scope, i+1))
		s := compileText(t, document(lines...), Options{})
		r := s.Regime(governance.Subject{Caller: "web", Module: "pay", Method: "Pay", Group: "g"})
		if r == nil || r.Settings != (governance.Settings{MaxAttempts: i + 1}) || r.Policy != nil {
			t.Fatalf("with %s: %+v", lines[len(lines)-1], r)
		}
		e := s.Explain(0, &call)
		if want := []SettingOf{{"retry.max_attempts", fmt.Sprint(i + 1), fmt.Sprint("s", i), i + 4}}; !slices.Equal(want, e.Settings) {
			t.Errorf("explained %v", e.Settings)
		}
	}
	calendar := &governance.Calendar{}
	calendar.Set(0, at(t, "2026-01-01T00:00:00Z").UnixNano())
	text := document("{id: a, timeout: {default: 1s, max: 9s}}", "{id: b, module: pay, until: 2026-01-01T00:01:00Z, timeout: {max: 2s}}",
		"{id: c, balance: {by: hash}}", "{id: d, late: {do: discard}}")
	want := governance.Settings{MaxTimeout: 2 * time.Second, Balance: governance.BalanceHash, Late: governance.LateDiscard}
	s := compileText(t, text, Options{Calendar: calendar})
	if got := s.Regime(governance.Subject{Module: "pay", Method: "Pay"}).Settings; got != want {
		t.Errorf("got %+v", got)
	}
	s = compileText(t, text, Options{Calendar: calendar, Now: time.Minute, Previous: s})
	want.DefaultTimeout, want.MaxTimeout = time.Second, 9*time.Second
	if got := s.Regime(governance.Subject{Module: "pay", Method: "Pay"}).Settings; got != want {
		t.Errorf("after the end of the more specific one: %+v", got)
	}
	if s.Regime(governance.Subject{}).Settings != want {
		t.Error("settings of every call are not those of a call without names")
	}
}

func TestNothingMatches(t *testing.T) {
	for _, s := range []*Set{Compile(nil, Options{}), compileText(t, document("{id: x, module: other, off: {}}", "{id: y, module: pay, shadow: true, late: {do: run}}"), Options{})} {
		for range 2 {
			if r := s.Regime(governance.Subject{Caller: "web", Module: "pay", Method: "Pay"}); r != nil {
				t.Errorf("got %+v", r)
			}
		}
		if e := s.Explain(0, pay("web")); e.Decided != "" || e.Settings != nil {
			t.Error(e)
		}
	}
	m := governance.Mark{Epoch: 3, Version: 4}
	if s := Compile(nil, Options{Mark: m}); s.Mark() != m || len(s.Describe(0)) != 0 || len(s.Restrictions("x", 0)) != 0 {
		t.Error("the empty set is not empty")
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExplainChangesNothing, and reads so.
func TestExplainChangesNothing(t *testing.T) {
	calendar := &governance.Calendar{}
	calendar.Set(0, at(t, "2026-01-01T00:00:00Z").UnixNano())
	s := compileText(t, document(
		"{id: who, module: pay, shadow: true, callers: {allow: [shop]}}",
		"{id: ended, until: 2025-01-01T00:00:00Z, off: {}}",
		"{id: some, off: {share: 0.5}}",
		"{id: pw, module: pay, method: Pay, password: {keys: [{key_id: 1, secret: 0123456789abcdef}]}}",
		"{id: limit, module: pay, rate: {per_second: 10, burst: 1}}",
		"{id: held, rate: {per_second: 10, burst: 1, over: pace, max_wait: 1s}}",
		"{id: noisy, rate: {per_second: 10, burst: 1, over: alarm, each: caller}}",
		"{id: each, rate: {per_second: 10, per: instance}}",
		"{id: flight, module: pay, concurrency: {max: 1}}",
		"{id: t, timeout: {default: 1s}}",
		"{id: u, module: pay, timeout: {max: 2s}}",
	), Options{Calendar: calendar, Mark: governance.Mark{Epoch: 1, Version: 42}})
	if v := ask(s, 0, pay("web")); v.Code != 0 {
		t.Fatalf("%+v", v)
	}
	before := asJSON(t, s.Describe(0))
	var e Explanation
	for range 10 {
		e = s.Explain(0, pay("web"))
		s.Explain(0, pay("nobody-yet"))
	}
	after := asJSON(t, s.Describe(0))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(`web → pay.Pay, by rules 1.42: refused by limit with code 21
  who, line 3, callers (pay): web may not call: would refuse; in shadow
  pw, line 6, password (pay.Pay): the server wants a digest by one of its keys
  ended, line 4, off (every call): has ended; until then: all calls are off
  some, line 5, off (every call): 0.5 % of the calls are off
  limit, line 7, rate (pay): 0 of 1 left at 10 per second: refuses
  held, line 8, rate (every call): 0 of 1 left at 10 per second; the call would be held for 100ms
  noisy, line 9, rate (every call): 0 of 1 left at 10 per second; over the limit it only alarms
  each, line 10, rate (every call): each instance takes 10 per second
  flight, line 11, concurrency (pay): 0 of 1 in flight
  u, line 13, timeout (pay): holds
  t, line 12, timeout (every call): a more specific rule holds: u
  timeout.max = 2s, from u, line 13
`, e.String()); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(e)
	if want := `"decided":"limit","code":21,"settings":[{"key":"timeout.max","value":"2s","rule":"u","line":13}]}`; err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("%s, %v", text, err)
	}
	if want := `{"mark":{"epoch":1,"version":42},"caller":"web","module":"pay","method":"Pay","rules":[{"id":"who","kind":"callers","scope":"pay","line":3,` +
		`"shadow":true,"refuses":"yes","code":14,"why":"web may not call"},`; !strings.HasPrefix(string(text), want) {
		t.Errorf("%s", text)
	}
	if strings.Contains(after, `"refused":1`) || !strings.Contains(after, `"shadowed":1`) {
		t.Errorf("%s", after)
	}
}

// TestIndexFindsWhatAScanFinds: over random documents and subjects.
func TestIndexFindsWhatAScanFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := func(label string, names ...string) string { return rapid.SampledFrom(append(names, "")).Draw(t, label) }
		d := &Document{}
		for i := range rapid.IntRange(0, 30).Draw(t, "rules") {
			r := Rule{ID: fmt.Sprint("r", i), Scope: Scope{Module: name("module", "m", "n"), Caller: name("caller", "c", "d")}}
			if r.Module != "" {
				r.Method, r.Group = name("method", "M", "N"), name("group", "g", "h")
			}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				r.Callers = &Callers{Deny: []string{"x"}}
			case 1:
				r.Concurrency = &Concurrency{Max: 1}
			case 2:
				r.Addresses = &Addresses{Deny: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
			case 3:
				r.Late = &Late{"run"}
			}
			d.Rules = append(d.Rules, r)
		}
		sub := governance.Subject{Caller: name("c", "c", "d", "e"), Module: name("m", "m", "n", "o"), Method: name("M", "M", "N", "O"), Group: name("g", "g", "h", "i")}
		var want []*Rule
		for i := range d.Rules {
			r := &d.Rules[i]
			fits := func(wanted, is string) bool { return wanted == "" || wanted == is }
			if fits(r.Module, sub.Module) && fits(r.Method, sub.Method) && fits(r.Group, sub.Group) && fits(r.Caller, sub.Caller) {
				want = append(want, r)
			}
		}
		order := []Kind{KindAddresses, KindCallers, KindConcurrency, KindLate}
		slices.SortStableFunc(want, func(a, b *Rule) int {
			if k := slices.Index(order, a.Kind()) - slices.Index(order, b.Kind()); k != 0 {
				return k
			}
			return b.specificity() - a.specificity()
		})
		s := Compile(d, Options{})
		var got, wanted []string
		for _, c := range s.matching(sub) {
			got = append(got, c.ID)
		}
		policies := 0
		for _, r := range want {
			wanted = append(wanted, r.ID)
			if r.Late == nil {
				policies++
			}
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Fatalf("%+v\n%s", sub, diff)
		}
		r := s.Regime(sub)
		switch {
		case len(want) == 0 && r != nil, len(want) > 0 && r == nil:
			t.Fatalf("%d rules match, the regime is %v", len(want), r)
		case r == nil:
		case policies == 0 && r.Policy != nil, policies > 0 && len(r.Policy.(governance.Chain)) != policies:
			t.Fatalf("%d restrictions match, the policy is %v", policies, r.Policy)
		}
	})
}

func TestSubjectsAreBounded(t *testing.T) {
	s := compileText(t, document("{id: r, module: pay, off: {}}"), Options{MaxSubjects: 100})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 2000 {
				sub := governance.Subject{Caller: fmt.Sprint(i % 500), Module: "pay", Method: "Pay"}
				if w%2 == 0 {
					sub.Module = "other"
				}
				if r := s.Regime(sub); (r != nil) != (sub.Module == "pay") {
					t.Errorf("%+v: %v", sub, r)
				}
			}
		})
	}
	all.Wait()
	kept := 0
	for i := range s.kept.slots {
		for e := s.kept.slots[i].Load(); e != nil; e = e.next {
			kept++
		}
	}
	if kept != 100 || s.kept.held.Load() != 100 {
		t.Errorf("%d are kept, %d counted, want 100", kept, s.kept.held.Load())
	}
	sub := governance.Subject{}
	for i := range s.kept.slots {
		if e := s.kept.slots[i].Load(); e != nil {
			sub = e.Subject
		}
	}
	if a, b := s.Regime(sub), s.Regime(sub); a != b {
		t.Error("a subject that is kept has two regimes")
	}
}

// thousand is a set of a thousand rules, five restrictions of which match the subject of sell.
func thousand(t testing.TB) (*Set, governance.Subject) {
	lines := []string{
		"{id: where, module: pay, addresses: {allow: [10.0.0.0/8]}}", "{id: who, module: pay, callers: {allow: [web]}}",
		"{id: some, module: pay, method: Pay, off: {share: 0.001}}", "{id: limit, module: pay, rate: {per_second: 1e7, burst: 1e9}}",
		"{id: flight, module: pay, concurrency: {max: 100}}", "{id: t, timeout: {max: 5s}}",
	}
	for i := len(lines); i < 1000; i++ {
		lines = append(lines, fmt.Sprintf("{id: r%d, module: m%d, method: M%d, rate: {per_second: 5}}", i, i%50, i))
	}
	s := compileText(t, document(lines...), Options{})
	for i := range 10_000 {
		s.Regime(governance.Subject{Caller: fmt.Sprint("c", i), Module: "pay", Method: "Pay"})
	}
	return s, governance.Subject{Caller: "web", Module: "pay", Method: "Pay"}
}

func TestACallAllocatesNothing(t *testing.T) {
	s, sub := thousand(t)
	c := pay("web")
	refused := pay("web")
	refused.CallerIP = netip.MustParseAddr("11.1.1.1")
	if n := len(s.Regime(sub).Policy.(governance.Chain)); n != 5 {
		t.Fatalf("%d restrictions match, want 5", n)
	}
	for _, c := range []*governance.Call{c, refused} {
		n := testing.AllocsPerRun(1000, func() {
			r := s.Regime(sub)
			if r.Policy.Admit(0, c).Admitted() {
				r.Policy.Settle(0, c, governance.Succeeded)
			}
		})
		if n != 0 && !raceEnabled {
			t.Errorf("%v allocations, want none", n)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	s, sub := thousand(b)
	c := pay("web")
	now := time.Duration(0)
	b.Run("regime, admit, settle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now += 100
			r := s.Regime(sub)
			if r.Policy.Admit(now, c).Admitted() {
				r.Policy.Settle(now, c, governance.Succeeded)
			}
		}
	})
	b.Run("regime", func(b *testing.B) {
		for b.Loop() {
			s.Regime(sub)
		}
	})
	b.Run("of a new subject", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.build(sub)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	text := many(20_000, "")
	d, err := Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse 20,000 rules", func(b *testing.B) {
		for b.Loop() {
			_, _ = Parse(text)
		}
	})
	s := Compile(d, Options{})
	b.Run("compile 20,000 rules", func(b *testing.B) {
		for b.Loop() {
			Compile(d, Options{Previous: s})
		}
	})
}
