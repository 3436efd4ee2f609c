package peer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
)

// Kinds of Trouble.
const (
	LinkDown          = "link_down"          // not up for more than 2 s
	LinkOneWay        = "link_one_way"       // ended because the other side does not hear this one
	LinkSlow          = "link_slow"          // up, and its answers take long
	NodeDead          = "node_dead"          // no link, and no other node that is heard has one
	NodeClone         = "node_clone"         // another process has brought the name of a node that runs
	MembershipDiffers = "membership_differs" // the other node has another list
	RegistryDiffers   = "registry_differs"   // at the same version: a bug, or corruption; it is being repaired
)

// When something is a Trouble.
const (
	downFor    = 2 * time.Second
	slowRTT    = 500 * time.Millisecond
	slowAnswer = 2500 * time.Millisecond // a heartbeat a second confirms the one before
	differsFor = 2 * time.Second         // a new list reaches the nodes one after the other
	showFor    = time.Minute             // what is an event, and no state
)

// Trouble is something that an operator must hear of, while it lasts.
type Trouble struct {
	Kind  string
	Peer  string
	Since time.Duration // on the node's clock
	Cause string
}

type troubleKey struct{ kind, peer string }

// Troubles returns what is the matter now, by kind and peer, and the time on the node's clock that Since is on.
func (p *Peers) Troubles() (all []Trouble, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.troubles {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Peer, b.Peer)) })
	return all, p.now()
}

// lookLocked looks for troubles, and returns those that have begun and ended since the last look.
func (p *Peers) lookLocked(now time.Duration) (begun, ended []Trouble) {
	found := make(map[troubleKey]Trouble)
	add := func(kind, peer string, since time.Duration, cause string) {
		found[troubleKey{kind, peer}] = Trouble{kind, peer, since, cause}
	}
	for _, m := range p.members {
		p.lookAtLocked(m, now, add)
	}
	for name, c := range p.clones {
		if now-c.at > showFor {
			delete(p.clones, name)
			continue
		}
		add(NodeClone, name, c.at, "another process, at "+c.remote+", has brought its name")
	}
	for key, t := range found {
		if old := p.troubles[key]; old != nil {
			old.Cause = t.Cause
			continue
		}
		p.troubles[key] = &t
		begun = append(begun, t)
	}
	for key, t := range p.troubles {
		if _, still := found[key]; !still {
			delete(p.troubles, key)
			ended = append(ended, *t)
		}
	}
	return begun, ended
}

// adder notes a trouble that is found.
type adder func(kind, peer string, since time.Duration, cause string)

// lookAtLocked looks at one member.
func (p *Peers) lookAtLocked(m *member, now time.Duration, add adder) {
	switch m.state {
	case StateUp:
		p.lookAtUpLocked(m, now, add)
	case StateLeaving: // it has been told to, or stops
	default:
		p.lookAtDownLocked(m, now, add)
	}
}

// lookAtUpLocked looks at a member that calls may go to.
func (p *Peers) lookAtUpLocked(m *member, now time.Duration, add adder) {
	l, x := m.link, m.link.exchange
	rtt, waits := x.RTT(), x.OldestUnanswered(now)
	most := slowRTT
	if p.troubles[troubleKey{LinkSlow, m.name}] != nil {
		most /= 2 // what is near the bound does not come and go
	}
	if rtt > most || waits > slowAnswer {
		add(LinkSlow, m.name, now, fmt.Sprintf("round trip %v, the oldest heartbeat waits for %v", rtt.Round(time.Millisecond), waits.Round(time.Millisecond)))
	}
	if heard := x.Heard().MembershipHash; heard == 0 || heard == p.hash {
		m.differsSince = 0
	} else {
		if m.differsSince == 0 {
			m.differsSince = now
		}
		if now-m.differsSince > differsFor {
			add(MembershipDiffers, m.name, m.differsSince, fmt.Sprintf("its members hash to %016x, those here to %016x", heard, p.hash))
		}
	}
	if n := x.Counters().Mismatches; n > l.mismatches {
		l.mismatches, l.mismatchAt = n, now
	}
	if l.mismatches > 0 && now-l.mismatchAt < showFor {
		add(RegistryDiffers, m.name, l.mismatchAt, fmt.Sprintf("%d times on this link", l.mismatches))
	}
}

// lookAtDownLocked looks at a member that no calls can go to.
func (p *Peers) lookAtDownLocked(m *member, now time.Duration, add adder) {
	m.differsSince = 0
	if errors.Is(m.endedBy, registry.ErrOneWay) {
		add(LinkOneWay, m.name, m.lostAt, text(m.endedBy))
	}
	if now-m.lostAt < downFor {
		return
	}
	add(LinkDown, m.name, m.lostAt, text(m.cause))
	for _, other := range p.members {
		if other.state == StateUp && slices.Contains(other.link.exchange.Heard().Reaches, uint32(m.number)) {
			return
		}
	}
	if now-m.lostAt >= p.opts.Dead {
		add(NodeDead, m.name, m.lostAt, "no node that is heard reaches it: "+text(m.cause))
	}
}

// report writes what has begun and ended.
func (p *Peers) report(begun, ended []Trouble) {
	for _, t := range begun {
		p.opts.Log.Warn("trouble", "kind", t.Kind, "peer", t.Peer, "cause", t.Cause)
	}
	for _, t := range ended {
		p.opts.Log.Info("trouble over", "kind", t.Kind, "peer", t.Peer, "lasted", (p.now() - t.Since).Round(time.Millisecond))
	}
}
