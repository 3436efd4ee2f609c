package peer

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Bounds of a link's frames: nodes append to what modules send.
const (
	maxFrame   = wire.MaxFrame + wire.NodeExtra
	maxMessage = wire.MaxMessage + wire.NodeExtra
)

// step is where a connection stands in its handshake. It moves forward only.
type step uint32

const (
	stepHello step = iota // acceptor: HELLO is awaited. Dialler: CHALLENGE or WELCOME is
	stepProof             // acceptor: CHALLENGE is sent. Dialler: PROOF is
	stepName              // dialler: WELCOME came, HELLO is awaited
	stepOpen              // both know whom they talk to
)

// link is one connection to another node.
type link struct {
	// Static after construction.
	peers    *Peers
	conn     *frameconn.Conn
	entrance *frameconn.Entrance // what the other side may say before it has proved itself
	dialled  *member             // whom we dialled; nil: we accepted
	since    time.Duration

	// The reader moves it forward.
	step atomic.Uint32

	// Owned by the reader.
	batch   router.Batch
	giveUp  *time.Timer   // the handshake's time
	server  *scram.Server // acceptor, between CHALLENGE and PROOF
	client  *scram.Client // dialler, until WELCOME
	proved  bool          // dialler: PROOF was sent
	hello   *pb.Hello     // acceptor: the dialler's, between CHALLENGE and PROOF
	version uint32        // the one in force
	least   uint64        // what the other side's incarnation has to be above
	raised  bool          // one side has told the other to raise its incarnation; read by others when it is parted
	refused error         // what a REFUSE of the other side said
	up      bool          // the router may choose it; read by others when it is parted

	// Static once attached to a member.
	member  *member
	boot    string
	inbound *inbound.Inbound

	// Guarded by Peers.mu.
	exchange   *registry.Exchange // nil until the link is open
	framesIn   uint64             // of which the exchange has heard
	parted     bool               // it is not its member's, or not any more
	timer      *time.Timer        // closes a link that leaves
	mismatches uint64             // how often the registries differed
	mismatchAt time.Duration      // when that was seen last

	left  chan struct{} // closed when it is parted
	slots router.Slots  // attempts that went this way
}

var _ router.Target = (*link)(nil)

func newLink(p *Peers, nc net.Conn, dialled *member) *link {
	frameconn.TuneLinkTCP(nc)
	door, nc := frameconn.NewEntrance(nc, wire.LoginLimit)
	l := &link{peers: p, entrance: door, dialled: dialled, since: p.now(), left: make(chan struct{})}
	l.conn = frameconn.New(nc, frameconn.Options{
		Accepts:  dialled == nil,
		MaxFrame: wire.LoginLimit - uint32(len(wire.Preface)) - 4,
		Queue:    p.opts.Queue,
		Stalled:  p.opts.Dead,
		Clock:    p.opts.Clock,
		Vet:      l.vet,
	})
	return l
}

func (l *link) String() string {
	if m := l.member; l.isOpen() && m != nil {
		return "link(" + m.name + ")"
	}
	return "link(" + l.conn.RemoteAddr().String() + ")"
}

func (l *link) currentStep() step { return step(l.step.Load()) }

// isOpen reports whether the handshake is done; it stays so.
func (l *link) isOpen() bool { return l.currentStep() == stepOpen }

// run serves the connection to its end.
func (l *link) run() {
	p := l.peers
	l.giveUp = time.AfterFunc(p.opts.Handshake, func() { l.conn.Close(errHandshake) })
	if l.dialled != nil {
		if err := l.begin(); err != nil {
			l.conn.Close(err)
		}
	}
	err := l.conn.Run(l)
	l.giveUp.Stop()
	if l.refused != nil {
		err = l.refused
	}
	l.end(err)
	if l.inbound != nil {
		l.inbound.Wait()
	}
}

// open lets everything in that a member may send.
func (l *link) open() {
	l.giveUp.Stop()
	l.entrance.Open()
	l.conn.Adopt(frameconn.Limits{MaxFrame: maxFrame, MaxMessage: l.peers.opts.MaxMessage, Queue: l.peers.opts.Queue})
	l.server, l.client, l.hello = nil, nil, nil
	l.step.Store(uint32(stepOpen))
}

// end takes a link apart: first nothing new goes its way, then what went ends, then what came is cancelled.
func (l *link) end(cause error) {
	p := l.peers
	if m := l.member; m != nil {
		p.routing.Lock()
		p.opts.Router.Disconnect(m.name, l)
		p.routing.Unlock()
		b := router.Batch{Now: p.now()}
		l.conn.EachUnsent(func(id uint64) {
			if t, ok := l.slots.Release(id); ok {
				p.opts.Router.End(&b, t, &router.End{Code: wire.ConnectionLost, Unsent: true})
			}
		})
		for _, t := range l.slots.Close() {
			p.opts.Router.End(&b, t, &router.End{Code: wire.ConnectionLost})
		}
		l.inbound.End(&b)
		b.Flush()
	}
	p.detach(l, cause)
}

