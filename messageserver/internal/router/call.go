package router

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/retry"
	"github.com/twohop/twohop/proto/wire"
)

// Origin is the room that accepted a call.
type Origin interface {
	// Answer takes the call's one terminal answer, exactly once for each call submitted, from any goroutine. It must
	// not block. a and what it points to are valid during the call only; c goes back to the router after it.
	Answer(b *Batch, c *Call, a *Answer)
}

// Answer ends a call.
type Answer struct {
	Code         wire.Code
	Hops         uint8
	Header, Body []byte
}

// keepLimit is the largest request that a node keeps until the call is settled, in bytes; a larger one cannot be
// rerouted.
const keepLimit = 64 << 10

// maxTried bounds how many instances a call is offered to, between two waits.
const maxTried = 5

// phase is where a call stands. It is guarded by Call.mu.
type phase uint8

const (
	idle        phase = iota // in the pool, or being filled by its origin
	routing                  // a goroutine has the turn
	underWay                 // an attempt is under way, nobody has the turn
	interrupted              // the same, and a CANCEL went after it
	waiting                  // for the back-off to pass, nobody has the turn
)

// Call is one call at its ingress. Its origin gets it from Router.Call, fills the exported fields, and gives it away with
// Submit.
type Call struct {
	// Set by the origin before Submit, then static.
	Origin  Origin
	ID      uint64        // the caller's call_id
	RPCID   uint64        // the global id
	Flags   wire.Flags    // of the request
	Arrived time.Duration // see frameconn.Conn.Arrived
	Budget  time.Duration // what the caller gave, 0 = none
	Attempt uint8         // as it arrived
	Caller  *Caller       // who calls
	Stamp   []byte        // wire.AppendInvoker of the caller's session
	Request wire.Request  // the walked header; aliases what Keep copied

	// Owned by whoever has the turn.
	header   []byte // kept header with stamps; its last 8 bytes are the target
	body     []byte // kept body; aliases the reader's buffer while kept is false
	buffer   []byte // what header and body are in
	kept     bool   // reroute and retry are possible
	keptSize int64  // what it counts for in Router.kept
	deadline time.Duration
	runLate  bool
	method   *method
	picker   governance.Picker
	tried    [maxTried]*governance.Instance
	ntried   int
	had      [maxTried]*governance.Instance // to whom an attempt was sent
	nhad     int
	reroutes int
	retries  int
	starts   int // attempts that were sent
	budget   *retry.Budget
	denied   bool      // a retry was, for want of budget
	unknown  wire.Code // of an earlier attempt that may have run
	lost     []byte    // encoded Receivers of those attempts
	timer    timer

	// Guarded by mu.
	mu     sync.Mutex
	life   uint64 // one per use of the value; what is left of an earlier one is stale
	turn   uint64 // one per attempt
	phase  phase
	why    wire.Code // EXPIRED or CANCELLED once the call was interrupted
	entry  *entry    // whom the attempt under way went to
	slotID uint64    // and its id there
}

func newCall() any {
	c := &Call{}
	c.timer.shard = uint8(rand.Uint32() % wheelShards) //nolint:gosec // spreads load
	c.timer.call = c
	return c
}

// stampSize bounds what AppendCallStamp adds.
const stampSize = 40

// Keep copies header and body of a request, so that they outlive the reader's buffer, and walks the copy. The error is
// nil or a *wire.Error.
func (c *Call) Keep(f *wire.Frame) error {
	size := len(f.Header) + len(c.Stamp) + stampSize
	c.kept = size+len(f.Body) <= keepLimit
	if c.kept {
		size += len(f.Body)
	}
	c.buffer = slices.Grow(c.buffer[:0], size)
	c.buffer = append(c.buffer, f.Header...)
	c.header, c.body = c.buffer, f.Body
	c.Flags, c.Attempt = f.Flags, f.Attempt
	if err := c.Request.Walk(c.header, wire.ByModule); err != nil {
		return err
	}
	return c.Request.Check(f)
}

// stamp appends the ingress node's fields and the body behind what Keep copied.
func (c *Call) stamp(receivedAt uint64) {
	c.buffer = append(c.buffer, c.Stamp...)
	c.buffer = wire.AppendCallStamp(c.buffer, c.ID, receivedAt, 0)
	n := len(c.buffer)
	c.header = c.buffer[:n:n]
	if c.kept {
		c.buffer = append(c.buffer, c.body...)
		c.header, c.body = c.buffer[:n:n], c.buffer[n:]
	}
}

// Life identifies this use of the value, for Router.Cancel.
func (c *Call) Life() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life
}

// take gives the turn to the first who brings the ticket of the attempt under way. why is for what the call was
// interrupted, 0 if it was not.
func (t Ticket) take() (why wire.Code, ok bool) {
	c := t.call
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn != t.turn || c.phase != underWay && c.phase != interrupted {
		return 0, false
	}
	c.phase = routing
	return c.why, true
}

// reset ends this use of the value.
func (c *Call) reset() {
	c.mu.Lock()
	c.life++
	c.turn++
	c.phase, c.why = idle, 0
	c.entry, c.slotID = nil, 0
	c.mu.Unlock()
	c.Origin, c.Caller, c.Stamp, c.method, c.picker, c.budget = nil, nil, nil, nil, nil, nil
	c.Request = wire.Request{}
	c.header, c.body, c.kept, c.keptSize = nil, nil, false, 0
	clear(c.tried[:c.ntried])
	clear(c.had[:c.nhad])
	c.nhad = 0
	c.denied = false
	c.ntried, c.reroutes, c.retries, c.starts, c.unknown = 0, 0, 0, 0, 0
	c.lost = c.lost[:0]
}
