package rules

import (
	"fmt"
	"testing"

	"github.com/twohop/twohop/governance"
)

// TestSharedIsMadeAnewOnlyWhenThereIsMore: whoever shares limits out looks many times a second, and sees by the slice that nothing
// is new.
func TestSharedIsMadeAnewOnlyWhenThereIsMore(t *testing.T) {
	compile := func(text string, previous *Set) *Set {
		t.Helper()
		doc, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return Compile(doc, Options{Previous: previous})
	}
	const text = "format: 1\nrules:\n  - {id: all, module: pay, rate: {per_second: 10}}\n  - {id: each, module: pay, rate: {per_second: 5, each: caller}}\n" +
		"  - {id: here, module: pay, rate: {per_second: 5, per: node}}\n"
	s := compile(text, nil)
	keys := func(s *Set) (all string) {
		for _, l := range s.Shared() {
			all += l.Key + " "
		}
		return all
	}
	call := func(s *Set, caller string) {
		s.Regime(governance.Subject{Caller: caller, Module: "pay", Method: "Charge"})
	}
	if got := keys(s); got != "all " {
		t.Errorf("before any call: %s", got)
	}
	call(s, "web")
	if got := keys(s); got != "all each/web " {
		t.Errorf("web has called: %s", got)
	}
	first := s.Shared()
	if n := testing.AllocsPerRun(10, func() { s.Shared() }); n != 0 || &first[0] != &s.Shared()[0] {
		t.Errorf("%v allocations where nothing is new, want none and the same slice", n)
	}
	next := compile(text, s)
	call(next, "app") // the buckets are those of both
	if got := keys(s); got != "all each/app each/web " || keys(next) != got {
		t.Errorf("app has called under the next rules: %s, and %s", got, keys(next))
	}
	if len(first) != 2 || first[1].Key != "each/web" {
		t.Errorf("a slice that was returned has changed: %+v", first)
	}
	for i := range maxCallers + 1 {
		call(next, fmt.Sprint("c", i))
	}
	if all := next.Shared(); len(all) != 1+maxCallers+1 || all[len(all)-1].Caller != everybodyElse {
		t.Errorf("%d limits, the last one of %q; want one for each of the first callers and one of the others", len(all), all[len(all)-1].Caller)
	}
	if got := keys(compile("format: 1\nrules: []\n", next)); got != "" {
		t.Errorf("no rules: %s", got)
	}
}

func BenchmarkShared(b *testing.B) {
	doc, err := Parse([]byte("format: 1\nrules:\n  - {id: each, module: pay, rate: {per_second: 5, each: caller}}\n"))
	if err != nil {
		b.Fatal(err)
	}
	s := Compile(doc, Options{})
	for i := range maxCallers {
		s.Regime(governance.Subject{Caller: fmt.Sprint("c", i), Module: "pay", Method: "Charge"})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Shared()
	}
}
