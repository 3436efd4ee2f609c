package access

import (
	"net/netip"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// ruleOf returns a rule that counts.
func ruleOf(id string) governance.Rule {
	return governance.Rule{ID: id, Version: 4, Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestWhoMayCall(t *testing.T) {
	house := &governance.Addresses{Allow: prefixes("10.0.0.0/8", "127.0.0.0/8"), Deny: prefixes("10.6.6.0/24")}
	for _, c := range []struct {
		name   string
		o      Options
		caller string
		ip     string
		want   bool
	}{
		{"nothing is said", Options{}, "web", "192.0.2.1", true},
		{"allowed", Options{AllowCallers: []string{"app", "web"}}, "web", "", true},
		{"not among the allowed", Options{AllowCallers: []string{"app"}}, "web", "", false},
		{"denied", Options{DenyCallers: []string{"web"}}, "web", "", false},
		{"another is denied", Options{DenyCallers: []string{"app"}}, "web", "", true},
		{"deny goes before allow", Options{AllowCallers: []string{"web"}, DenyCallers: []string{"web"}}, "web", "", false},
		{"a name is not a pattern", Options{AllowCallers: []string{"we"}}, "web", "", false},
		{"address", Options{Addresses: house}, "web", "10.1.2.3", true},
		{"foreign address", Options{Addresses: house}, "web", "192.0.2.1", false},
		{"denied address", Options{Addresses: house}, "web", "10.6.6.6", false},
		{"unix socket", Options{Addresses: house}, "web", "", true},
		{"unix socket, loopback denied", Options{Addresses: &governance.Addresses{Deny: prefixes("127.0.0.1/32")}}, "web", "", false},
		{"the caller's name does not make up for its address", Options{AllowCallers: []string{"web"}, Addresses: house}, "web", "192.0.2.1", false},
		{"nor the address for the name", Options{AllowCallers: []string{"app"}, Addresses: house}, "web", "10.1.2.3", false},
	} {
		rule := ruleOf("r")
		p := New(rule, c.o)
		call := &governance.Call{Caller: c.caller}
		if c.ip != "" {
			call.CallerIP = netip.MustParseAddr(c.ip)
		}
		v := p.Admit(0, call)
		if v.Admitted() != c.want {
			t.Errorf("%s: %+v", c.name, v)
		}
		if !c.want && (v.Code != 14 || v.RuleID != "r" || v.RuleVersion != 4 || rule.Tally.Refused.Load() != 1) {
			t.Errorf("%s: %+v and %d refused, want DENIED by the rule, counted", c.name, v, rule.Tally.Refused.Load())
		}
		p.Settle(0, call, governance.Local)
	}
}

func TestShadowAndEnd(t *testing.T) {
	rule := ruleOf("r")
	rule.Shadow = true
	if v := New(rule, Options{DenyCallers: []string{"web"}}).Admit(0, &governance.Call{Caller: "web"}); !v.Admitted() || rule.Tally.Shadowed.Load() != 1 {
		t.Errorf("in shadow: %+v, %d counted", v, rule.Tally.Shadowed.Load())
	}
	rule = ruleOf("r")
	rule.Until = int64(time.Minute)
	p := New(rule, Options{DenyCallers: []string{"web"}})
	if p.Admit(time.Minute-1, &governance.Call{Caller: "web"}).Admitted() {
		t.Error("admitted before the end of the rule")
	}
	if !p.Admit(time.Minute, &governance.Call{Caller: "web"}).Admitted() {
		t.Error("refused after the end of the rule")
	}
}

func TestALiftTurnsTheCheckOffUntilItEnds(t *testing.T) {
	lift := ruleOf("lift")
	lift.Until = int64(time.Minute)
	checked := ruleOf("r")
	p := Unless(lift, New(checked, Options{DenyCallers: []string{"web"}}))
	web := &governance.Call{Caller: "web"}
	if v := p.Admit(time.Minute-1, web); !v.Admitted() || checked.Tally.Refused.Load() != 0 {
		t.Errorf("while it lasts: %+v", v)
	}
	if v := p.Admit(time.Minute, web); v.Admitted() || v.RuleID != "r" {
		t.Errorf("after its end: %+v, want the rule's refusal", v)
	}
	lift.Shadow = true
	if v := Unless(lift, New(checked, Options{DenyCallers: []string{"web"}})).Admit(0, web); v.Admitted() {
		t.Error("a lift in shadow lifts")
	}
	p.Settle(0, web, governance.Succeeded)
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	p := New(ruleOf("r"), Options{AllowCallers: []string{"web"}, DenyCallers: []string{"app"}, Addresses: &governance.Addresses{Allow: tenThousand()}})
	lifted := Unless(ruleOf("lift"), p)
	for _, ip := range []string{"10.0.0.1", "192.0.2.1", "2001:db8::1"} {
		call := &governance.Call{Caller: "web", CallerIP: netip.MustParseAddr(ip)}
		if n := testing.AllocsPerRun(100, func() {
			p.Admit(0, call)
			lifted.Admit(0, call)
			p.Settle(0, call, governance.Succeeded)
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", ip, n)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	p := New(ruleOf("r"), Options{AllowCallers: []string{"app", "web"}, Addresses: &governance.Addresses{Allow: tenThousand()}})
	call := &governance.Call{Caller: "web", CallerIP: netip.MustParseAddr("10.17.3.1")}
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
