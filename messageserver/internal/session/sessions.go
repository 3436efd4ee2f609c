package session

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// Sessions are all sessions of a node. Safe for concurrent use.
type Sessions struct {
	// Static after construction.
	opts      Options
	directory *scram.Directory // nil: no secret is asked for
	counters  Counters

	stamps atomic.Uint64 // the Lamport clock of login stamps

	// Guarded by mu.
	mu       sync.Mutex
	all      map[*session]struct{}
	pending  map[netip.Addr]int // connections that are not logged in
	logins   loginRate
	draining bool
	idle     sync.Cond // all got empty
	quiet    quiet
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
	BadOneWay      atomic.Uint64 // one-way requests that were malformed
	Breaches       atomic.Uint64 // connections ended by a breach of the protocol
	Slow           atomic.Uint64 // callers closed because they did not read
}

// New returns the sessions of a node. The error names what is wrong with the secrets.
func New(o Options) (*Sessions, error) {
	s := &Sessions{
		opts:    o.withDefaults(),
		all:     make(map[*session]struct{}),
		pending: make(map[netip.Addr]int),
	}
	s.idle.L = &s.mu
	s.logins.perSecond = s.opts.LoginsPerSecond
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

// errDraining ends connections that come while the node drains.
var errDraining = errors.New("session: the node is draining")

// Serve runs one accepted connection to its end, in the caller's goroutine. It takes nc over.
func (s *Sessions) Serve(nc net.Conn) {
	s.counters.Accepted.Add(1)
	addr := remoteAddr(nc)
	if err := s.admit(addr); err != nil {
		s.counters.Refused.Add(1)
		s.log("connection refused", err.Error(), "remote", remoteText(nc))
		nc.Close()
		return
	}
	c := newSession(s, nc, addr)
	s.mu.Lock()
	s.all[c] = struct{}{}
	s.mu.Unlock()
	c.run()
	s.mu.Lock()
	delete(s.all, c)
	if len(s.all) == 0 {
		s.idle.Broadcast()
	}
	s.mu.Unlock()
}

// admit counts a connection as not logged in. Up to a second's worth beyond the bound waits for its turn.
func (s *Sessions) admit(addr netip.Addr) error {
	for waited := time.Duration(0); ; waited += pendingWait {
		s.mu.Lock()
		switch {
		case s.draining:
			s.mu.Unlock()
			return errDraining
		case s.pending[addr] < s.opts.MaxPending:
			s.pending[addr]++
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if waited >= time.Second {
			return fmt.Errorf("session: %d connections of one address are not logged in", s.opts.MaxPending)
		}
		time.Sleep(pendingWait)
	}
}

// pendingWait is how often a connection beyond the bound looks again.
const pendingWait = 50 * time.Millisecond

// settled ends what admit counted.
func (s *Sessions) settled(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[addr]--; s.pending[addr] <= 0 {
		delete(s.pending, addr)
	}
}

// loginRate is a token bucket of one second. It is guarded by Sessions.mu.
type loginRate struct {
	perSecond int
	tokens    float64
	at        time.Duration
}

func (l *loginRate) take(now time.Duration) bool {
	if l.at == 0 {
		l.tokens = float64(l.perSecond)
	}
	l.tokens = min(l.tokens+(now-l.at).Seconds()*float64(l.perSecond), float64(l.perSecond))
	l.at = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// maxStampLead bounds how far a module's claim may move this node's Lamport clock: one claim must not use it up.
const maxStampLead = 1 << 32

// stamp returns the login stamp of a process: the one that it brings, else a new one. A claim that no mesh can have come
// to is not believed.
func (s *Sessions) stamp(brought *pb.Stamp) *pb.Stamp {
	for brought != nil {
		n := s.stamps.Load()
		if brought.N > n+maxStampLead {
			break
		}
		if brought.N <= n || s.stamps.CompareAndSwap(n, brought.N) {
			return brought
		}
	}
	return &pb.Stamp{N: s.stamps.Add(1), Node: s.opts.Node}
}

// Drain tells all sessions to go, and waits until they have or until the time is over; then it closes the rest. No
// connection is taken any more.
func (s *Sessions) Drain(patience time.Duration) {
	s.mu.Lock()
	s.draining = true
	open := make([]*session, 0, len(s.all))
	for c := range s.all {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.leave(goawayDraining)
	}
	over := time.AfterFunc(patience, func() {
		s.mu.Lock()
		left := make([]*session, 0, len(s.all))
		for c := range s.all {
			left = append(left, c)
		}
		s.mu.Unlock()
		for _, c := range left {
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

// View describes a session, for people.
type View struct {
	Session     uint64  `json:"session,string"`
	State       string  `json:"state"`
	Role        string  `json:"role"`
	Lifetime    string  `json:"lifetime"`
	Module      string  `json:"module"`
	Instance    string  `json:"instance"`
	UUID        string  `json:"uuid"`
	SDK         string  `json:"sdk"`
	Remote      string  `json:"remote"`
	Age         float64 `json:"age_seconds"`
	InFlight    int     `json:"in_flight"`   // calls that it made
	Outstanding int     `json:"outstanding"` // calls that went to it
	FramesIn    uint64  `json:"frames_in"`
	FramesOut   uint64  `json:"frames_out"`
	BytesIn     uint64  `json:"bytes_in"`
	BytesOut    uint64  `json:"bytes_out"`
	QueuedBytes int     `json:"queued_bytes"`
}

// List describes all sessions, in the order of their numbers.
func (s *Sessions) List() []View {
	s.mu.Lock()
	open := make([]*session, 0, len(s.all))
	for c := range s.all {
		open = append(open, c)
	}
	s.mu.Unlock()
	views := make([]View, 0, len(open))
	for _, c := range open {
		views = append(views, c.view())
	}
	sort.Slice(views, func(i, j int) bool { return views[i].Session < views[j].Session })
	return views
}

// Needs returns the modules that sessions need and that nobody serves, by who needs them.
func (s *Sessions) Needs() map[string][]string {
	missing := make(map[string][]string)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		for _, need := range c.needsOpen() {
			if !s.opts.Router.HasModule(need) {
				missing[need] = append(missing[need], c.String())
			}
		}
	}
	return missing
}

// ConsistencyCheck compares what the sessions count with what they hold. The error names every difference.
func (s *Sessions) ConsistencyCheck() error {
	s.mu.Lock()
	open := make([]*session, 0, len(s.all))
	waiting := 0
	for _, n := range s.pending {
		waiting += n
	}
	for c := range s.all {
		open = append(open, c)
	}
	s.mu.Unlock()
	var errs []error
	if waiting > len(open) {
		errs = append(errs, fmt.Errorf("session: %d connections count as not logged in, %d are open", waiting, len(open)))
	}
	for _, c := range open {
		if err := c.conn.ConsistencyCheck(); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", c, err))
		}
	}
	return errors.Join(errs...)
}

var _ router.Origin = (*session)(nil)
var _ router.Target = (*session)(nil)
