package degrade

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

func ruleOf(id string) governance.Rule {
	return governance.Rule{ID: id, Version: 4, Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
}

var call = &governance.Call{}

func TestAllAreOffAndGetTheFallback(t *testing.T) {
	rule := ruleOf("r")
	p := New(rule, governance.Off{Share: 1, Fallback: []byte("{}"), FallbackType: "application/json"})
	for range 100 {
		v := p.Admit(0, call)
		if v.Code != 23 || string(v.Fallback) != "{}" || v.FallbackType != "application/json" || v.RuleID != "r" || v.RuleVersion != 4 {
			t.Fatalf("%+v, want DEGRADED by the rule with its fallback", v)
		}
	}
	if rule.Tally.Refused.Load() != 100 {
		t.Errorf("%d counted, want 100", rule.Tally.Refused.Load())
	}
	p.Settle(0, call, governance.Local)
}

func TestAShareIsTheShareOfAnyHundredCalls(t *testing.T) {
	for percent := range 101 {
		p := New(ruleOf("r"), governance.Off{Share: float64(percent) / 100})
		var off [1000]int // up to each call
		n := 0
		for i := range off {
			if !p.Admit(0, call).Admitted() {
				n++
			}
			off[i] = n
		}
		for i := range off {
			switch {
			case i == 99 && off[i] != percent:
				t.Fatalf("%d %%: %d of the first hundred are off", percent, off[i])
			case i >= 100 && off[i]-off[i-100] != percent:
				t.Fatalf("%d %%: %d of the hundred calls up to %d are off", percent, off[i]-off[i-100], i)
			}
		}
	}
}

func TestSharesOutsideCountAsTheNearerEnd(t *testing.T) {
	for share, want := range map[float64]int{-1: 0, 0: 0, math.NaN(): 0, 1e-30: 0, 1: 100, 2: 100, math.Inf(1): 100} {
		p, off := New(ruleOf("r"), governance.Off{Share: share}), 0
		for range 100 {
			if !p.Admit(0, call).Admitted() {
				off++
			}
		}
		if off != want {
			t.Errorf("a share of %v: %d of a hundred, want %d", share, off, want)
		}
	}
}

func TestTheNextPolicyGoesOnWhereThisOneStands(t *testing.T) {
	p, off := New(ruleOf("r"), governance.Off{Share: 0.01}), 0
	for range 1000 {
		if !p.Admit(0, call).Admitted() {
			off++
		}
		p = p.Next(ruleOf("r"), governance.Off{Share: 0.01})
	}
	if off != 10 {
		t.Errorf("%d of a thousand calls are off while the document changes at each, want 10", off)
	}
}

func TestShadowAndEnd(t *testing.T) {
	rule := ruleOf("r")
	rule.Shadow = true
	p := New(rule, governance.Off{Share: 0.1})
	for range 100 {
		if v := p.Admit(0, call); !v.Admitted() || v.Fallback != nil {
			t.Fatalf("in shadow: %+v", v)
		}
	}
	if rule.Tally.Shadowed.Load() != 10 {
		t.Errorf("%d counted in shadow, want 10", rule.Tally.Shadowed.Load())
	}
	rule = ruleOf("r")
	rule.Until = int64(time.Minute)
	p = New(rule, governance.Off{Share: 1})
	if p.Admit(time.Minute-1, call).Admitted() || !p.Admit(time.Minute, call).Admitted() {
		t.Error("want a refusal until the end of the rule, and none from then on")
	}
}

func TestConcurrentCallsShareTheShare(t *testing.T) {
	p := New(ruleOf("r"), governance.Off{Share: 0.25})
	var off atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10_000 {
				if !p.Admit(0, call).Admitted() {
					off.Add(1)
				}
			}
		})
	}
	all.Wait()
	if off.Load() != 10_000 {
		t.Errorf("%d of 40,000 are off, want exactly 10,000", off.Load())
	}
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	p := New(ruleOf("r"), governance.Off{Share: 0.5, Fallback: []byte("{}")})
	if n := testing.AllocsPerRun(100, func() { p.Admit(0, call); p.Settle(0, call, governance.Local) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	p := New(ruleOf("r"), governance.Off{Share: 0.1, Fallback: []byte("{}")})
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Admit(0, call)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(each *testing.PB) {
			for each.Next() {
				p.Admit(0, call)
			}
		})
	})
}
