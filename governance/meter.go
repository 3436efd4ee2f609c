package governance

import "time"

// Meter hears of the calls of one subject at their ingress. Safe for concurrent use; it does not block, allocate, or read a
// clock.
type Meter interface {
	// Entered counts a call that has come in, before anything is decided about it.
	Entered()
	// Started counts an attempt that was sent to an instance.
	Started()
	// Finished counts a call that was answered with a status code, and how long it was in the node's hands.
	Finished(code uint16, took time.Duration)
}

// Meters gives out meters. Safe for concurrent use.
type Meters interface {
	// Meter returns the one of a subject, which is the same for as long as it is used; never nil. Where there are too many
	// subjects it is one that many share.
	Meter(s Subject) Meter
}

// Refusals keeps what rules have refused, for explanations. Safe for concurrent use.
type Refusals interface {
	// Note keeps one refusal. The Call is only valid during the call; its strings may be kept.
	Note(now time.Duration, rpcID uint64, c *Call, v Verdict)
	// NoteServer keeps one that a server has refused by a rule, next to its handler, and counts it at the rule: no policy has.
	NoteServer(now time.Duration, rpcID uint64, c *Call, v Verdict)
}
