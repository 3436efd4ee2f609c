package governance

import "time"

// Policy decides whether a call may enter and learns how it ended. Implementations are safe for concurrent use and do not
// block.
type Policy interface {
	// Admit decides about c at the time now. What it takes from a counter for an admitted call, Settle gives back.
	Admit(now time.Duration, c *Call) Verdict

	// Settle is called exactly once for each call that this policy admitted, after its last attempt, with the outcome of the
	// whole call. It is not called for a call that this policy refused. Local says that the call did not run and was not
	// refused by an instance: a later policy refused it, it was cancelled while it was held, or nobody was found for it.
	Settle(now time.Duration, c *Call, o Outcome)
}

// Verdict is a policy's decision. The zero value admits.
type Verdict struct {
	// Code is the status code of the refusal, in the range of NOT_EXECUTED; 0 admits.
	Code uint16

	// RuleID and RuleVersion name the rule that refused or delayed the call; empty and 0 where no rule did.
	RuleID      string
	RuleVersion uint64

	// RetryAfter is when a refused caller may usefully come back; 0 gives no advice.
	RetryAfter time.Duration

	// Wait is how long an admitted call is held before it starts (a rate limit that paces); 0 starts it now. It is never
	// longer than the call's budget.
	Wait time.Duration

	// Fallback is the body that answers a refused call in place of an empty one (DEGRADED), and FallbackType its content type.
	// The receiver must not change it.
	Fallback     []byte
	FallbackType string
}

// Admitted reports whether the call may enter.
func (v Verdict) Admitted() bool { return v.Code == 0 }

// Outcome is how a call or an attempt ended, as far as the next decision cares. The zero value is the one that counts for
// nothing.
type Outcome uint8

// The outcomes.
const (
	Local     Outcome = iota // a node ended it by itself (refused, cancelled before it ran): says nothing about an instance
	Succeeded                // OK, ACCEPTED
	Refused                  // the instance refused it: NOT_EXECUTED
	Failed                   // the handler ran and failed: EXECUTED
	Unknown                  // it may have run: UNKNOWN
)

// String returns the name that logs and metrics use.
func (o Outcome) String() string {
	switch o {
	case Local:
		return "local"
	case Succeeded:
		return "succeeded"
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	case Unknown:
		return "unknown"
	}
	return "invalid"
}
