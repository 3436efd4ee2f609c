package degrade

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
)

// degraded is the status code DEGRADED.
const degraded = 23

// Policy answers calls, or a share of them, with DEGRADED and a fallback. Safe for concurrent use.
type Policy struct {
	// Static after construction.
	rule    governance.Rule
	verdict governance.Verdict
	step    uint64 // the share, in 1/2^64
	all     bool   // the share is 1

	// Updated by Admit. It begins at a half: at 0 a share like 0.3, which no float is, would owe its last call of the first hundred.
	// Policies that follow each other have it together.
	sum *atomic.Uint64
}

// New returns the policy of a rule. It keeps off.Fallback, which must not be changed.
func New(rule governance.Rule, off governance.Off) *Policy {
	p := newPolicy(rule, off, &atomic.Uint64{})
	p.sum.Store(1 << 63)
	return p
}

// Next returns the policy of a rule that takes the place of p's: which of the next calls are off goes on from where p stands, so
// that a small share of few calls is not begun anew with each document. It keeps off.Fallback, too.
func (p *Policy) Next(rule governance.Rule, off governance.Off) *Policy {
	return newPolicy(rule, off, p.sum)
}

func newPolicy(rule governance.Rule, off governance.Off, sum *atomic.Uint64) *Policy {
	p := &Policy{
		sum:     sum,
		rule:    rule,
		verdict: governance.Verdict{Code: degraded, Fallback: off.Fallback, FallbackType: off.FallbackType},
		all:     off.Share >= 1,
	}
	if off.Share > 0 && !p.all {
		p.step = uint64(math.Ldexp(off.Share, 64))
	}
	return p
}

// Admit implements governance.Policy.
func (p *Policy) Admit(now time.Duration, _ *governance.Call) governance.Verdict {
	if p.rule.Over(now) {
		return governance.Verdict{}
	}
	if !p.all && p.sum.Add(p.step) >= p.step {
		return governance.Verdict{} // it has not overflowed
	}
	return p.rule.Refuse(p.verdict)
}

// Settle implements governance.Policy.
func (p *Policy) Settle(time.Duration, *governance.Call, governance.Outcome) {}

var _ governance.Policy = (*Policy)(nil)
