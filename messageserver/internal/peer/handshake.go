package peer

import (
	"errors"
	"fmt"
	"time"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// refusal ends a handshake: Farewell makes a REFUSE of it.
func refusal(code wire.Code, format string, args ...any) error {
	return &wire.Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// errRefused ends a connection whose other side has sent REFUSE; link.refused says why.
var errRefused = errors.New("peer: refused")

// helloTo returns this node's HELLO for a member, whose registry the node may know. m is nil before that is clear.
func (p *Peers) helloTo(m *member) *pb.Hello {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &pb.Hello{
		VersionMin: wire.MinVersion, VersionMax: wire.Version, Mesh: p.opts.Mesh, Node: p.opts.Node, Number: uint32(p.opts.Number),
		BootId: p.boot, Incarnation: p.own.Mark().Incarnation, MembershipHash: p.hash, ModuleAddress: p.opts.ModuleAddress,
	}
	if known := m.view.Known(); known.Mark.Incarnation > 0 {
		h.KnownIncarnation, h.KnownVersion, h.KnownDigest = known.Mark.Incarnation, known.Mark.Version, known.Digest[:]
	}
	return h
}

// begin is the dialler's first frame.
func (l *link) begin() error {
	h := l.peers.helloTo(l.dialled)
	if secret := l.peers.opts.Secret; secret != "" {
		client, err := scram.NewClient(l.peers.opts.Mesh, secret, nil)
		if err != nil {
			return fmt.Errorf("peer: the mesh's secret: %w", err)
		}
		l.client = client
		if h.ScramClientFirst, err = client.First(); err != nil {
			return fmt.Errorf("peer: the mesh's secret: %w", err)
		}
	}
	l.send(controlFrame(wire.KindHello, h))
	return nil
}

// takeHello is the first frame of a dialler, and the last of the acceptor's handshake.
func (l *link) takeHello(f *wire.Frame) error {
	h := &pb.Hello{}
	if err := readControl(f, h); err != nil {
		return err
	}
	if err := wire.CheckHello(h); err != nil {
		return err
	}
	version, err := wire.NegotiateVersion(h.GetVersionMin(), h.GetVersionMax())
	if err != nil {
		return err
	}
	if l.side() == dialler {
		if err := l.peers.attach(l, h); err != nil {
			return err
		}
		l.open()
		l.peers.converse(l, h)
		return nil
	}
	l.version = version
	if l.peers.directory == nil {
		return l.admit(h, nil)
	}
	if l.server, err = scram.NewServer(l.peers.directory, "", nil); err != nil {
		return refusal(wire.Unauthenticated, "the node cannot check secrets")
	}
	challenge, err := l.server.First(h.GetScramClientFirst())
	if err != nil {
		return refusal(wire.Unauthenticated, "this mesh has a secret: %v", err)
	}
	l.hello = h
	l.step.Store(uint32(stepProof))
	l.send(controlFrame(wire.KindChallenge, &pb.Challenge{ScramServerFirst: challenge}))
	return nil
}

// takeChallenge is for the dialler: it proves that it knows the secret.
func (l *link) takeChallenge(f *wire.Frame) error {
	c := &pb.Challenge{}
	if err := readControl(f, c); err != nil {
		return err
	}
	if l.client == nil {
		return refusal(wire.Unauthenticated, "the other node asks for the mesh's secret, and this node has none")
	}
	final, err := l.client.Final(c.GetScramServerFirst())
	if err != nil {
		return refusal(wire.Unauthenticated, "%v", err)
	}
	l.proved = true
	l.step.Store(uint32(stepProof))
	l.send(controlFrame(wire.KindProof, &pb.Proof{ScramClientFinal: final}))
	return nil
}

// takeProof is for the acceptor: it lets in who knows the secret.
func (l *link) takeProof(f *wire.Frame) error {
	proof := &pb.Proof{}
	if err := readControl(f, proof); err != nil {
		return err
	}
	final, err := l.server.Final(proof.GetScramClientFinal())
	if err != nil {
		return refusal(wire.Unauthenticated, "the secret is another one than that of this mesh")
	}
	return l.admit(l.hello, final)
}

// admit is the acceptor's word to who has proved itself.
func (l *link) admit(h *pb.Hello, serverFinal []byte) error {
	p := l.peers
	if err := p.attach(l, h); err != nil {
		return err
	}
	l.open()
	own := p.helloTo(l.member)
	l.send(controlFrame(wire.KindWelcome, &pb.Welcome{
		Version: l.version, ScramServerFinal: serverFinal, Node: p.opts.Node, Mesh: p.opts.Mesh,
		Number: own.GetNumber(), Incarnation: own.GetIncarnation(),
	}))
	l.send(controlFrame(wire.KindHello, own))
	p.converse(l, h)
	return nil
}

// takeWelcome is for the dialler: the other side has let it in, and has to prove itself, too.
func (l *link) takeWelcome(f *wire.Frame) error {
	w := &pb.Welcome{}
	if err := readControl(f, w); err != nil {
		return err
	}
	switch {
	case l.client != nil && !l.proved:
		return refusal(wire.Unauthenticated, "the other node asked for no secret, and this mesh has one")
	case l.client != nil:
		if err := l.client.Verify(w.GetScramServerFinal()); err != nil {
			return refusal(wire.Unauthenticated, "%v", err)
		}
	}
	l.version = w.GetVersion()
	l.step.Store(uint32(stepName))
	return nil
}

// takeRefuse ends a link with what the other side says of it. Who is told that its incarnation is too low raises it.
func (l *link) takeRefuse(f *wire.Frame) error {
	r := &pb.Refuse{}
	if err := readControl(f, r); err != nil {
		return err
	}
	l.refused = refusal(wire.Code(min(r.GetCode(), uint32(wire.MaxCode))), "refused by the other node: %s", r.GetMessage())
	if least := r.GetMinIncarnation(); least > 0 {
		if err := l.peers.raise(least); err != nil {
			l.refused = refusal(wire.BadRequest, "the other node wants an incarnation above %d: %v", least, err)
		}
	}
	return errRefused
}

// attach makes the link the one of its member. Who brings the name of a process whose link still answers is refused; an older
// link that does not is closed, and its end waited for.
func (p *Peers) attach(l *link, h *pb.Hello) error {
	for {
		old, err := p.tryAttach(l, h)
		if old == nil {
			return err
		}
		if old.boot != string(h.GetBootId()) && old.answers() {
			p.noteClone(h.GetNode(), l.conn.RemoteAddr().String())
			return refusal(wire.Denied, "node %s runs already, as another process, and its link answers", h.GetNode())
		}
		old.conn.Close(errSuperseded)
		select {
		case <-old.done:
		case <-l.conn.Done():
			return errSuperseded
		}
	}
}

// tryAttach makes the link the one of its member, unless there is an older one.
func (p *Peers) tryAttach(l *link, h *pb.Hello) (old *link, err error) {
	p.routing.Lock()
	defer p.routing.Unlock()
	p.mu.Lock()
	m, err := p.knownLocked(l, h)
	var gone []router.Change
	if err == nil {
		if old = m.link; old == nil {
			gone, err = p.attachLocked(l, m, h)
		}
	}
	p.mu.Unlock()
	if len(gone) > 0 {
		p.opts.Router.Announce(m.name, gone)
	}
	return old, err
}

// knownLocked returns the member that a HELLO names, or why it cannot be one.
func (p *Peers) knownLocked(l *link, h *pb.Hello) (*member, error) {
	name, m := h.GetNode(), p.members[h.GetNode()]
	switch {
	case p.closed:
		return nil, refusal(wire.Draining, "the node stops")
	case h.GetMesh() != p.opts.Mesh:
		return nil, refusal(wire.Denied, "the mesh here is %s, not %s", p.opts.Mesh, h.GetMesh())
	case name == p.opts.Node:
		return nil, refusal(wire.Denied, "this is node %s: another process must not have its name", name)
	case m == nil:
		return nil, refusal(wire.Denied, "node %s is not in the members of node %s", name, p.opts.Node)
	case int(h.GetNumber()) != m.number:
		return nil, refusal(wire.Denied, "the members of node %s give node %s the number %d, not %d", p.opts.Node, name, m.number, h.GetNumber())
	case l.side() == dialler && l.dialled != m:
		return nil, refusal(wire.Denied, "node %s was dialled, and node %s answers there", l.dialled.name, name)
	case l.side() == acceptor && m.dials():
		return nil, refusal(wire.BadRequest, "of two nodes the one with the smaller name dials: %s, not %s", p.opts.Node, name)
	}
	return m, nil
}

// attachLocked looks at the incarnation and makes the link the one of its member. What an earlier process of the node had
// registered is gone.
func (p *Peers) attachLocked(l *link, m *member, h *pb.Hello) (gone []router.Change, err error) {
	boot, n, seen := string(h.GetBootId()), h.GetIncarnation(), m.view.Highest()
	another := m.boot != "" && m.boot != boot
	if n == seen && another {
		n-- // a process that has restarted must show it
	}
	gone, ok := m.view.Meet(n)
	if !ok {
		l.least = seen
		return nil, refusal(wire.BadRequest, "the incarnation of node %s is %d, must be above %d, which was seen of it", m.name, h.GetIncarnation(), seen)
	}
	l.member, l.boot = m, boot
	l.inbound = inbound.New(inbound.Options{
		Node: p.opts.Node, Local: p.local, Methods: p.opts.Methods, Link: l.conn, Now: p.now, Counts: &p.counters.Inbound,
	})
	m.link, m.boot, m.moduleAddress = l, boot, h.GetModuleAddress()
	m.becomeLocked(StateSyncing, errSyncing)
	delete(p.lobby, l)
	return gone, nil
}

var errSyncing = errors.New("peer: its registry is not in yet")

// converse begins to tell an open link of this node's registry.
func (p *Peers) converse(l *link, h *pb.Hello) {
	p.mu.Lock()
	known := registry.Known{Mark: registry.Mark{Incarnation: h.GetKnownIncarnation(), Version: h.GetKnownVersion()}}
	copy(known.Digest[:], h.GetKnownDigest())
	l.exchange = registry.NewExchange(p.own, l.member.view, registry.Options{Heartbeat: p.opts.Heartbeat, Dead: p.opts.Dead}, known, p.now())
	p.mu.Unlock()
	p.counters.Opened.Add(1)
	p.log("link open", nil, l.member.name, "remote", l.conn.RemoteAddr().String())
	signal(p.poke)
}

// answers reports whether something comes from the other side while a heartbeat is due.
func (l *link) answers() bool {
	before := l.conn.Stats().FramesIn
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	over := time.NewTimer(l.peers.opts.Heartbeat * 5 / 4)
	defer over.Stop()
	for {
		select {
		case <-look.C:
			if l.conn.Stats().FramesIn > before {
				return true
			}
		case <-l.conn.Done():
			return false
		case <-over.C:
			return false
		}
	}
}

// detach forgets a connection that has ended.
func (p *Peers) detach(l *link, cause error) {
	p.mu.Lock()
	m := l.member
	if m == nil {
		m = l.dialled
	}
	delete(p.lobby, l)
	delete(p.leaving, l)
	if l.timer != nil {
		l.timer.Stop()
	}
	open := l.isOpen()
	if m != nil && (m.link == l || m.link == nil && l.dialled == m) {
		m.link = nil
		if open {
			m.endedBy = cause
		}
		m.restLocked(cause, !open)
	}
	p.mu.Unlock()
	switch {
	case m == nil:
		p.events.Event("link refused", causeOf(cause), cause, "remote", l.conn.RemoteAddr().String())
	case open:
		p.log("link closed", cause, m.name)
	default:
		p.log("link refused", cause, m.name)
	}
	signal(p.poke)
	p.opts.NodesChanged()
}

// clone is a process that brought the name of another one.
type clone struct {
	at     time.Duration // the last time
	remote string
}

func (p *Peers) noteClone(name, remote string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals[name] = clone{p.now(), remote}
}
