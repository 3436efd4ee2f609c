// Package frameconn is one framed connection: it turns a net.Conn into whole messages in and queued messages out.
//
// # Who does what
//
// Run is the reader. It cuts frames off the stream, joins parts, answers PING, and hands every whole message to the
// Handler in order. It never waits for another connection. When its input is used up it calls Handler.BatchEnd, which
// is the moment to flush the connections that got something to write; what its own connection got meanwhile, from whomever, it
// flushes itself after that, or before if the batch is long. While it waits with nothing unread, a connection that is a socket
// holds no buffer.
//
// The writer is whoever flushes: Send appends to a lane under a mutex and says whether somebody has to call Flush (at the end of
// a batch) or FlushSoon (for one message: others may add theirs first). That goroutine takes at most one chunk (64 KiB)
// of each lane and writes them, round after round while others add more, four at most, and never waits: what the kernel does not
// take at once, large messages, and what is no plain socket are left to a goroutine that ends when all lanes are empty. Only the
// writer writes to the socket. Lanes are served in the order control, answers, requests.
//
// # State
//
//	open ──Shutdown──► flushing ──the other side closed, or 2 s──► closed
//	  └────────────────────Close, read or write error───────────────┘
//
// The cause of the end is set once and never changes. Close may be called twice and from anywhere.
//
// # Sent or unsent
//
// A request is unsent if its last byte was not taken by the kernel. From the Send on only this package decides that:
// Cancel takes a request back that is still queued, the writer takes back what was spent while it waited
// (Handler.Spent), and after Run has returned EachUnsent lists what never left. Everything else may have arrived.
//
// # Time
//
// Every hop subtracts its own residence from a call's budget. Arrived is the last moment at which the socket was known
// to be empty, less the time during which the process did not run (Clock): after a pause all that had piled up is old,
// not the first read alone. The writer subtracts the time in the queue. A process that did not run for Options.Stalled
// closes its connections before it handles what is buffered.
//
// # Failure
//
// Input that breaks the protocol ends the connection with a *wire.Error as its cause, after a GOAWAY (or REFUSE before
// the login is done) that says why. A queue that is full refuses requests (ErrFull) and answers: the caller counts them.
// A peer that does not read for Options.WriteTimeout, or that is silent for Options.Dead, is closed.
package frameconn
