package retry

import (
	"math/bits"
	"time"
)

// End is how an attempt ended, as far as another one depends on it.
type End uint8

// The ends. Whatever is not one of the last three is Final, also an answer that is OK.
const (
	Final      End = iota // nothing that another attempt could better
	NotStarted            // the route was wrong: STALE_ROUTE, unsent, DRAINING
	Overloaded            // the instance refused it for its load: nothing started, but more attempts are more load
	MayHaveRun            // UNKNOWN
)

// Action is what to do after an attempt.
type Action uint8

// The actions.
const (
	GiveUp  Action = iota // answer the caller with what there is
	Reroute               // another attempt at once
	Retry                 // another attempt after the wait
)

// Facts are what the decision after an attempt depends on.
type Facts struct {
	// How this attempt ended.
	End End

	// Reroutes and Retries are the extra attempts that this call has had here.
	Reroutes int
	Retries  int

	// MaxAttempts is the lower of what the call and its rule allow, the first attempt and its retries counted; 0 is no limit
	// but the policy's. Reroutes do not count: what they replace has not started.
	MaxAttempts int

	// Arrived is the attempt number that the request arrived with: above 0 somebody nearer to the caller retries.
	Arrived uint8

	// Idempotent says that the call may run twice: the caller's word and the contract of the instance that had this attempt,
	// both. The next instance is not known yet: its contract must say so too, else it may not be picked.
	Idempotent bool

	// Remaining is what is left of the call's budget.
	Remaining time.Duration
}

// Policy decides by a set of options. It has no state; safe for concurrent use.
type Policy struct {
	// Static after construction.
	options Options
}

// New returns the policy of o, which must be valid.
func New(o Options) *Policy { return &Policy{options: o.withDefaults()} }

// Next decides what follows the attempt that f describes, and how long to wait before it. It takes a token from b for a
// retry and for the reroute of an overload, and only if nothing else stands against them. rnd are 64 random bits.
func (p *Policy) Next(b *Budget, f Facts, rnd uint64) (Action, time.Duration) {
	if f.Remaining <= 0 {
		return GiveUp, 0
	}
	switch f.End {
	case NotStarted:
		if f.Reroutes < p.options.MaxReroutes {
			return Reroute, 0
		}
	case Overloaded:
		if f.Reroutes < p.options.MaxReroutes && p.withdraw(b) {
			return Reroute, 0
		}
	case MayHaveRun:
		if !f.Idempotent || f.Arrived > 0 || f.Retries >= p.options.MaxRetries ||
			f.MaxAttempts > 0 && f.Retries+1 >= f.MaxAttempts {
			return GiveUp, 0
		}
		wait, ok := p.Backoff(rnd, f.Remaining)
		if ok && p.withdraw(b) {
			return Retry, wait
		}
	}
	return GiveUp, 0
}

// Backoff draws the wait before a retry evenly between the policy's bounds (full jitter: callers that failed together do not
// come back together), but at most half of what remains, so that the attempt has the other half. It reports false where that
// is less than the lower bound. rnd are 64 random bits.
func (p *Policy) Backoff(rnd uint64, remaining time.Duration) (time.Duration, bool) {
	least, most := p.options.BackoffMin, min(p.options.BackoffMax, remaining/2)
	if most < least {
		return 0, false
	}
	part, _ := bits.Mul64(rnd, uint64(most-least)+1)
	return least + time.Duration(part), true
}
