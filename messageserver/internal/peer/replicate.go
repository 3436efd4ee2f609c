package peer

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// takeRegistry is what the other side says of its sessions, and of how it hears this node. On a link that is not the member's
// any more it is not listened to.
func (l *link) takeRegistry(f *wire.Frame) error {
	p := l.peers
	t, err := l.replicate(f)
	if err != nil {
		return err
	}
	if t.Mismatch != nil {
		p.log("registry differs", t.Mismatch, l.member.name)
	}
	if t.up {
		p.log("link up", nil, l.member.name, "entries", t.entries)
		p.tellNodes()
	}
	if t.more {
		signal(p.poke)
	}
	if t.rules != nil {
		p.opts.RulesHeard(l.member.name, *t.rules)
	}
	return nil
}

// taken is what a frame of the registry led to.
type taken struct {
	registry.Result
	up      bool   // the link is, since this frame
	entries int    // in the view
	more    bool   // there is something to send
	rules   *Rules // that are in force at the other node, where it was a heartbeat
}

// replicate has the view and the router learn a frame in one order: routing is held over both. What cannot lead to anything
// that the router is told does not wait for it: another node's large snapshot may have it.
func (l *link) replicate(f *wire.Frame) (t taken, err error) {
	p, m := l.peers, l.member
	if !l.up || f.Kind == wire.KindSnapshot || f.Kind == wire.KindDelta {
		l.conn.EndBatch() // it may take a while
		p.routing.Lock()
		defer p.routing.Unlock()
	}
	now := l.conn.Now()
	p.mu.Lock()
	if l.parted {
		p.mu.Unlock()
		return t, nil
	}
	t.Result, err = l.exchange.Take(f.Kind, f.Header, now)
	l.framesIn = l.conn.Stats().FramesIn
	t.up = err == nil && !l.up && l.exchange.State(now) == registry.Up
	if t.up {
		l.up = true
		m.becomeLocked(StateUp, nil)
	}
	if err == nil && f.Kind == wire.KindHeartbeat {
		heard := l.exchange.Heard()
		t.rules = &Rules{heard.RulesEpoch, heard.RulesVersion, hex.EncodeToString(heard.RulesHash)}
	}
	t.more, t.entries = t.up || l.exchange.Pending(), m.view.Count()
	p.mu.Unlock()
	if err != nil {
		return t, err
	}
	if len(t.Changes) > 0 {
		p.opts.Router.Announce(m.name, t.Changes)
	}
	if t.up {
		p.opts.Router.Connect(m.name, l)
	}
	return t, nil
}

// goodbyeGrace is for the other side to close a link that it has said goodbye on.
const goodbyeGrace = 5 * time.Second

// takeGoodbye is the other side's word that it wants no new calls.
func (l *link) takeGoodbye(f *wire.Frame) error {
	g := &pb.Goodbye{}
	if err := readControl(f, g); err != nil {
		return err
	}
	p, m := l.peers, l.member
	cause := fmt.Errorf("%w: %s", errGoodbye, said(g.GetReason()))
	drain := min(time.Duration(g.GetDrainMs())*time.Millisecond, p.opts.Drain)
	l.conn.EndBatch() // it may take a while
	p.routing.Lock()
	p.mu.Lock()
	was := l.leaveLocked(drain+goodbyeGrace, cause)
	if was {
		m.becomeLocked(StateLeaving, cause)
	}
	p.mu.Unlock()
	if was {
		p.opts.Router.Disconnect(m.name, l)
	}
	p.routing.Unlock()
	if was {
		p.log("link leaving", cause, m.name)
		p.tellNodes()
	}
	return nil
}

// doubt asks for what is new: a route that this node had of the other side was stale.
func (l *link) doubt() {
	p := l.peers
	p.mu.Lock()
	if !l.parted {
		l.exchange.Doubt(l.conn.Now())
	}
	p.mu.Unlock()
	signal(p.poke)
}

// Times of keep.
const (
	tick     = 100 * time.Millisecond // between two looks at all links
	partTick = 10 * time.Millisecond  // while parts of a registry wait for room
)

// controlRoom is how many bytes of a registry may wait in a link's control lane: a heartbeat is behind no more than that.
const controlRoom = 256 << 10

// keep sends everything of the registry, and sees what is silent.
func (p *Peers) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed: // more may follow: one version for all
			timer.Reset(p.opts.Coalesce)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		case <-p.poke:
		case <-timer.C:
		}
		timer.Reset(p.turn())
	}
}

// outgoing is what one turn does with one link.
type outgoing struct {
	link   *link
	frames []wire.Frame
	dead   error
}

// turn makes a version of what has changed, and gives every link what is due. It returns when the next one is.
func (p *Peers) turn() time.Duration {
	changes, rules := p.opts.Router.Changes(), p.opts.Rules()
	now := p.now()
	next := tick
	p.mu.Lock()
	p.own.Apply(changes)
	p.health.Tick(now)
	info := p.infoLocked(rules)
	var out []outgoing
	for _, m := range p.members {
		if m.link != nil && m.link.exchange != nil {
			out = append(out, m.link.outgoingLocked(now, info))
		}
	}
	for i := range out {
		if x := out[i].link.exchange; x.Pending() {
			next = partTick
		} else {
			next = min(next, max(x.Due()-now, partTick))
		}
	}
	begun, ended := p.lookLocked(now)
	p.mu.Unlock()
	for _, o := range out {
		for _, f := range o.frames {
			o.link.send(f)
		}
		if o.dead != nil {
			o.link.conn.Close(o.dead)
		}
	}
	p.report(begun, ended)
	return next
}

// outgoingLocked asks the link's conversation for frames, while there is room for them.
func (l *link) outgoingLocked(now time.Duration, info registry.Info) outgoing {
	o := outgoing{link: l}
	x, stats := l.exchange, l.conn.Stats()
	if stats.FramesIn != l.framesIn {
		l.framesIn = stats.FramesIn
		x.Hear(now)
	}
	x.Tick(now, info, l.peers.health.Patience())
	if o.dead = x.Err(now); o.dead != nil {
		return o
	}
	room := controlRoom - stats.Control
	for room > 0 {
		kind, m, ok := x.Next(now)
		if !ok {
			break
		}
		f := controlFrame(kind, m)
		room -= len(f.Header)
		o.frames = append(o.frames, f)
	}
	return o
}

// infoLocked is what this node says of itself in its heartbeats.
func (p *Peers) infoLocked(rules Rules) registry.Info {
	hash, _ := hex.DecodeString(rules.Hash) // it is our own
	info := registry.Info{
		MembershipHash: p.hash, LateMS: p.health.LateMS(), RulesEpoch: rules.Epoch, RulesVersion: rules.Version, RulesHash: hash,
	}
	for _, m := range p.members {
		if m.state == StateUp {
			info.Reaches = append(info.Reaches, uint32(m.number))
		}
	}
	return info
}
