package session

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// state is where a session stands. It moves forward only.
type state uint32

const (
	stateLogin   state = iota // LOGIN is awaited
	stateProof                // CHALLENGE is sent
	stateOpen                 // WELCOME is sent
	stateLeaving              // GOAWAY is sent: no new requests
)

func (s state) String() string { return [...]string{"login", "proof", "open", "leaving"}[s] }

// session is one connection of a module.
type session struct {
	// Static after construction.
	room     *Sessions
	conn     *frameconn.Conn
	entrance *frameconn.Entrance
	from     remote
	since    time.Duration

	// The reader moves it up to open; whoever comes first from there to leaving.
	state atomic.Uint32

	// Owned by the reader.
	batch     router.Batch
	scratch   []byte
	wall      uint64        // when the batch was read, Unix µs
	wallAt    time.Duration // the same, on the node's clock
	giveUp    *time.Timer   // the login's time
	inLobby   bool          // counts as not logged in
	exchange  *scram.Server // between CHALLENGE and PROOF
	candidate *pb.Login     // the same
	version   uint32        // the same
	instance  instance
	heldDown  time.Duration // for how long its name is; it is refused then

	// Static once open: for others than the reader, once they have seen that it is.
	number uint64
	login  *pb.Login
	caller *router.Caller
	stamp  []byte // wire.AppendInvoker

	slots router.Slots // attempts that went to this module

	// Guarded by mu.
	mu       sync.Mutex
	flights  map[uint64]flight // calls of this module, by its call_id
	gone     bool              // the connection has ended
	policyOK bool              // a server: what it must enforce is in force
	enforces governance.Mark   // by which document
	owed     bool              // a policy will be told that there was no room for
	counts   *pb.HandlerCounts // what its handlers have done, as it said last
	patience *time.Timer       // ends a session that was told to leave and stays
}

// Why sessions end, besides what frameconn says.
var (
	errLoginTimeout = errors.New("session: the login took too long")
	errReplaced     = errors.New("session: replaced, and not closed by its module in time")
)

func newSession(room *Sessions, nc net.Conn, from remote) *session {
	o := &room.opts
	door, nc := frameconn.NewEntrance(nc, wire.LoginLimit)
	c := &session{
		room:     room,
		entrance: door,
		from:     from,
		since:    o.Clock.Now(),
		inLobby:  true,
		flights:  make(map[uint64]flight),
	}
	c.conn = frameconn.New(nc, frameconn.Options{
		Accepts:      true,
		MaxFrame:     wire.LoginLimit - uint32(len(wire.Preface)) - 4,
		Queue:        o.CallerQueue,
		PauseReading: true,
		Stalled:      o.Stalled,
		Clock:        o.Clock,
		Vet:          c.vet,
	})
	return c
}

func (c *session) String() string {
	if !c.isOpen() {
		return "session(" + c.from.String() + ")"
	}
	return "session(" + c.login.GetModule() + "/" + c.login.GetInstance() + " " + strconv.FormatUint(c.number, 10) + ")"
}

func (c *session) currentState() state { return state(c.state.Load()) }

// isOpen reports whether the login is done; it stays so.
func (c *session) isOpen() bool { return c.currentState() >= stateOpen }

// isServer reports whether calls may go to the module of an open session.
func (c *session) isServer() bool { return c.login.GetRole() != pb.Role_ROLE_CALLER }

// run serves the connection to its end.
func (c *session) run() {
	c.giveUp = time.AfterFunc(c.room.opts.LoginTimeout, func() { c.conn.Close(errLoginTimeout) })
	err := c.conn.Run(c)
	c.endLogin()
	if errors.Is(err, frameconn.ErrSlow) {
		c.room.counters.Slow.Add(1)
	}
	if !c.isOpen() {
		c.room.counters.Refused.Add(1)
		c.room.log("login failed", err, "remote", c.from.String())
		return
	}
	c.end()
	c.room.log("session closed", err, "session", c.String(), "remote", c.from.String())
}

// endLogin stops counting the connection as not logged in.
func (c *session) endLogin() {
	c.giveUp.Stop()
	c.exchange, c.candidate = nil, nil
	if c.inLobby {
		c.inLobby = false
		c.room.lobby.leave(c.from.ip)
	}
}

// end takes an open session apart: first nothing new goes to it, then what went to it ends, then its own calls.
func (c *session) end() {
	r := c.room.opts.Router
	r.Unregister(c.number)
	c.mu.Lock()
	c.gone = true
	if c.patience != nil {
		c.patience.Stop()
	}
	calls := make([]flight, 0, len(c.flights))
	for _, f := range c.flights {
		calls = append(calls, f)
	}
	c.mu.Unlock()
	b := router.Batch{Now: c.room.opts.Clock.Now()}
	c.conn.EachUnsent(func(id uint64) {
		if t, ok := c.slots.Release(id); ok {
			r.End(&b, t, &router.End{Code: wire.ConnectionLost, Unsent: true})
		}
	})
	for _, t := range c.slots.Close() {
		r.End(&b, t, &router.End{Code: wire.ConnectionLost})
	}
	for _, f := range calls {
		r.Cancel(&b, f.call, f.life, wire.Cancelled)
	}
	b.Flush()
	r.CloseCaller(c.caller)
}

// send queues a control frame and wakes the writer with the batch. For the reader.
func (c *session) send(f wire.Frame) {
	if wake, err := c.conn.Send(frameconn.Control, &f, false); err == nil && wake {
		c.batch.Wake(c.conn)
	}
}
