// Package caller is a module's end of its sessions: what both SDKs do the same way. It dials, logs in and fails over, keeps
// the calls in flight and their deadlines, and hands what a node sends to a server on to the server's SDK.
//
// # Who does what
//
// A Client has paths; each is a goroutine that keeps one session open: dial, log in, serve, and after a failure wait and
// try another address. A Session is one connection; its reader is a goroutine, too. The goroutine that makes a call encodes
// it, queues its frame, waits for the end and decodes the answer. Deadlines are swept by one timer per client, which runs only
// while there are calls.
//
// # The states of a session
//
//	connecting ─► logging in ─► open ─► leaving ─► closed
//	     ▲             │          │ GOAWAY: no new calls, another session is opened beside it
//	     └── waiting ◄─┴──────────┘ lost
//
// # A call has one place
//
//	            start                 answer, deadline, cancel, spent, lost, Close
//	new ──► waiting ──► in a slot of the table, on a session ──► ended
//	           ▲                │
//	           └────────────────┘ unsent, or may be resent
//
// A call that has not ended is either in the ordered queue of those that wait for a session, or in a slot of the table, under
// the id that it has on its session. Whoever takes it out of there, under the client's lock, ends it or gives it another
// place; everybody else finds nothing. That is why each call ends exactly once. Answers that find nothing are late: they
// are counted and dropped.
//
// # What is said about a call that failed
//
// NOT_EXECUTED only if no byte of it can have had an effect: it never left, or was taken back from the queue, or a node or
// an instance said so. A call that was sent on a session that is lost is UNKNOWN. One that is resent ends with the class of
// all its attempts.
//
// # Failure
//
// While no session is open, calls wait inside their budgets; beyond the bounds of the queue they fail at once (OVERLOADED).
// A node that refuses the login for good fails all waiting calls with its code; the client keeps trying, slowly, except
// after REPLACED. What breaks the protocol closes the connection.
package caller
