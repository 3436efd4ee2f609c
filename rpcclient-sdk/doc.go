// Package rpcclient calls methods of other modules through a twohop mesh.
//
//	c, err := rpcclient.Dial("127.0.0.1:7070", rpcclient.Options{Module: "web"})
//	if err != nil { ... }
//	defer c.Close()
//	reply, err := rpcclient.Call[HelloReply](ctx, c, "hello.Say", &HelloRequest{Name: "Ada"})
//
// # What an error says
//
// Every error of a call is an *Error, and its class is what a program needs first:
//
//	errors.Is(err, rpcclient.ErrNotExecuted)  it did not run, and will not: trying again is safe
//	errors.Is(err, rpcclient.ErrExecuted)     it ran, and failed
//	errors.Is(err, rpcclient.ErrUnknown)      it may have run: only what is idempotent is to be tried again
//
// Codes say more (errors.Is(err, rpcclient.CodeRateLimited)), fields of *Error all that is known. TIMEOUT and EXPIRED are
// context.DeadlineExceeded as well, CANCELLED and CANCELLED_RUNNING context.Canceled.
//
// What operators have switched off is DEGRADED, an error as well: Error.Fallback is the body that they give instead, if they do. RuleID
// and RuleVersion say which of their rules refused a call, RetryAfter when to come back.
//
// # State model
//
// A Client keeps one session with one node of the mesh open and moves to another node when that one drains or is lost. The
// nodes tell it which others there are, so that one address is enough to begin with.
// Dial does not wait for it: calls that are made before wait in order, inside their budgets, at most 1,024 of them or 4 MiB.
// All methods may be called concurrently.
//
// # Time
//
// A call's budget is the deadline of its context, or the option Timeout, or Options.Timeout, whichever is least; it travels
// with the call, and no handler starts after it. A call ends at the latest 200 ms after its deadline: so long the client
// waits for a node to say whether the call ran.
//
// # Failure
//
// What was never sent is sent on the next connection. What was sent on a connection that is lost ends with
// CONNECTION_LOST, which is UNKNOWN, unless the call is Idempotent: then it is sent again, at most twice. A call that
// nobody started because a node drains, or does not reach the instance, is sent through another node if there is one.
//
// Where the instance is lost, the node tries an Idempotent call again, too, but not every one: retries of one module at
// another stay a tenth of its calls (and 3), so that they do not become the load that keeps it failing. What is beyond
// that ends UNKNOWN, and says so.
//
// A client that lost its node tries the others, after up to 100 ms each; one that is silent holds it up for 2 s, or for 4 s if it
// takes the connection and then does not answer. One that finds no node tries all again after a random time, up
// to 0.5 s at first and 30 s in the end, or 5 s while a machine refuses the connection at once, as one does whose node is
// restarted. Calls wait meanwhile, inside their budgets.
package rpcclient
