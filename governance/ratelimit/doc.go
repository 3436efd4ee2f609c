// Package ratelimit limits calls over time: so many per second, with a burst.
//
// State model: a Bucket is the generic cell rate algorithm (ITU-T I.371, virtual scheduling; "GCRA"), a token bucket whose only
// state is one word: the theoretical arrival time, at which all that was handed out will have been earned. A call is
// admitted if it lies no further ahead of now than the burst, and moves on by one token. Nothing is filled by a timer, and there
// is no lock: one compare-and-swap for each call that passes, none for one that does not.
//
// The time in the word is not counted in nanoseconds but in units of which a token has a whole number, so that nothing is
// rounded per call: after t seconds exactly ⌊rate × t + burst⌋ calls have passed, at a millionth as at a million per second.
//
// A Policy asks the bucket and says what becomes of a call that it does not let pass: Reject, Alarm or Pace. The bucket
// outlives the policy, so that a new document does not hand out a new burst; and several policies may share one.
//
// A call that never ran gives its token back when it is settled as Local: one that a later policy has refused, that was cancelled
// while it was held, for which nobody was found. So what is refused elsewhere does not use up the rate, and nobody waits behind
// calls that are gone. A policy remembers no calls; where those that it admits may have no token (Alarm, and any rule in
// shadow) it gives none back, and counts a bit more as over the limit than was. The demand, Asked, has all of them.
//
// Failure: there is none. A step back of now is a time at which less has been earned: it never lets more pass. A wall clock that
// is set back over the end of a rule may give it a token for each call that it admitted while it had ended, up to its burst.
package ratelimit
