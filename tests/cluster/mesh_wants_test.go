package cluster

import (
	"fmt"
	"time"

	"github.com/twohop/twohop/messageserver"
)

// slack is by what times are multiplied that hold on a quiet machine.
const slack = 3

// within waits for what happens in a given time, with slack.
func (m *mesh) within(d time.Duration, what string, ok func() bool) {
	m.t.Helper()
	m.withinSaying(d, func() string { return what }, ok)
}

// withinSaying is within with words that are found when it did not happen.
func (m *mesh) withinSaying(d time.Duration, what func() string, ok func() bool) {
	m.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > slack*d {
			m.t.Fatalf("%s: not within %v", what(), slack*d)
		}
		<-time.After(time.Millisecond)
	}
}

// lasts lets a fault last.
func (m *mesh) lasts(d time.Duration) { <-time.After(d) }

// healed is how long the nodes have to agree after a fault.
const healed = 10 * time.Second

// wantUp waits until every node that runs has its links up to all others that run, and knows what they have.
func (m *mesh) wantUp() {
	m.t.Helper()
	for _, a := range m.running() {
		for _, b := range m.running() {
			if a != b {
				m.wantLink(a.name, b.name, "up")
			}
		}
	}
	m.wantAgreed()
}

// wantLink waits for a state of one node's end of a link.
func (m *mesh) wantLink(a, b, state string) {
	m.t.Helper()
	n := m.hosts[a].node
	m.withinSaying(healed, func() string { return fmt.Sprintf("node %s has the link to %s %s, want %s", a, b, n.Links()[b], state) },
		func() bool { return n.Links()[b] == state })
}

// wantDown waits until both ends of a link have seen that it carries nothing: in 3.5 s.
func (m *mesh) wantDown(a, b string) {
	m.t.Helper()
	for _, end := range [][2]string{{a, b}, {b, a}} {
		h := m.hosts[end[0]]
		if h.node == nil {
			continue
		}
		m.within(3500*time.Millisecond, fmt.Sprintf("node %s sees that the link to %s is down", end[0], end[1]), func() bool {
			state := h.node.Links()[end[1]]
			return state != "up" && state != "syncing"
		})
	}
}

// wantAgreed waits until every node holds of every other that it has a link to exactly what that one says of itself.
func (m *mesh) wantAgreed() {
	m.t.Helper()
	for _, x := range m.running() {
		for _, owner := range m.running() {
			if x == owner || x.node.Links()[owner.name] != "up" {
				continue
			}
			view := func() messageserver.Standing { return x.node.Views()[owner.name] }
			m.withinSaying(healed,
				func() string {
					return fmt.Sprintf("node %s holds %+v of %s, which has %+v", x.name, view(), owner.name, owner.node.Own())
				},
				func() bool { return view() == owner.node.Own() })
		}
	}
}

// wantTrouble waits until a node says what is the matter with another one, for 5 s.
func (m *mesh) wantTrouble(at, kind, peer string) {
	m.t.Helper()
	n := m.hosts[at].node
	m.withinSaying(5*time.Second, func() string {
		return fmt.Sprintf("node %s has the troubles %+v, want %s of %s", at, n.Troubles(), kind, peer)
	},
		func() bool { return m.hasTrouble(at, kind, peer) })
}

func (m *mesh) hasTrouble(at, kind, peer string) bool {
	for _, t := range m.hosts[at].node.Troubles() {
		if t.Kind == kind && t.Peer == peer {
			return true
		}
	}
	return false
}

// wantKnown waits until every node that runs can send calls to an instance.
func (m *mesh) wantKnown(moduleName, instance string) {
	m.t.Helper()
	for _, h := range m.running() {
		m.wantKnownAt(h.name, moduleName, instance)
	}
}

func (m *mesh) wantKnownAt(node, moduleName, instance string) {
	m.t.Helper()
	n := m.hosts[node].node
	m.within(healed, instance+" is known at "+node, func() bool { return n.HasInstance(moduleName, instance) })
}

// wantGone waits until no node that runs sends calls to an instance.
func (m *mesh) wantGone(moduleName, instance string) {
	m.t.Helper()
	for _, h := range m.running() {
		m.within(healed, instance+" is gone at "+h.name, func() bool { return !h.node.HasInstance(moduleName, instance) })
	}
}

// wantOneLinkEach waits until there is exactly one connection between every two nodes that run, dialled by the one with the
// smaller name.
func (m *mesh) wantOneLinkEach() {
	m.t.Helper()
	all := m.running()
	for i, a := range all {
		for _, b := range all[i+1:] {
			m.within(healed, fmt.Sprintf("there is one connection between %s and %s", a.name, b.name),
				func() bool { return len(m.net.between(a.name, b.name)) == 1 })
			for _, c := range m.net.between(a.name, b.name) {
				if c.from != a.name {
					m.t.Errorf("the link between %s and %s was dialled by %s", a.name, b.name, c.from)
				}
			}
		}
	}
}

// wantQuiet waits until nothing is under way, and everything is consistent.
func (m *mesh) wantQuiet() {
	m.t.Helper()
	for _, h := range m.running() {
		n := h.node
		m.withinSaying(5*time.Second, func() string {
			left, came := n.Crossing()
			return fmt.Sprintf("node %s is not quiet: %d calls in flight, %d left over links, %d came: %v", h.name, n.InFlight(), left, came, n.ConsistencyCheck())
		}, func() bool {
			left, came := n.Crossing()
			return n.InFlight() == 0 && left == 0 && came == 0 && n.ConsistencyCheck() == nil
		})
	}
}
