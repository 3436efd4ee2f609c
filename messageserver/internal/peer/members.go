package peer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
)

// past is what is remembered of a node that was a member: a process of it that is older stays refused.
type past struct {
	incarnation uint64
	boot        string
}

// CheckMembers says what in a list cannot be at this node. That the list itself is in order is for its maker to see to.
func (p *Peers) CheckMembers(list []Member) error {
	o := &p.opts
	for _, m := range list {
		switch {
		case m.Node == o.Node && m.Number != o.Number:
			return fmt.Errorf("peer: the list gives node %s the number %d, and it runs with %d: a number does not change while a node runs", m.Node, m.Number, o.Number)
		case m.Node != o.Node && m.Number == o.Number:
			return fmt.Errorf("peer: the list gives number %d to node %s, and it is that of this node, %s", m.Number, m.Node, o.Node)
		}
	}
	return nil
}

// SetMembers puts another list in force: who is new is linked, who is gone is left. A changed address is dialled when there is
// no link; one that works is kept. Who has another number is another node. A list without this node leaves it alone. The
// error says what in the list cannot be; then nothing has changed. The list that is in force already changes nothing.
func (p *Peers) SetMembers(list []Member) error {
	if err := p.CheckMembers(list); err != nil {
		return err
	}
	p.routing.Lock()
	p.mu.Lock()
	if p.closed || hashMembers(list) == p.hash {
		p.mu.Unlock()
		p.routing.Unlock()
		return nil
	}
	gone := p.adoptLocked(list)
	var left, opening []*link
	for _, m := range gone {
		if m.stop != nil {
			m.stop()
		}
		if l := m.link; l != nil {
			l.leaveLocked(p.opts.Drain, errRemoved)
			left = append(left, l)
		}
		if m.opening != nil {
			opening = append(opening, m.opening)
		}
	}
	hash := p.hash
	p.mu.Unlock()
	for _, m := range gone { // who comes back under the name of one that is gone cannot be announced before this
		p.opts.Router.Forget(m.name)
	}
	p.routing.Unlock()
	for _, l := range left {
		l.goodbye("removed from the members", p.opts.Drain)
	}
	for _, l := range opening {
		l.conn.Close(errRemoved)
	}
	p.opts.Log.Info("members set", "members", names(list), "hash", fmt.Sprintf("%016x", hash))
	p.tellNodes()
	signal(p.poke)
	return nil
}

func names(list []Member) string {
	all := make([]string, 0, len(list))
	for _, m := range sortMembers(list) {
		all = append(all, m.Node)
	}
	return strings.Join(all, ",")
}

// adoptLocked makes the members those of the list, and returns who is gone.
func (p *Peers) adoptLocked(list []Member) (gone []*member) {
	p.list, p.hash = sortMembers(list), hashMembers(list)
	wanted := make(map[string]Member)
	if slices.ContainsFunc(list, func(m Member) bool { return m.Node == p.opts.Node }) {
		for _, m := range list {
			wanted[m.Node] = m
		}
		delete(wanted, p.opts.Node)
	}
	for name, m := range p.members {
		if w, stays := wanted[name]; !stays || w.Number != m.number {
			delete(p.members, name)
			p.gone[name] = past{m.view.Highest(), m.boot}
			gone = append(gone, m)
		}
	}
	for name, w := range wanted {
		m := p.members[name]
		if m == nil {
			m = newMember(p, w)
			p.members[name] = m
			p.startLocked(m)
			continue
		}
		if m.address != w.Address {
			m.address = w.Address
			signal(m.redial)
		}
	}
	return gone
}

// newMember returns a member that is not dialled yet.
func newMember(p *Peers, w Member) *member {
	now := p.now()
	m := &member{
		peers: p, name: w.Node, number: w.Number, address: w.Address, redial: make(chan struct{}, 1),
		state: StateDown, since: now, lostAt: now, cause: errUnheard, view: registry.NewView(w.Node),
	}
	if seen, was := p.gone[w.Node]; was && seen.incarnation > 0 {
		m.view.Meet(seen.incarnation)
		m.boot = seen.boot
	}
	return m
}

// Members returns the list in force, sorted by name.
func (p *Peers) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// MembershipHash identifies the list in force: nodes compare theirs.
func (p *Peers) MembershipHash() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hash
}

// hashMembers is the first 8 bytes of the SHA-256 of the list, a line a member, in the order of names.
func hashMembers(list []Member) uint64 {
	h := sha256.New()
	for _, m := range sortMembers(list) {
		_, _ = fmt.Fprintf(h, "%s %d %s\n", m.Node, m.Number, m.Address) // a hash takes everything
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// sortMembers returns the list in the order of names.
func sortMembers(list []Member) []Member {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return list
}
