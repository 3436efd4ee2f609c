package concurrency

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/twohop/twohop/governance"
)

func ruleOf(id string) governance.Rule {
	return governance.Rule{ID: id, Version: 4, Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
}

var call = &governance.Call{}

func TestOverTheLimitIsOverloaded(t *testing.T) {
	rule, g := ruleOf("r"), NewGauge()
	p := New(rule, 2, g)
	for range 2 {
		if v := p.Admit(0, call); !v.Admitted() {
			t.Fatalf("%+v under the limit", v)
		}
	}
	v := p.Admit(0, call)
	if v.Code != 22 || v.RetryAfter != 100*time.Millisecond || v.RuleID != "r" || v.RuleVersion != 4 || rule.Tally.Refused.Load() != 1 {
		t.Errorf("%+v over the limit, want OVERLOADED by the rule, counted", v)
	}
	if g.Held() != 2 {
		t.Errorf("%d in flight, want 2: a refused call is not", g.Held())
	}
	p.Settle(0, call, governance.Failed)
	if v := p.Admit(0, call); !v.Admitted() {
		t.Errorf("%+v after one has ended", v)
	}
	if v := New(rule, 0, NewGauge()).Admit(0, call); v.Admitted() {
		t.Error("a limit of 0 admits")
	}
	if v := New(rule, -1, NewGauge()).Admit(0, call); v.Admitted() {
		t.Error("a limit below 0 admits")
	}
}

func TestInShadowAllAreCountedAndAdmitted(t *testing.T) {
	rule, g := ruleOf("r"), NewGauge()
	rule.Shadow = true
	p := New(rule, 2, g)
	for range 5 {
		if v := p.Admit(0, call); !v.Admitted() {
			t.Fatalf("%+v in shadow", v)
		}
	}
	if g.Held() != 5 || rule.Tally.Shadowed.Load() != 3 {
		t.Errorf("%d in flight and %d counted, want 5 and 3", g.Held(), rule.Tally.Shadowed.Load())
	}
	for range 5 {
		p.Settle(0, call, governance.Succeeded)
	}
	if g.Held() != 0 {
		t.Errorf("%d in flight after all have ended", g.Held())
	}
}

// TestTheBooksBalance lets calls begin and end in any order while the rule changes: another limit, shadow, and its end.
func TestTheBooksBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, now := NewGauge(), time.Duration(0)
		var running []*Policy
		p := New(ruleOf("r"), 3, g)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Second
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				rule := ruleOf("r")
				rule.Shadow = rapid.Bool().Draw(t, "shadow")
				if rapid.Bool().Draw(t, "ends") {
					rule.Until = int64(now + 5*time.Second)
				}
				p = New(rule, rapid.IntRange(0, 5).Draw(t, "max"), g)
			case 1, 2:
				if held := g.Held(); p.Admit(now, call).Admitted() {
					if !p.rule.Shadow && !p.rule.Over(now) && int64(held) >= p.limit {
						t.Fatalf("admitted with %d in flight of %d", held, p.limit)
					}
					running = append(running, p)
				}
			default:
				if len(running) > 0 {
					i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
					running[i].Settle(now, call, governance.Succeeded)
					running = append(running[:i], running[i+1:]...)
				}
			}
			if g.Held() != len(running) {
				t.Fatalf("%d in flight, want %d", g.Held(), len(running))
			}
		}
	})
}

// TestConcurrentCallsNeverExceedTheLimit is made sharp by the detector of races.
func TestConcurrentCallsNeverExceedTheLimit(t *testing.T) {
	const limit = 3
	p := New(ruleOf("r"), limit, NewGauge())
	var running, most, admitted atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20_000 {
				if !p.Admit(0, call).Admitted() {
					continue
				}
				admitted.Add(1)
				n := running.Add(1)
				for before := most.Load(); n > before && !most.CompareAndSwap(before, n); before = most.Load() {
				}
				running.Add(-1)
				p.Settle(0, call, governance.Succeeded)
			}
		})
	}
	all.Wait()
	if most.Load() > limit || p.gauge.Held() != 0 || admitted.Load() == 0 {
		t.Errorf("at most %d at once, %d left, %d admitted; want ≤ %d, 0, some", most.Load(), p.gauge.Held(), admitted.Load(), limit)
	}
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	p := New(ruleOf("r"), 1, NewGauge())
	if n := testing.AllocsPerRun(100, func() {
		p.Admit(0, call)
		p.Admit(0, call)
		p.Settle(0, call, governance.Succeeded)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkAdmitSettle(b *testing.B) {
	p := New(ruleOf("r"), 1000, NewGauge())
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Admit(0, call)
			p.Settle(0, call, governance.Succeeded)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(each *testing.PB) {
			for each.Next() {
				p.Admit(0, call)
				p.Settle(0, call, governance.Succeeded)
			}
		})
	})
}
