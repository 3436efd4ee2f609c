package session

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// state is where a session stands. It moves forward only.
type state uint8

const (
	stateLogin   state = iota // LOGIN is awaited
	stateProof                // CHALLENGE is sent
	stateOpen                 // WELCOME is sent
	stateLeaving              // GOAWAY is sent, or came: no new requests
)

func (s state) String() string { return [...]string{"login", "proof", "open", "leaving"}[s] }

// session is one connection of a module.
type session struct {
	// Static after construction.
	room  *Sessions
	conn  *frameconn.Conn
	addr  netip.Addr // zero for a unix socket
	since time.Duration

	// Owned by the reader.
	batch      router.Batch
	exchange   *scram.Server // between CHALLENGE and PROOF
	candidate  *pb.Login     // the same
	version    uint32        // the same
	pending    bool          // counts as not logged in
	giveUp     *time.Timer   // the login's time
	policyOK   bool
	registered bool
	methods    map[string]router.Contract

	// Static once open.
	number uint64
	login  *pb.Login
	caller *router.Caller
	stamp  []byte // wire.AppendInvoker

	slots router.Slots // attempts that went to this module

	// Guarded by mu.
	mu      sync.Mutex
	state   state
	flights map[uint64]flight // calls of this module, by its call_id
	gone    bool              // the connection has ended
}

// flight is a call in flight.
type flight struct {
	call *router.Call
	life uint64
}

// errLoginTimeout ends a connection that did not log in in time.
var errLoginTimeout = errors.New("session: not logged in in time")

func remoteAddr(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// remoteText is the address as stamps and people get it.
func remoteText(nc net.Conn) string {
	if a := remoteAddr(nc); a.IsValid() {
		return a.String()
	}
	return "unix"
}

func newSession(room *Sessions, nc net.Conn, addr netip.Addr) *session {
	frameconn.TuneTCP(nc)
	o := &room.opts
	c := &session{
		room: room,
		conn: frameconn.New(nc, frameconn.Options{
			Accepts:      true,
			MaxFrame:     wire.LoginLimit - uint32(len(wire.Preface)) - 4,
			MaxMessage:   wire.LoginLimit,
			Queue:        o.CallerQueue,
			PauseReading: true,
			Stalled:      o.Stalled,
			Clock:        o.Clock,
		}),
		addr:    addr,
		since:   o.Clock.Now(),
		pending: true,
		flights: make(map[uint64]flight),
	}
	c.giveUp = time.AfterFunc(o.LoginTimeout, func() { c.conn.Close(errLoginTimeout) })
	return c
}

func (c *session) String() string {
	if c.login == nil {
		return "session(" + c.conn.RemoteAddr().String() + ")"
	}
	return "session(" + c.login.Module + "/" + c.login.Instance + " " + strconv.FormatUint(c.number, 10) + ")"
}

// run serves the connection to its end.
func (c *session) run() {
	err := c.conn.Run(c)
	c.giveUp.Stop()
	c.endLogin()
	if errors.Is(err, frameconn.ErrSlow) {
		c.room.counters.Slow.Add(1)
	}
	if c.login == nil {
		c.room.counters.Refused.Add(1)
		c.room.log("login failed", err.Error(), "remote", c.remote())
		return
	}
	c.end()
	c.room.log("session closed", err.Error(), "session", c.String(), "remote", c.remote())
}

// endLogin stops counting the connection as not logged in.
func (c *session) endLogin() {
	if c.pending {
		c.pending = false
		c.room.settled(c.addr)
	}
}

// end takes an open session apart: first nothing new goes to it, then what went to it ends, then its own calls.
func (c *session) end() {
	r := c.room.opts.Router
	r.Unregister(c.login.Module, c)
	c.mu.Lock()
	c.gone = true
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
		r.Cancel(&b, f.call, f.life)
	}
	b.Flush()
	r.CloseCaller(c.caller)
}

func (c *session) remote() string {
	if c.addr.IsValid() {
		return c.conn.RemoteAddr().String()
	}
	return "unix"
}

func (c *session) currentState() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *session) setState(s state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = max(c.state, s)
}

// needsOpen returns the modules that an open session needs.
func (c *session) needsOpen() []string {
	if s := c.currentState(); s != stateOpen {
		return nil
	}
	return c.login.Needs
}

func (c *session) view() View {
	stats := c.conn.Stats()
	c.mu.Lock()
	v := View{State: c.state.String(), InFlight: len(c.flights)}
	open := c.state >= stateOpen
	c.mu.Unlock()
	v.Remote = c.remote()
	v.Age = (c.room.opts.Clock.Now() - c.since).Seconds()
	v.Outstanding = c.slots.Len()
	v.FramesIn, v.FramesOut, v.BytesIn, v.BytesOut = stats.FramesIn, stats.FramesOut, stats.BytesIn, stats.BytesOut
	v.QueuedBytes = stats.Queued
	if open {
		v.Session, v.Module, v.Instance, v.UUID = c.number, c.login.Module, c.login.Instance, c.login.InstanceUuid
		v.Role, v.Lifetime, v.SDK = roleNames[c.login.Role], lifetimeNames[c.login.Lifetime], c.login.Sdk
	}
	return v
}

var (
	roleNames     = map[pb.Role]string{pb.Role_ROLE_CALLER: "caller", pb.Role_ROLE_SERVER: "server", pb.Role_ROLE_BOTH: "both"}
	lifetimeNames = map[pb.Lifetime]string{pb.Lifetime_LIFETIME_LONG: "long", pb.Lifetime_LIFETIME_SHORT: "short"}
)
