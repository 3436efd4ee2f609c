// Package governance holds what every policy and every balancer agrees on: the facts of a call, and the two interfaces
// through which they decide.
//
// A call passes its policies once, at the ingress: each is asked to Admit, in order, and the first refusal ends it. Every
// policy that admitted hears exactly once how the call ended (Settle), in reverse order; those that admitted a call which a
// later policy refused hear Local. An admitted call then has one or more attempts, and each attempt has one Pick and one
// Done.
//
// State model: a policy or picker is a value with counters. It has no goroutine, timer, socket or file and reads no clock:
// time is the parameter now, the monotonic time since the process started, so that a test is arithmetic. Concurrent calls may
// bring their own now in any order; an implementation takes a step back of now for no time passed.
//
// Failure: nothing here can fail. A policy refuses with a Verdict, a picker that has no instance returns nil.
package governance
