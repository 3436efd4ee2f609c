package visibility

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

func ruleOf(id string) governance.Rule {
	return governance.Rule{ID: id, Version: 4, Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
}

func TestWhoSeesWhat(t *testing.T) {
	for _, c := range []struct {
		level            Level
		inside, external bool // who may call
	}{{Internal, true, false}, {External, true, true}, {Admin, false, false}, {Admin + 1, false, false}} {
		for _, external := range []bool{false, true} {
			rule := ruleOf("r")
			p, call := New(rule, c.level), &governance.Call{Caller: "web", External: external}
			want := c.inside
			if external {
				want = c.external
			}
			v := p.Admit(0, call)
			if v.Admitted() != want {
				t.Errorf("%v, external %v: %+v", c.level, external, v)
			}
			if !want && (v.Code != 14 || v.RuleID != "r" || rule.Tally.Refused.Load() != 1) {
				t.Errorf("%v, external %v: %+v, want DENIED by the rule, counted", c.level, external, v)
			}
			p.Settle(0, call, governance.Local)
		}
	}
}

func TestShadowAndEnd(t *testing.T) {
	rule := ruleOf("r")
	rule.Shadow = true
	if v := New(rule, Admin).Admit(0, &governance.Call{}); !v.Admitted() || rule.Tally.Shadowed.Load() != 1 {
		t.Errorf("in shadow: %+v, %d counted", v, rule.Tally.Shadowed.Load())
	}
	rule = ruleOf("r")
	rule.Until = int64(time.Minute)
	p := New(rule, Admin)
	if p.Admit(time.Minute-1, &governance.Call{}).Admitted() || !p.Admit(time.Minute, &governance.Call{}).Admitted() {
		t.Error("want a refusal until the end of the rule, and none from then on")
	}
}

func TestLevelsHaveNames(t *testing.T) {
	for level, want := range map[Level]string{Internal: "internal", External: "external", Admin: "admin", 9: "unknown"} {
		if level.String() != want {
			t.Errorf("%d is called %q, want %q", level, level, want)
		}
	}
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	p, call := New(ruleOf("r"), Internal), &governance.Call{External: true}
	if n := testing.AllocsPerRun(100, func() { p.Admit(0, call); p.Settle(0, call, governance.Local) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	p, call := New(ruleOf("r"), Internal), &governance.Call{}
	b.ReportAllocs()
	for b.Loop() {
		p.Admit(0, call)
	}
}
