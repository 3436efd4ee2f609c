package session

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/eventlog"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// Sessions are all sessions of a node. Safe for concurrent use.
type Sessions struct {
	// Static after construction.
	opts      Options
	directory *scram.Directory // nil: no secret is asked for
	counters  Counters
	lobby     *lobby
	logins    *loginRate
	events    *eventlog.Log
	news      news
	policies  policies

	// Guarded by mu.
	mu        sync.Mutex
	all       map[*session]struct{}
	draining  bool
	elsewhere []*pb.Node // where modules are sent, while this node is not of the mesh; nil while it is
	idle      sync.Cond  // all got empty
}

// Counters say what the sessions of a node have done.
type Counters struct {
	Accepted       atomic.Uint64 // connections
	Refused        atomic.Uint64 // before they were logged in
	Opened         atomic.Uint64 // sessions
	LateAnswers    atomic.Uint64 // RESPONSE for a call that was not under way
	BrokenAnswers  atomic.Uint64 // RESPONSE that was replaced, see PROTOCOL.md
	LostAnswers    atomic.Uint64 // no room in the caller's queue, or the caller was gone
	UnknownCancels atomic.Uint64 // CANCEL for a call that was not in flight
	BadOneWay      atomic.Uint64 // requests that were malformed and cannot be answered; the router counts them by code, too
	Breaches       atomic.Uint64 // sessions ended by a breach of the protocol
	Slow           atomic.Uint64 // connections closed because the module did not read
}

// New returns the sessions of a node. The error names what is wrong with the secrets.
func New(o Options) (*Sessions, error) {
	s := &Sessions{opts: o.withDefaults(), all: make(map[*session]struct{})}
	s.events = eventlog.New(s.opts.Log, s.opts.Clock.Now)
	s.idle.L = &s.mu
	s.lobby, s.logins = newLobby(s.opts.MaxPending), newLoginRate(s.opts.LoginsPerSecond)
	if s.opts.Keys != nil {
		d, err := newDirectory(s.opts.Keys)
		if err != nil {
			return nil, err
		}
		s.directory = d
	}
	return s, nil
}

// Counters returns the counters, which go on counting.
func (s *Sessions) Counters() *Counters { return &s.counters }

// Why connections are turned away, or ended by the node's own end.
var (
	errCrowded  = errors.New("session: too many connections of this address are not logged in")
	errDraining = errors.New("session: the node is draining")
)

// lobbyPatience is how long a connection waits for a place beside those that are not logged in.
const lobbyPatience = time.Second

// Serve runs one accepted connection to its end, in the caller's goroutine. It takes nc over.
func (s *Sessions) Serve(nc net.Conn) {
	s.counters.Accepted.Add(1)
	frameconn.TuneTCP(nc)
	from := remoteOf(nc)
	if !s.lobby.enter(from.ip, lobbyPatience) {
		s.turnAway(nc, from, errCrowded)
		return
	}
	c := newSession(s, nc, from)
	if !s.add(c) {
		s.lobby.leave(from.ip)
		s.turnAway(nc, from, errDraining)
		return
	}
	c.run()
	s.remove(c)
}

func (s *Sessions) turnAway(nc net.Conn, from remote, why error) {
	s.counters.Refused.Add(1)
	s.log("connection refused", why, "remote", from.String())
	nc.Close()
}

// add reports false while the node drains.
func (s *Sessions) add(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.all[c] = struct{}{}
	return true
}

func (s *Sessions) remove(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	if len(s.all) == 0 {
		s.idle.Broadcast()
	}
}

// snapshot returns the sessions that there are now.
func (s *Sessions) snapshot() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.all))
	for c := range s.all {
		all = append(all, c)
	}
	return all
}

func (s *Sessions) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.elsewhere != nil
}

// SendAway tells all sessions to go to other nodes, and takes no login until TakeBack: this node is not of the mesh any more,
// and has no way to modules that are elsewhere.
func (s *Sessions) SendAway(nodes []*pb.Node) {
	s.mu.Lock()
	s.elsewhere = append([]*pb.Node{}, nodes...)
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		if c.isOpen() && c.leave(errNodeRemoved) {
			c.expire(errDraining)
		}
	}
}

// TakeBack takes logins again.
func (s *Sessions) TakeBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.elsewhere = nil
}

// others returns the ways into the mesh besides this node.
func (s *Sessions) others() []*pb.Node {
	s.mu.Lock()
	elsewhere := s.elsewhere
	s.mu.Unlock()
	if elsewhere != nil {
		return elsewhere
	}
	return slices.DeleteFunc(s.opts.Nodes(), func(n *pb.Node) bool { return n.GetName() == s.opts.Node })
}

// Drain tells all sessions to go, and waits until they have or until the patience is over; then it closes the rest. No
// connection is taken any more.
func (s *Sessions) Drain(patience time.Duration) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.leave(errNodeDraining)
	}
	over := time.AfterFunc(patience, func() {
		for _, c := range s.snapshot() {
			c.conn.Close(errDraining)
		}
	})
	defer over.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) > 0 {
		s.idle.Wait()
	}
}

// stamp returns the login stamp of a process: the one that it brings, else a new one. A claim that no mesh can have come
// to is not believed.
func (s *Sessions) stamp(brought *pb.Stamp) *pb.Stamp {
	r := s.opts.Router
	if brought != nil && r.HearStamp(router.Stamp{N: brought.GetN(), Node: brought.GetNode()}) {
		return brought
	}
	fresh := r.NextStamp()
	return &pb.Stamp{N: fresh.N, Node: fresh.Node}
}

// ConsistencyCheck compares what the sessions count with what they hold. The error names every difference.
func (s *Sessions) ConsistencyCheck() error {
	errs := []error{s.lobby.check()}
	for _, c := range s.snapshot() {
		if err := c.conn.ConsistencyCheck(); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", c, err))
		}
		if n := c.inFlight(); n > s.opts.MaxInFlight {
			errs = append(errs, fmt.Errorf("%v: %d calls are in flight, must be at most %d", c, n, s.opts.MaxInFlight))
		}
	}
	return errors.Join(errs...)
}

var _ router.Origin = (*session)(nil)
var _ router.Target = (*session)(nil)
