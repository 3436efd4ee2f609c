package rules

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// TestWhatALaterRuleRefusesIsNotPaced: calls that find no place in flight do not stand in the queue of a rate.
func TestWhatALaterRuleRefusesIsNotPaced(t *testing.T) {
	doc, err := Parse([]byte("format: 1\nrules:\n" +
		"  - {id: p, module: pay, rate: {per_second: 10, burst: 1, per: node, over: pace, max_wait: 10s}}\n" +
		"  - {id: c, module: pay, concurrency: {max: 1}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	policy := Compile(doc, Options{}).Regime(governance.Subject{Caller: "web", Module: "pay", Method: "Charge"}).Policy
	call := &governance.Call{Caller: "web", Module: "pay", Method: "Charge", Budget: time.Minute}
	if v := policy.Admit(0, call); !v.Admitted() || v.Wait != 0 {
		t.Fatalf("the first: %+v", v)
	}
	for range 50 {
		if v := policy.Admit(0, call); v.Code != 22 || v.RuleID != "c" {
			t.Fatalf("one in flight, and another: %+v", v)
		}
	}
	policy.Settle(0, call, governance.Succeeded)
	if v := policy.Admit(0, call); !v.Admitted() || (v.Wait-100*time.Millisecond).Abs() > 10 {
		t.Errorf("the one that may run now: %+v, want a wait of 100ms", v)
	}
}
