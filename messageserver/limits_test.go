package messageserver

import (
	"testing"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// TestLimitsAreListedAnewOnlyWhenThereAreOthers: rules and callers bring others.
func TestLimitsAreListedAnewOnlyWhenThereAreOthers(t *testing.T) {
	g := aloneNode(t).government
	limits := sharedLimits(g.rules)
	if got := limits(); len(got) != 0 {
		t.Errorf("%+v without rules", got)
	}
	apply := func(text string) {
		t.Helper()
		from := g.rules.Standing().Mark
		if _, err := g.rules.Apply(t.Context(), rulestore.Change{Text: []byte("format: 1\nrules:\n" + text), From: &from, Author: "kim", Reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(perSecond float64, keys ...string) {
		t.Helper()
		got := limits()
		if len(got) != len(keys) {
			t.Fatalf("%+v, want %q", got, keys)
		}
		for i, l := range got {
			if l.Key != keys[i] || l.PerSecond != perSecond || l.Bucket == nil {
				t.Errorf("%+v, want %q of %v", got, keys, perSecond)
			}
		}
		if again := limits(); &again[0] != &got[0] {
			t.Error("another slice, though nothing has changed")
		}
	}
	call := func(caller string) {
		g.rules.Set().Regime(governance.Subject{Caller: caller, Module: "pay", Method: "Charge"})
	}
	apply("  - {id: each, module: pay, rate: {per_second: 5, each: caller}}\n")
	call("web")
	want(5, "each/web")
	call("app")
	want(5, "each/app", "each/web")
	apply("  - {id: each, module: pay, rate: {per_second: 6, each: caller}}\n")
	want(6, "each/app", "each/web")
	apply("  - {id: one, module: pay, rate: {per_second: 7}}\n")
	want(7, "one")
}
