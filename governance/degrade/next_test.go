package degrade

import (
	"testing"

	"github.com/twohop/twohop/governance"
)

func TestNextGoesOnWhereItsPredecessorStands(t *testing.T) {
	rule := governance.Rule{ID: "r", Tally: &governance.Tally{}}
	p := New(rule, governance.Off{Share: 0.01})
	var c governance.Call
	refused := 0
	for range 1000 {
		if !p.Admit(0, &c).Admitted() {
			refused++
		}
		p = p.Next(rule, governance.Off{Share: 0.01})
	}
	if refused != 10 {
		t.Errorf("%d of 1000 calls refused with a new document after each, want 10", refused)
	}
	if all := p.Next(rule, governance.Off{Share: 1}); all.Admit(0, &c).Admitted() {
		t.Error("a policy of all calls after one of some admits")
	}
}
