package router

import (
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/ratelimit"
	"github.com/twohop/twohop/proto/wire"
)

// TestWhatThisNodeEndsWithoutAnInstanceIsLocal: rules count what instances were sent, and give back what they took for the rest.
func TestWhatThisNodeEndsWithoutAnInstanceIsLocal(t *testing.T) {
	wait := 50 * time.Millisecond
	for _, c := range []struct {
		name string
		wait time.Duration
		run  func(h *house, pay *fakeTarget)
		code wire.Code
		want governance.Outcome
	}{
		{"nobody has the method", 0, func(h *house, pay *fakeTarget) { h.r.Unregister(pay.session) }, wire.NoModule, governance.Local},
		{"its queue is full", 0, func(_ *house, pay *fakeTarget) { pay.full = true }, wire.Overloaded, governance.Local},
		{"it refuses", 0, nil, wire.Overloaded, governance.Refused},
		{"it is gone when the call's turn comes", wait, func(h *house, pay *fakeTarget) { h.r.Unregister(pay.session) }, wire.NoModule, governance.Local},
		{"it refuses a call that was held", wait, nil, wire.Overloaded, governance.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, r := ruledHouse(t)
			pay := h.serve("pay-1")
			r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict { return governance.Verdict{Wait: c.wait} })
			if c.run != nil && c.wait == 0 {
				c.run(h, pay)
			}
			o, _, _ := h.submit(callSpec{method: "Move", budget: time.Second})
			if c.run != nil && c.wait > 0 {
				c.run(h, pay)
			}
			h.pass(c.wait + 10*time.Millisecond)
			if c.run == nil {
				pay.end(pay.last().CallID, End{Code: c.code})
			}
			o.want(t, c.code)
			if !slices.Equal(r.settled, []governance.Outcome{c.want}) {
				t.Errorf("settled %v, want %v", r.settled, c.want)
			}
		})
	}
}

// sameForAll is a Governor with one regime.
type sameForAll struct{ regime *governance.Regime }

func (sameForAll) Generation() uint64                             { return 1 }
func (g sameForAll) Regime(governance.Subject) *governance.Regime { return g.regime }
func (sameForAll) Restrictions(string) (governance.Mark, []governance.Restriction) {
	return governance.Mark{}, nil
}

// TestNobodyWaitsBehindCallsThatAreGone holds calls, gives all of them up, and makes another one.
func TestNobodyWaitsBehindCallsThatAreGone(t *testing.T) {
	rule := governance.Rule{ID: "pace", Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
	pace := ratelimit.New(rule, ratelimit.Options{Over: ratelimit.Pace, MaxWait: 10 * time.Second}, ratelimit.NewBucket(20, 1))
	h := newHouse(t, Options{Governor: sameForAll{&governance.Regime{Policy: pace}}})
	pay := h.serve("pay-1")
	for i := range 150 {
		o, c, life := h.submit(callSpec{method: "Move", budget: 20 * time.Second})
		if i == 0 {
			pay.end(pay.last().CallID, End{Code: wire.OK})
			continue
		}
		h.r.Cancel(&h.b, c, life, wire.Cancelled)
		o.want(t, wire.Cancelled)
	}
	start, before := h.now, pay.got()
	o, _, _ := h.submit(callSpec{method: "Move", budget: 20 * time.Second})
	for pay.got() == before && h.now-start < 15*time.Second {
		h.pass(10 * time.Millisecond)
	}
	if took := h.now - start; took > 80*time.Millisecond {
		t.Errorf("nobody else is there, and the call starts after %v, want 50ms", took)
	}
	pay.end(pay.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
}
