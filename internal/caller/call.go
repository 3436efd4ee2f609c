package caller

import (
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/proto/wire"
)

// call is one call, from its start to its end. Records are pooled: the goroutine that made the call takes one and gives
// it back after the end.
type call struct {
	// Written before start by the goroutine that makes the call, constant until the end.
	name     string
	settings Settings
	body     []byte
	deadline time.Duration // on the client's clock
	head     []byte        // the encoded header; headLen of it is the same for all attempts
	headLen  int
	buffer   []byte // what an encoded body is kept in
	flags    wire.Flags
	options  wire.Options
	oneWay   bool
	raw      bool   // the answer is the caller's bytes
	asked    string // the content type of the body
	invoker  string // the module that calls, with a password
	kept     bool   // one-way: the record is the queue's
	order    uint64 // of its start

	// Guarded by Client.mu while the call has a place, then owned by who took it.
	session    *Session // that it is, or was last, on
	via        *Session // that it is to go over, if it can, or nil
	id         uint64   // there
	due        time.Duration
	next, prev *call       // in the queue of those that wait
	queue      *waiting    // that it waits in, or nil
	answered   *Error      // how its last attempt ended, while it is parked
	cancelled  atomic.Bool // somebody gave it up; written under mu, read anywhere
	unsure     callName    // of the last attempt that may have run although it is sent again
	attempts   int         // how often it was queued on a session, less those that never left
	reroutes   int
	firstSent  time.Duration
	resends    int // after a lost connection

	// The end. Written by who took the call, read after done.
	err         *Error
	rpcID       uint64
	answer      []byte
	contentType string

	// parts is 1, and one more while the goroutine of a path reads the record: the last one signals done.
	parts atomic.Int32
	done  chan struct{} // one slot
	ended chan struct{} // closed instead, for calls that nobody waits for yet
}

// callName is what an attempt can be asked for by. The zero value names none.
type callName struct{ session, id uint64 }

// largestKept bounds the buffers that a record keeps between calls.
const largestKept = 64 << 10

// newCall returns an empty record. The pool is the client's own: a channel that was made in a bubble of testing/synctest must
// not be used in another.
func (c *Client) newCall() *call {
	cl, ok := c.records.Get().(*call)
	if !ok {
		cl = &call{done: make(chan struct{}, 1)}
	}
	cl.parts.Store(1)
	return cl
}

// free gives the record back. Nothing of it may be used afterwards.
func (c *Client) free(cl *call) {
	head, buffer, answer, metadata := cl.head[:0], cl.buffer[:0], cl.answer[:0], cl.settings.metadata
	if cap(buffer) > largestKept {
		buffer = nil
	}
	if cl.raw || cap(answer) > largestKept {
		answer = nil
	}
	clear(metadata)
	done := cl.done
	*cl = call{head: head, buffer: buffer, answer: answer, done: done}
	cl.settings.metadata = metadata[:0]
	c.records.Put(cl)
}

// release says that one of those who read the record is through. The last one signals the end.
func (cl *call) release() {
	switch {
	case cl.parts.Add(-1) != 0:
	case cl.ended != nil:
		close(cl.ended)
	default:
		cl.done <- struct{}{}
	}
}

// end ends a call that the caller has taken out of its place.
func (cl *call) end(err *Error) {
	if err != nil {
		cl.err = cl.judge(err)
	}
	cl.release()
}

// judge gives the error of the last attempt the class of all of them.
func (cl *call) judge(err *Error) *Error {
	err.Method = cl.name
	if cl.session != nil && cl.id != 0 && cl.attempts > 0 {
		err.Session, err.CallID = cl.session.id, cl.id
	}
	err.Attempts = max(err.Attempts, cl.attempts)
	if cl.unsure.session != 0 && err.Class == NotExecuted {
		err.Session, err.CallID = cl.unsure.session, cl.unsure.id
		err.Message = "an earlier attempt was sent on a connection that was lost; the last one ended " + err.Code.String() +
			separated(err.Message)
		err.Class, err.Code = Unknown, CodeConnectionLost
	}
	return err
}

func separated(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// spent is the end of a call whose time is up and that did not leave, cancelled the one of a call that was taken back.
func (cl *call) spent() *Error {
	if cl.cancelled.Load() {
		return fail(CodeCancelled, "the caller gave up")
	}
	return fail(CodeExpired, "the time was up before the call was sent")
}

// lateEnd is the end of a call that was sent and has no answer when its time is up.
func (cl *call) lateEnd() *Error {
	if cl.cancelled.Load() {
		return fail(CodeCancelledRunning, "the caller gave up")
	}
	return fail(CodeTimeout, "no answer by the deadline")
}

// margin is how much sooner the nodes' deadline is than the caller's, so that their answer comes before it.
func margin(left time.Duration) time.Duration { return min(50*time.Millisecond, left/10) }

// frame returns the frame of the next attempt.
func (cl *call) frame(now time.Duration) wire.Frame {
	left := cl.deadline - now
	f := wire.Frame{
		Kind: wire.KindRequest, Flags: cl.flags, CallID: cl.id, Body: cl.body,
		BudgetMS: uint32(min(max((left-margin(left)).Milliseconds(), 1), 1<<32-1)),
	}
	if cl.attempts > 1 {
		f.Attempt = uint8(min(cl.attempts-1, 255))
		cl.head = protowire.AppendTag(cl.head[:cl.headLen], fieldFirstAttemptAge, protowire.VarintType)
		cl.head = protowire.AppendVarint(cl.head, uint64(min((now-cl.firstSent).Milliseconds(), 1<<32-1)))
	}
	if cl.settings.password.set {
		if cl.attempts <= 1 {
			cl.head = cl.head[:cl.headLen]
		}
		cl.head = cl.appendDigest(cl.head)
	}
	f.Header = cl.head
	return f
}

// fieldFirstAttemptAge is RequestHeader.first_attempt_age_ms.
const fieldFirstAttemptAge = 12

// late reports whether the call may run although its budget is spent.
func (cl *call) late() bool { return cl.options&wire.RunLate != 0 }

func (cl *call) size() int { return wire.PrefixSize + len(cl.head) + len(cl.body) }
