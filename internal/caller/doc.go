// Package caller is a module's end of its sessions: what both SDKs do the same way. It dials, logs in and fails over, keeps
// the calls in flight and their deadlines, and hands what a node sends to a server on to the server's SDK.
//
// # Who does what
//
// A Client has paths: a caller one, a server two or more. Each is a goroutine that keeps one session open: choose an address,
// dial, log in, serve, and after a failure try another address. A Session is one connection; its reader is a goroutine, too.
// The goroutine that makes a call encodes it, queues its frame and mostly writes it, with those of others; it waits for the end and
// decodes the answer. Deadlines are swept by one timer per client, which runs only while there are calls.
//
// # The states of a session
//
//	connecting ─► logging in ─► open ─► leaving ─► closed
//	     ▲             │          │ GOAWAY: no new calls, another session is opened beside it
//	     └── waiting ◄─┴──────────┘ lost
//
// # Paths and nodes
//
// All sessions of a client are one instance: the same name and uuid, and from the first WELCOME on the same stamp. That is why
// the second path logs in only when the first has a session that is registered. Paths go to different nodes. Which
// address is whose is known from who answered there, and until then from what nodes say (WELCOME and NODES, each of which replaces
// what the same node said before; GOAWAY and REFUSE add to it). A path for which no other node is left waits without dialing until
// a node is told of or another path's node is free. Where an address turns out to be another one of a node that the client is at,
// the node drops one of the two sessions with REPLACED; that is no end, the other one stays, and the path looks on. REPLACED for
// any other reason ends all sessions, in order: what is under way on them ends first.
//
// A path looks in rounds (round.go): every known address once, with up to 100 ms between two, those of the node that was just
// lost last; then it backs off, up to 0.5 s at first and 30 s in the end, 5 s while a machine refuses connections at once (its node
// is about to start, mostly). What nodes said once, and say no more, is tried while there is no session at all. A node's
// retry_after holds for its address only.
//
// New calls use the first usable session. NO_ROUTE and DRAINING have a call sent over another one, of a node that the answer
// names, if there is one. A caller, which has one session, leaves a node that drains. For NO_ROUTE it moves (move.go): the next
// session is opened beside the one that is there, which takes calls until then; only the call that asked waits.
//
// # A call has one place
//
//	            start                 answer, deadline, cancel, spent, lost, Close
//	new ──► waiting ──► in a slot of the table, on a session ──► ended
//	           ▲                │
//	           └────────────────┘ unsent, or may be resent
//
// A call that has not ended is either in an ordered queue, of those that wait for a session or of those that wait for a move, or
// in a slot of the table, under the id that it has on its session. Whoever takes it out of there, under the client's lock, ends
// it or gives it another place; everybody else finds nothing. That is why each call ends exactly once. Answers that find nothing
// are late: they are counted and dropped.
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
// When all nodes have been asked and one refused the login for good, all waiting calls fail with its code; the client keeps
// trying, slowly, except after REPLACED. The loss of one of two sessions leaves the other alone: what was not sent goes over it at
// once. What breaks the protocol closes the connection.
package caller
