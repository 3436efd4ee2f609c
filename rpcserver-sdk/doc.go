// Package rpcserver offers methods to a twohop mesh, and calls others.
//
//	s := rpcserver.New(rpcserver.Options{Module: "hello", Addresses: []string{"127.0.0.1:7070"}})
//	rpcserver.Handle(s, "Say", func(ctx context.Context, in *HelloRequest) (*HelloReply, error) {
//		return &HelloReply{Text: "Hello, " + in.Name}, nil
//	}, rpcserver.Idempotent())
//	err := s.Run(ctx)
//
// # A request's way
//
//	reader ──► queue ──► worker: rules, time left? ──► interceptors ──► handler ──► answer
//	  │          │ full: OVERLOADED   │ no: DEGRADED, DENIED, ..., EXPIRED
//	  └─ Inline: on the reader itself
//
// The reader never waits for handlers. Workers start as there is work, at most Options.Concurrency of them, and end when
// there was none for a while.
//
// # What callers are told
//
// The handler's result; APP_ERROR for an error that it returns (Errorf gives it a code that programs can tell apart, and
// whatever else it returns counts as well: it ran, and the caller gets the error's text, so what callers must not read
// does not belong into it); HANDLER_PANIC; ANSWER_LOST for a result that cannot be encoded or is too
// large. Before it runs: BAD_REQUEST for a body that cannot be decoded, UNIMPLEMENTED, OVERLOADED, EXPIRED, CANCELLED, and what the
// mesh's rules say. Those say NOT_EXECUTED, and that is true: the handler did not start.
//
// # Rules
//
// The nodes tell a server what operators want enforced next to its handlers, and again when that changes. It is asked right before
// a handler starts, of what waits in the queue, too, in this order; the caller gets the rule's id and version.
//
//	off         DEGRADED, with the body that the rule gives
//	addresses   DENIED, by the address of the caller that its node has seen
//	password    BAD_DIGEST or REPLAYED (a digest is taken once, within 120 s of this machine's clock)
//	rate        RATE_LIMITED, of this instance
//	late        EXPIRED or not, whatever AllowLate and RunLate say
//
// Handlers that run are left alone. Stats counts what was refused, and what rules in shadow would have refused, which the log says,
// too, once a second for each rule. Of a password's digests up to 1,048,576 are remembered, for two minutes each where clocks agree:
// some 32 MiB, and 8,700 calls a second; what comes beyond is OVERLOADED. Each instance remembers its own, and forgets when it ends.
//
// # Time
//
// A handler is not started when the caller's time is up, unless the method is AllowLate or the call RunLate. The context of
// a handler carries the time that is left as its deadline, and is cancelled when the caller gives up; calls made with it
// inherit the rest.
//
// # State model
//
//	new ──Run──► connecting ⇄ open ──ctx of Run done──► draining ──► stopped
//
// A Server is open when it has a session with one node of the mesh, and soon has a second one with another node
// (Options.Connections): calls reach it over either, as one instance, and answers go back where the call came from. Where there is
// no other node it waits for one; States says so. While it is not connected it keeps trying, with jitter: other nodes than the
// one that was lost at once, then all of them after up to 0.5 s at first and 30 s in the end, 5 s while connections are refused.
// A node that drains is left for another one. Draining itself, a Server asks all nodes for no new requests, ends those it has
// within Options.DrainTimeout, then cancels the contexts of what still runs.
//
// # Failure
//
// When a session is lost, what was not started from it is dropped; what runs ends, and its answers are dropped. What came
// over the other session does not notice. Another process that logs in with the same module and instance, at whatever node, ends
// Run (ErrReplaced).
package rpcserver
