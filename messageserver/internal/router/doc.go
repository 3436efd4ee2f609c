// Package router is a call's life in a node: it finds an instance for it, hears how the attempt ended, tries again where
// that is true to the promise, and answers once.
//
// # One owner per call
//
// An Origin (a session) fills a Call and hands it over with Submit. From then on the Call belongs to whoever holds its
// turn: the goroutine that routes it, or nobody while an attempt is under way. Everything that may end an attempt (answer,
// refusal, lost link, deadline, cancel) brings the Ticket of that attempt; the first takes the turn, the others are
// counted as stale and dropped. Who took it reroutes, retries, or settles: Origin.Answer is called exactly once.
//
//	          Submit                 Target.Send
//	idle ───────────► routing ─────────────────► under way ──deadline, cancel──► interrupted
//	  ▲                 │  ▲  ▲                    │                             │
//	  │               settle│  └── retry ◄─ waiting │  End, the first one         │ End, or 150 ms
//	  └─────────────────┘  └───────────────────────┴─────────────────────────────┘
//
// # Target, slots, wheel
//
// A Target is a way to an instance: a session, later a peer link. It keeps Slots: the call_id that goes out is
// generation‖slot, so an answer finds its Ticket by index and a late one finds nothing. One Wheel per node serves
// deadlines and back-off with 1 ms buckets; no call has a runtime timer.
//
// # Table
//
// Who is registered is an immutable value behind an atomic pointer. Register, Update, Drain and Unregister build a new
// one under a mutex and swap it; calls that route at that moment use the one they loaded.
//
// # Failure
//
// The class of an answer is that of all attempts: a NOT_EXECUTED after an attempt that may have run is reported as
// UNKNOWN. A request that was not kept (too large, or no memory left for it) is answered where it would be rerouted:
// the code is NOT_EXECUTED and its SDK sends it again. What a Target refuses is tried at another instance, and answered
// OVERLOADED when there is none.
package router
