package access

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// Unless returns a policy that asks p only when the rule lift has ended: while it lasts, p's check is off. A lift in shadow
// lifts nothing.
//
// p must not hold anything for a call until it is settled, as a limit of calls in flight does: a lift may end between Admit
// and Settle, so Settle is not passed on.
func Unless(lift governance.Rule, p governance.Policy) governance.Policy {
	return &unless{lift: lift, policy: p}
}

type unless struct {
	// Static after construction.
	lift   governance.Rule
	policy governance.Policy
}

// Admit implements governance.Policy.
func (u *unless) Admit(now time.Duration, c *governance.Call) governance.Verdict {
	if u.lift.Shadow || u.lift.Over(now) {
		return u.policy.Admit(now, c)
	}
	return governance.Verdict{}
}

// Settle implements governance.Policy.
func (u *unless) Settle(time.Duration, *governance.Call, governance.Outcome) {}
