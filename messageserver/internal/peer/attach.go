package peer

import (
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// attach makes the link the one of its member. A process that brings the name of another one whose link answers is refused.
func (p *Peers) attach(l *link, h *pb.Hello) error {
	var silent *link
	for {
		doubtful, err := p.tryAttach(l, h, silent)
		if doubtful == nil {
			return err
		}
		if doubtful.answers() {
			p.noteClone(h.GetNode(), l.conn.RemoteAddr().String())
			return refusal(wire.Denied, "node %s runs already, as another process, and its link answers", h.GetNode())
		}
		silent = doubtful
	}
}

// tryAttach makes the link the one of its member. An older link of the same process, or the one that is known to be silent,
// gives way; that of another process is returned, and nothing has changed.
func (p *Peers) tryAttach(l *link, h *pb.Hello, silent *link) (doubtful *link, err error) {
	p.routing.Lock()
	p.mu.Lock()
	m, err := p.knownLocked(l, h)
	var old *link
	var gone []router.Change
	if err == nil {
		old = m.link
		if old != nil && old != silent && old.boot != string(h.GetBootId()) {
			doubtful = old
		} else {
			gone, err = p.attachLocked(l, m, h)
		}
	}
	if err != nil {
		p.noteRefusalLocked(l, h, err)
	}
	p.mu.Unlock()
	attached := doubtful == nil && err == nil
	if attached && old != nil {
		p.opts.Router.Disconnect(m.name, old)
	}
	if len(gone) > 0 {
		p.opts.Router.Announce(m.name, gone)
	}
	p.routing.Unlock()
	if attached && old != nil {
		old.conn.Close(errSuperseded)
	}
	return doubtful, err
}

// noteRefusalLocked shows at a member that does not get a link why. Who dialled notes it when the connection has ended.
func (p *Peers) noteRefusalLocked(l *link, h *pb.Hello, why error) {
	if m := p.members[h.GetNode()]; m != nil && m.link == nil && !m.dials() && l.side() == acceptor {
		m.becomeLocked(StateRefused, why)
	}
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
	case l.side() == dialler && l.dialled.name != name:
		return nil, refusal(wire.Denied, "node %s was dialled, and node %s answers there", l.dialled.name, name)
	case l.side() == dialler && l.dialled != m:
		return nil, refusal(wire.Denied, "node %s has left the members and come back", name)
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
		l.least, l.raised = seen, true
		return nil, refusal(wire.BadRequest, "the incarnation of node %s is %d, must be above %d, which was seen of it", m.name, h.GetIncarnation(), seen)
	}
	if m.link != nil {
		m.link.partLocked()
	}
	l.member, l.boot = m, boot
	l.inbound = inbound.New(inbound.Options{
		Node: p.opts.Node, Local: p.local, Methods: p.opts.Methods, Link: l.conn, Now: p.now, Counts: &p.counters.Inbound,
	})
	m.moduleAddress = h.GetModuleAddress()
	m.attachedLocked(l)
	return gone, nil
}

// converse begins to tell an open link of this node's registry.
func (p *Peers) converse(l *link, h *pb.Hello) {
	known := registry.Known{Mark: registry.Mark{Incarnation: h.GetKnownIncarnation(), Version: h.GetKnownVersion()}}
	copy(known.Digest[:], h.GetKnownDigest())
	o := registry.Options{Heartbeat: p.opts.Heartbeat, Dead: p.opts.Dead}
	p.mu.Lock()
	l.exchange = registry.NewExchange(p.own, l.member.view, o, known, p.now())
	p.mu.Unlock()
	p.counters.Opened.Add(1)
	p.refused.forget(l.member.name)
	p.log("link open", nil, l.member.name, "remote", l.conn.RemoteAddr().String())
	p.tellNodes() // the link before it may have been up
	signal(p.poke)
}

// clone is a process that brought the name of another one.
type clone struct {
	at     time.Duration // the last time
	remote string
}

func (p *Peers) noteClone(name, remote string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clones[name] = clone{p.now(), remote}
}
