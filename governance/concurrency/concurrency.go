package concurrency

import (
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
)

// overloaded is the status code OVERLOADED.
const overloaded = 22

// retryAfter is the advice to refused callers. When a place will be free is not known.
const retryAfter = 100 * time.Millisecond

// Gauge counts what is in flight. It may belong to several policies, over several documents. Safe for concurrent use.
type Gauge struct{ held atomic.Int64 }

// NewGauge returns a gauge at 0.
func NewGauge() *Gauge { return &Gauge{} }

// Held returns how many calls are in flight.
func (g *Gauge) Held() int { return int(g.held.Load()) }

// take adds one if fewer than limit are in flight, and reports whether it did.
func (g *Gauge) take(limit int64) bool {
	for {
		// Not an addition that is taken back: it would refuse others meanwhile.
		held := g.held.Load()
		if held >= limit {
			return false
		}
		if g.held.CompareAndSwap(held, held+1) {
			return true
		}
	}
}

// Policy refuses, with OVERLOADED, calls that find the gauge at its limit. Safe for concurrent use.
type Policy struct {
	// Static after construction.
	rule  governance.Rule
	limit int64
	gauge *Gauge
}

// New returns the policy of a rule: at most max calls in flight on g, none if max is 0 or less.
func New(rule governance.Rule, max int, g *Gauge) *Policy {
	return &Policy{rule: rule, limit: int64(max), gauge: g}
}

// Admit implements governance.Policy.
func (p *Policy) Admit(now time.Duration, _ *governance.Call) governance.Verdict {
	if p.gauge.take(p.limit) {
		return governance.Verdict{}
	}
	if !p.rule.Over(now) {
		if v := p.rule.Refuse(governance.Verdict{Code: overloaded, RetryAfter: retryAfter}); !v.Admitted() {
			return v
		}
	}
	p.gauge.held.Add(1) // over the limit, and admitted all the same
	return governance.Verdict{}
}

// Settle implements governance.Policy.
func (p *Policy) Settle(time.Duration, *governance.Call, governance.Outcome) { p.gauge.held.Add(-1) }

var _ governance.Policy = (*Policy)(nil)
