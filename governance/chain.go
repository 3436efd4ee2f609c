package governance

import (
	"slices"
	"time"
)

// Chain is policies in the order in which they are asked. It is a Policy itself: the first that refuses ends it, and those
// before it hear Local, so that they give back what they took; who admits hears the outcome in reverse order. Their waits do not add
// up: the longest one counts.
type Chain []Policy

// Admit implements Policy.
func (p Chain) Admit(now time.Duration, c *Call) Verdict {
	var held Verdict
	for i, policy := range p {
		v := policy.Admit(now, c)
		if !v.Admitted() {
			p[:i].Settle(now, c, Local)
			return v
		}
		if v.Wait > held.Wait {
			held = v
		}
	}
	return held
}

// Settle implements Policy.
func (p Chain) Settle(now time.Duration, c *Call, o Outcome) {
	for _, policy := range slices.Backward(p) {
		policy.Settle(now, c, o)
	}
}

var _ Policy = Chain(nil)
