package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/wire"
)

// member is another node of the list.
type member struct {
	// Static after construction.
	peers  *Peers
	name   string
	number int
	redial chan struct{} // one slot: do not wait, the address is another one

	// Guarded by Peers.mu.
	address       string
	state         State
	since         time.Duration
	cause         error // why it is not up
	heard         bool  // its registry has come in since this node started
	lastError     error // the last one, also when it is up again
	view          *registry.View
	boot          string             // the process that we last had to do with
	link          *link              // past its handshake, and not leaving
	opening       *link              // dialled, and in its handshake
	moduleAddress string             // where modules connect to it
	lostAt        time.Duration      // since when it is not up; 0 while it is
	endedBy       error              // what ended its last link; nil while it is up
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
	StateLeaving    State = "leaving" // it said goodbye: no new calls, what is under way goes on
)

// dials reports whether this node is the one that dials: the smaller name does.
func (m *member) dials() bool { return m.peers.opts.Node < m.name }

// startLocked begins to dial a member, once Run runs.
func (p *Peers) startLocked(m *member) {
	if p.ctx == nil || p.closed || m.stop != nil || !m.dials() {
		return
	}
	ctx, stop := context.WithCancel(p.ctx)
	m.stop = stop
	m.becomeLocked(StateWaiting, errUnheard)
	p.running.Go(func() { m.dial(ctx) })
}

// becomeLocked moves the member to a state, for a cause that is nil when it is up.
func (m *member) becomeLocked(s State, cause error) {
	if m.state != s {
		now := m.peers.now()
		if m.state == StateUp {
			m.lostAt = now
		}
		m.state, m.since = s, now
	}
	m.cause = cause
	switch {
	case s == StateUp:
		m.lostAt, m.endedBy, m.heard = 0, nil, true
	case cause != nil && cause != errSyncing && cause != errUnheard: //nolint:errorlint // these say no more than the state
		m.lastError = cause
	}
}

// restLocked is the state of a member without a link. refused says that the handshake ended so.
func (m *member) restLocked(cause error, refused bool) {
	s := StateDown
	switch {
	case refused:
		s = StateRefused
	case m.dials():
		s = StateWaiting
	}
	m.becomeLocked(s, cause)
}

// checkLocked says how the member's state does not fit its link.
func (m *member) checkLocked() error {
	l := m.link
	linked := m.state == StateUp || m.state == StateSyncing
	switch {
	case l == nil && linked:
		return fmt.Errorf("peer %s is %s, and has no link", m.name, m.state)
	case l != nil && (!linked || l.parted || l.member != m):
		return fmt.Errorf("peer %s is %s, and has %v", m.name, m.state, l)
	case m.state == StateUp && l.exchange == nil, m.state == StateUp != (m.lostAt == 0):
		return fmt.Errorf("peer %s is %s, lost at %v", m.name, m.state, m.lostAt)
	}
	return nil
}

// How redials are spread.
const (
	redialFirst = 100 * time.Millisecond // at most, after a link that was open
	redialStep  = 200 * time.Millisecond // doubled with each failure, up to Options.Redial
)

// redialWait is what a node waits at most before it dials again, after so many failures in a row.
func (o Options) redialWait(failures int) time.Duration {
	if failures == 0 {
		return min(redialFirst, o.Redial)
	}
	return min(redialStep<<min(failures-1, 10), o.Redial)
}

// dial keeps a link to the member, until ctx is done. A link that was of use is dialled again at once; one that was up, or would
// have been but for an incarnation that is being raised, is too, but not again and again.
func (m *member) dial(ctx context.Context) {
	p := m.peers
	failures, brief := 0, 0
	for ctx.Err() == nil {
		began := p.now()
		l := m.connect(ctx)
		switch {
		case l != nil && l.up && p.now()-began >= p.opts.Heartbeat:
			failures, brief = 0, 0
		case l != nil && (l.up || l.raised):
			failures = brief
			brief++
		default:
			failures++
		}
		wait := p.opts.redialWait(failures)
		if !m.pause(ctx, wait/2+rand.N(wait/2+1)) { //nolint:gosec // jitter
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

// connect dials once, and returns when the link is not the member's any more: it has ended, or it leaves, which does not keep
// the next one from being dialled. The link is nil if nobody answered.
func (m *member) connect(ctx context.Context) *link {
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
		return nil
	}
	l := newLink(p, nc, m)
	p.mu.Lock()
	over := p.closed || ctx.Err() != nil
	if !over {
		m.opening = l
	}
	p.mu.Unlock()
	if over {
		nc.Close()
		return nil
	}
	p.running.Go(l.run)
	<-l.left
	return l
}

// attachedLocked makes a link the member's.
func (m *member) attachedLocked(l *link) {
	m.link, m.boot = l, l.boot
	if m.opening == l {
		m.opening = nil
	}
	delete(m.peers.lobby, l)
	m.becomeLocked(StateSyncing, errSyncing)
}

// lostLocked notes that a connection that the member had, or was to have, has ended.
func (m *member) lostLocked(l *link, was bool, cause error) {
	now := m.peers.now()
	if m.opening == l {
		m.opening = nil
	}
	breach, _ := errors.AsType[*wire.Error](cause)
	refused := l.refused != nil || !l.isOpen() && breach != nil
	switch {
	case was:
		cause = l.verdictLocked(now, cause)
		m.endedBy = cause
		up := m.state == StateUp
		m.restLocked(cause, refused)
		if up {
			m.lostAt = l.lostAtLocked(now, cause)
		}
	case m.state == StateLeaving && m.link == nil: // it was the one that was left
		m.restLocked(m.cause, false)
	case m.link == nil && l.dialled == m && l.member == nil:
		m.restLocked(cause, refused)
	}
}
