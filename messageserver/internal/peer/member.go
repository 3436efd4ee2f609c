package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/wire"
)

// member is another node of the list. What is not static is guarded by Peers.mu.
type member struct {
	// Static after construction.
	peers  *Peers
	name   string
	number int
	redial chan struct{} // one slot: do not wait, the address is another one

	address       string
	state         State
	since         time.Duration
	cause         error // why it is not up
	lastError     error // the last one, also when it is up again
	view          *registry.View
	boot          string             // the process that we last had to do with
	link          *link              // past its handshake
	dialling      *link              // in its handshake
	moduleAddress string             // where modules connect to it
	lostAt        time.Duration      // since when it has no link; 0 while it has
	endedBy       error              // what ended its last link
	differsSince  time.Duration      // its list is another one; 0 while it is not
	stop          context.CancelFunc // ends dialling
}

// State is where a member stands.
type State string

// The states.
const (
	StateDown       State = "down"       // there is no link, and the member is to dial
	StateWaiting    State = "waiting"    // to be dialled
	StateConnecting State = "connecting" // dialled, or in the handshake
	StateRefused    State = "refused"    // it, or we, refused the handshake
	StateSyncing    State = "syncing"    // its registry is on its way
	StateUp         State = "up"
	StateLeaving    State = "leaving" // no new calls, what is under way goes on
)

// Why links end.
var (
	errStopped    = errors.New("peer: this node stops")
	errSuperseded = errors.New("peer: another connection of the same node took its place")
	errRemoved    = errors.New("peer: removed from the members")
	errHandshake  = errors.New("peer: the handshake took too long")
	errUnheard    = errors.New("peer: not heard of yet")
	errGoodbye    = errors.New("peer: it said goodbye")
)

func newMember(p *Peers, w Member, now time.Duration) *member {
	m := &member{
		peers: p, name: w.Node, number: w.Number, address: w.Address, redial: make(chan struct{}, 1),
		state: StateDown, since: now, cause: errUnheard, view: registry.NewView(w.Node),
	}
	if seen := p.highest[w.Node]; seen > 0 {
		m.view.Meet(seen)
	}
	return m
}

// dials reports whether this node is the one that dials: the smaller name does.
func (m *member) dials() bool { return m.peers.opts.Node < m.name }

// startLocked begins to dial a member, once Run runs.
func (p *Peers) startLocked(m *member) {
	if p.ctx == nil || m.stop != nil || !m.dials() {
		return
	}
	ctx, stop := context.WithCancel(p.ctx)
	m.stop = stop
	m.becomeLocked(StateWaiting, errUnheard)
	p.running.Go(func() { m.dial(ctx) })
}

func (m *member) stopDialling() {
	if m.stop != nil {
		m.stop()
	}
}

// becomeLocked moves the member to a state, for a cause that is nil when it is up.
func (m *member) becomeLocked(s State, cause error) {
	if m.state != s {
		m.state, m.since = s, m.peers.now()
	}
	m.cause = cause
	if cause != nil {
		m.lastError = cause
	}
}

// restLocked is the state of a member without a link. early says that the link had ended before it was open.
func (m *member) restLocked(cause error, early bool) {
	s := StateDown
	if m.dials() {
		s = StateWaiting
	}
	if _, refused := errors.AsType[*wire.Error](cause); refused && early {
		s = StateRefused
	}
	m.becomeLocked(s, cause)
}

// How redials are spread.
const (
	redialFirst = 100 * time.Millisecond // at most, after a link that was up
	redialStep  = 200 * time.Millisecond // doubled with each failure, up to Options.Redial
)

// dial keeps a link to the member, until ctx is done.
func (m *member) dial(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		opened := m.connect(ctx)
		wait := redialFirst
		if opened {
			failures = 0
		} else {
			wait = min(redialStep<<min(failures, 10), m.peers.opts.Redial)
			failures++
		}
		if !m.pause(ctx, wait/2+rand.N(wait/2)) { //nolint:gosec // jitter
			return
		}
	}
}

// pause waits for the next dial. It reports whether there is one.
func (m *member) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.redial:
	case <-ctx.Done():
		return false
	}
	return true
}

// connect dials once and runs the link to its end. It reports whether the link was open.
func (m *member) connect(ctx context.Context) (opened bool) {
	p := m.peers
	p.mu.Lock()
	address := m.address
	m.becomeLocked(StateConnecting, m.cause)
	p.mu.Unlock()
	timed, cancel := context.WithTimeout(ctx, p.opts.DialTimeout)
	nc, err := p.opts.Dial(timed, address)
	cancel()
	if err != nil {
		p.mu.Lock()
		m.restLocked(err, false)
		p.mu.Unlock()
		return false
	}
	l := newLink(p, nc, m)
	p.mu.Lock()
	if p.closed || ctx.Err() != nil {
		p.mu.Unlock()
		nc.Close()
		return false
	}
	m.dialling = l
	p.mu.Unlock()
	l.run()
	p.mu.Lock()
	m.dialling = nil
	p.mu.Unlock()
	return l.isOpen()
}
