// Package retry decides whether a call gets another attempt after one has ended badly.
//
// There are two ways to another attempt. A reroute is for an attempt that never started: the route was stale, the request
// was not sent, the instance is draining or full. Any call may be rerouted, at once. A retry is for an attempt that may
// have run: only a call that may run twice gets one, after a wait, and never if somebody nearer to the caller has retried
// already.
//
// State model: the decision is a function of facts; the only state is a Budget per caller and target, which keeps retries
// a tenth of the calls when everything fails, so that they do not become the load that keeps it failing. A Budget is one
// word; who keeps how many of them, and for how long, is its owner's business. Time appears only as the budget that is left.
//
// Failure: whatever does not allow another attempt ends the call with the answer it has; Give up is the zero value.
package retry
