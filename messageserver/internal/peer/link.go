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
	refused error         // what a REFUSE of the other side said
	up      bool          // the router may choose it

	// Static once open, or attached to a member.
	member  *member
	boot    string
	inbound *inbound.Inbound

	exchange *registry.Exchange // guarded by Peers.mu
	parting  bool               // guarded by Peers.mu: one side said GOODBYE
	timer    *time.Timer        // guarded by Peers.mu: closes a link that is left

	// Guarded by Peers.mu: how often the registries differed, and when that was seen last.
	mismatches uint64
	mismatchAt time.Duration

	slots router.Slots  // attempts that went this way
	done  chan struct{} // closed when the router and the member know of the end
}

var _ router.Target = (*link)(nil)

func newLink(p *Peers, nc net.Conn, dialled *member) *link {
	frameconn.TuneTCP(nc)
	door, nc := frameconn.NewEntrance(nc, wire.LoginLimit)
	l := &link{peers: p, entrance: door, dialled: dialled, since: p.now(), done: make(chan struct{})}
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
	if !l.isOpen() {
		p.counters.Refused.Add(1)
	}
	l.end(err)
	close(l.done)
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

// expire closes a link that is left, after some time.
func (l *link) expire(after time.Duration) {
	l.peers.mu.Lock()
	defer l.peers.mu.Unlock()
	if l.timer == nil {
		l.timer = time.AfterFunc(after, func() { l.conn.Shutdown(errRemoved) })
	}
}

// goodbye tells the other side to send no new calls.
func (l *link) goodbye(reason string, drain time.Duration) {
	l.peers.mu.Lock()
	l.parting = true
	l.peers.mu.Unlock()
	l.send(controlFrame(wire.KindGoodbye, &pb.Goodbye{Reason: reason, DrainMs: uint32(drain.Milliseconds())}))
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