// detach forgets a connection that has ended.
func (p *Peers) detach(l *link, cause error) {
	p.mu.Lock()
	delete(p.lobby, l)
	delete(p.leaving, l)
	if l.timer != nil {
		l.timer.Stop()
	}
	m := l.member
	if m == nil {
		m = l.dialled
	}
	was := l.partLocked()
	if m != nil {
		m.lostLocked(l, was, cause)
	}
	p.mu.Unlock()
	switch remote := l.conn.RemoteAddr().String(); {
	case l.isOpen() && l.refused == nil:
		p.log("link closed", cause, m.name)
	case m != nil:
		p.counters.Refused.Add(1)
		p.logRefusal(cause, m.name, "peer", m.name, "remote", remote)
	default:
		p.counters.Refused.Add(1)
		p.logRefusal(cause, hostOf(remote), "remote", remote)
	}
	p.tellNodes()
	signal(p.poke)
}

// hostOf is an address without its port: the same for all connections of one machine.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// partLocked takes the link from its member, and reports whether it was the member's.
func (l *link) partLocked() (was bool) {
	if l.parted {
		return false
	}
	l.parted = true
	close(l.left)
	if m := l.member; m != nil && m.link == l {
		m.link = nil
		return true
	}
	return false
}

// leaveLocked lets a link go on for the calls under way, and closes it after some time. It reports whether the link was the
// member's until now: if so, the caller tells the router. Nothing of the registry is said or heard on it any more.
func (l *link) leaveLocked(within time.Duration, cause error) (was bool) {
	if !l.partLocked() {
		return false
	}
	l.peers.leaving[l] = struct{}{}
	l.timer = time.AfterFunc(within, func() { l.conn.Shutdown(cause) })
	return true
}

// verdictLocked is why a link ended: where the other side did not hear this one, it may well be the first to close.
func (l *link) verdictLocked(now time.Duration, cause error) error {
	x, two := l.exchange, 2*l.peers.opts.Heartbeat
	if x != nil && causeOf(cause) == "network" && x.OldestUnanswered(now) > two && x.Silence(now) <= two {
		return registry.ErrOneWay
	}
	return cause
}

// lostAtLocked is since when a link that was up had not been of use when it ended.
func (l *link) lostAtLocked(now time.Duration, cause error) time.Duration {
	switch {
	case errors.Is(cause, registry.ErrSilent):
		return max(now-l.exchange.Silence(now), 1)
	case errors.Is(cause, registry.ErrOneWay):
		return max(now-l.exchange.OldestUnanswered(now), 1)
	}
	return now
}

// goodbye tells the other side to send no new calls.
func (l *link) goodbye(reason string, drain time.Duration) {
	l.send(controlFrame(wire.KindGoodbye, &pb.Goodbye{Reason: reason, DrainMs: uint32(drain.Milliseconds())}))
}

// answers waits for a heartbeat's time and some more, and reports whether a frame came. Several may wait at once: a second
// process that knocks must not make the first one pass for silent.
func (l *link) answers() bool {
	before := l.conn.Stats().FramesIn
	over := time.NewTimer(l.peers.opts.Heartbeat * 5 / 4)
	defer over.Stop()
	select {
	case <-l.conn.Done():
		return false
	case <-over.C:
		return l.conn.Stats().FramesIn > before
	}
}

// send queues a control frame and flushes.
func (l *link) send(f wire.Frame) {
	if wake, err := l.conn.Send(frameconn.Control, &f, false); err == nil && wake {
		l.conn.Flush()
	}
}

// Send implements router.Target.
func (l *link) Send(b *router.Batch, f *wire.Frame, runLate bool) error {
	wake, err := l.conn.Send(frameconn.Requests, f, runLate)
	if wake {
		b.Wake(l.conn)
	}
	if err != nil && !errors.Is(err, frameconn.ErrFull) {
		return router.ErrGone
	}
	return err
}

// Cancel implements router.Target.
func (l *link) Cancel(b *router.Batch, id uint64, why wire.Code) (takenBack bool) {
	takenBack, wake := l.conn.Cancel(id, why)
	if wake {
		b.Wake(l.conn)
	}
	return takenBack
}

// Slots implements router.Target.
func (l *link) Slots() *router.Slots { return &l.slots }

// Replace implements router.Target; sessions are replaced by their owner.
func (l *link) Replace() {}

// Spent implements frameconn.Handler: the writer took a request back.
func (l *link) Spent(id uint64) {
	t, ok := l.slots.Release(id)
	if !ok {
		return
	}
	b := router.Batch{Now: l.peers.now()}
	l.peers.opts.Router.End(&b, t, &router.End{Code: wire.Expired, Unsent: true})
	b.Flush()
}
