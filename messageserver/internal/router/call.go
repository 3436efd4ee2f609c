package router

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
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

// Bounds of what is tried for one call between two waits. Whose connection is gone did not get an offer.
const (
	maxOffers = 5  // attempts that were sent, or found no room
	maxTried  = 16 // instances
	maxPaths  = 32
)

// phase is where a call stands. It is guarded by Call.mu.
type phase uint8

const (
	idle        phase = iota // in the pool, or being filled by its origin
	routing                  // a goroutine has the turn
	underWay                 // an attempt is under way, nobody has the turn
	interrupted              // the same, and a CANCEL went after it
	waiting                  // for the back-off to pass, nobody has the turn
)

// Call is one call in this node's hands: at its ingress, in transit to a session of this node, or a question of the node
// itself. Its origin gets it from Router.Call, fills the exported fields, and gives it away with Router.Submit, Local.Submit
// or Router.Ask.
type Call struct {
	// Set by the origin before Submit, then static.
	Origin  Origin
	ID      uint64        // the caller's call_id
	RPCID   uint64        // the global id
	Flags   wire.Flags    // of the request
	Arrived time.Duration // see frameconn.Conn.Arrived
	Budget  time.Duration // what the caller gave, 0 = none
	Attempt uint8         // as it arrived
	Caller  *Caller       // who calls; at the ingress only
	// Instance and From are the caller's, for policies; at the ingress only. From is the zero Addr for a unix socket.
	Instance string
	From     netip.Addr
	Stamp    []byte       // wire.AppendInvoker of the caller's session; not in transit
	Request  wire.Request // the walked header; aliases what Keep copied, or what Borrow was given

	// Owned by whoever has the turn.
	header   []byte // kept header with stamps; its last 8 bytes are the target
	body     []byte // kept body; aliases the reader's buffer while kept is false
	buffer   []byte // what header and body are in
	kept     bool   // reroute and retry are possible
	keptSize int64  // what it counts for in Router.kept
	deadline time.Duration
	runLate  bool
	local    *Local // in transit: who settles it
	home     *home  // in transit: whom it is for
	asked    bool   // it is a question
	method   *method
	picker   governance.Picker
	offers   int
	tried    [maxTried]*governance.Instance
	ntried   int
	paths    [maxPaths]uint64 // the sessions that were tried
	npaths   int
	again    *governance.Instance           // whose other paths come first
	had      [maxTried]*governance.Instance // to whom an attempt was sent
	nhad     int
	reroutes int
	retries  int
	starts   int                // attempts that were sent
	account  *account           // at the ingress: what the caller has at the method
	regime   *governance.Regime // at the ingress: what rules say, nil if nothing
	facts    governance.Call    // what its policies were told
	admitted bool               // they want to hear how it ends
	held     bool               // a rate limit lets it start later
	denied   bool               // a retry was, for want of budget
	unknown  wire.Code          // of an earlier attempt that may have run
	lost     []byte             // encoded Receivers of those attempts
	timer    timer

	// Guarded by mu.
	mu     sync.Mutex
	life   uint64 // one per use of the value; what is left of an earlier one is stale
	turn   uint64 // one per attempt
	phase  phase
	why    wire.Code // EXPIRED or CANCELLED once the call was interrupted
	entry  *entry    // at the ingress: whom the attempt under way is for
	path   *path     // and by which way it went
	target Target    // where it went
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

// Borrow takes a request of another node, whose header carries the stamps, and walks it. Nothing is copied: the frame's bytes
// must stay as they are until Local.Submit or Local.OneWay returns. The error is nil or a *wire.Error.
func (c *Call) Borrow(f *wire.Frame) error {
	c.header, c.body = f.Header, f.Body
	c.Flags, c.Attempt = f.Flags, f.Attempt
	return c.Request.Walk(f.Header, wire.ByNode)
}

// stamp appends the ingress node's fields and the body behind what Keep copied.
func (c *Call) stamp(receivedAt uint64) {
	c.buffer = append(c.buffer, c.Stamp...)
	c.buffer = wire.AppendLate(c.buffer, wire.Late(c.settings().Late))
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

// queueLocked gives b.frame to a target as the attempt under way. Without an error the turn is given away with the lock.
//
// This is the one place where a lock is held and another room entered: who wants to end the call finds it either not sent or
// sent, with its slot. Targets never wait for a call's lock.
func (c *Call) queueLocked(b *Batch, t Target) error {
	c.turn++
	id, ok := t.Slots().Take(Ticket{c, c.turn})
	if !ok {
		return ErrGone
	}
	b.frame.CallID = id
	if err := t.Send(b, &b.frame, c.runLate); err != nil {
		t.Slots().Release(id)
		return err
	}
	c.phase, c.target, c.slotID = underWay, t, id
	return nil
}

// stop marks a call as interrupted and says where it stood, and where its attempt is. ok is false if the call is over, or was
// interrupted before.
func (c *Call) stop(life uint64, why wire.Code) (was phase, t Target, id uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life != life || c.why != 0 {
		return idle, nil, 0, false
	}
	c.why = why
	was = c.phase
	switch was {
	case underWay:
		c.phase = interrupted
	case waiting:
		c.phase = routing
	}
	return was, c.target, c.slotID, true
}

// budgetMS returns what is left as a frame carries it: never 0, which would be no budget.
func budgetMS(left time.Duration) uint32 { return uint32(min(max(left/time.Millisecond, 1), 1<<32-1)) }

// reset ends this use of the value.
func (c *Call) reset() {
	c.mu.Lock()
	c.life++
	c.turn++
	c.phase, c.why = idle, 0
	c.entry, c.path, c.target, c.slotID = nil, nil, nil, 0
	c.mu.Unlock()
	c.Origin, c.Caller, c.Stamp, c.method, c.picker = nil, nil, nil, nil, nil
	c.account, c.regime, c.held = nil, nil, false
	c.local, c.home, c.asked, c.again = nil, nil, false, nil
	c.Request = wire.Request{}
	c.header, c.body, c.kept, c.keptSize = nil, nil, false, 0
	clear(c.tried[:c.ntried])
	clear(c.had[:c.nhad])
	c.nhad, c.npaths, c.offers = 0, 0, 0
	c.denied = false
	c.ntried, c.reroutes, c.retries, c.starts, c.unknown = 0, 0, 0, 0, 0
	c.lost = c.lost[:0]
}
