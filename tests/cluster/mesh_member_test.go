package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// without returns a list without some nodes.
func without(list []messageserver.Member, names ...string) []messageserver.Member {
	return slices.DeleteFunc(slices.Clone(list), func(m messageserver.Member) bool { return slices.Contains(names, m.Node) })
}

// A call goes to a session that its owner does not have any more: it goes elsewhere, and nobody notices.
func TestAStaleRouteIsHarmless(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		stale := m.serveAt("pay", "pay-1", echo, "b")
		fresh := m.serveAt("pay", "pay-2", echo, "c")
		alice := m.residentAt("alice", "a")
		m.net.block("b", "a") // what b says of its sessions is on the way for a while
		stale.conns.cut(true)
		b := m.hosts["b"].node
		m.within(time.Second, "b has lost pay-1", func() bool { return !b.HasInstance("pay", "pay-1") })
		pinned := alice.crowd(100, "pay.Do", 0, rpcclient.Instance("pay-1"))
		calls := alice.crowd(200, "pay.Do", 0)
		m.within(time.Second, "calls are at pay-2", func() bool { return fresh.started.Load() >= 50 })
		m.net.heal("b", "a")
		calls.wantEnds(2 * time.Second).wantAll()
		if y := pinned.wantEnds(2 * time.Second); y.class[rpcclient.NotExecuted] != 100 {
			t.Errorf("calls of the instance that is gone: %v: want NOT_EXECUTED", y)
		}
		if n := stale.started.Load(); n != 0 {
			t.Errorf("pay-1 started %d calls", n)
		}
		if n := fresh.started.Load(); n != 200 {
			t.Errorf("pay-2 started %d calls, want 200", n)
		}
		stale.conns.stay(false)
		m.wantKnown("pay", "pay-1")
	})
}

// A node joins a mesh under load, with sessions of its own.
func TestANodeIsAddedUnderLoad(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("pay", "pay-1", slowly, "b")
		m.serveAt("pay", "pay-2", slowly, "c")
		alice := m.residentAt("alice", "a")
		calls := alice.stream(120, "pay.Do", 0)
		calls.wantWide(100)
		d := m.addHost("d")
		m.members = append(m.members, d.member())
		m.startNode("d")
		extra := m.launch("pay", "pay-3", slowly, "d")
		for _, name := range abc {
			m.tell(name, m.members...)
		}
		m.wantUp()
		m.wantKnown("pay", "pay-3")
		m.within(healed, "pay-3 gets calls of a", func() bool { return extra.started.Load() > 100 })
		m.wantOneLinkEach()
		calls.wantFlow(100)
		calls.wantUnharmed()
	})
}

// A node is taken out of the mesh under load, and comes back.
func TestANodeIsRemovedUnderLoad(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		gate := m.gate()
		held := m.serveAt("held", "held-1", gate.echo, "b")
		pay1 := m.serveAt("pay", "pay-1", slowly, "b")
		m.serveAt("pay", "pay-2", slowly, "c")
		alice, bob := m.residentAt("alice", "a"), m.residentAt("bob", "b")
		inFlight, back := alice.crowd(200, "held.Do", 0), bob.crowd(100, "alice.Do", 0)
		m.wantRunning(200, held)
		calls := alice.stream(120, "pay.Do", 0)
		calls.wantWide(100)

		rest := without(m.members, "b")
		m.tell("a", rest...)
		m.tell("c", rest...)
		m.within(time.Second, "a and c send b nothing any more", func() bool {
			return !m.hosts["a"].node.HasInstance("pay", "pay-1") && !m.hosts["c"].node.HasInstance("pay", "pay-1")
		})
		if y := alice.crowd(100, "held.Do", 0).wantEnds(time.Second); y.class[rpcclient.NotExecuted] != 100 {
			t.Errorf("calls of a node that was removed: %v: want NOT_EXECUTED", y)
		}
		calls.wantFlow(200)
		before := pay1.started.Load()
		calls.wantFlow(200)
		if n := pay1.started.Load() - before; n > 0 {
			t.Errorf("a node that was removed got %d calls", n)
		}
		gate.opens()
		inFlight.wantEnds(2 * time.Second).wantAll()
		back.wantEnds(2 * time.Second)

		for _, name := range []string{"c", "a"} {
			m.tell(name, m.members...)
		}
		m.wantUp()
		m.wantKnown("pay", "pay-1")
		calls.wantFlow(100)
		calls.wantUnharmed()
	})
}

// Three nodes have three lists. Calls cross two nodes or end, and every node says that the lists differ.
func threeNodesWithThreeLists(t *testing.T, m *mesh) {
	stranger := messageserver.Member{Node: "z", Number: 99, Address: "127.0.0.1:9"}
	for _, name := range abc {
		m.serveAt("at-"+name, "at-"+name, echo, name)
	}
	callers := map[string]*caller{}
	for _, name := range abc {
		callers[name] = m.residentAt("in-"+name, name)
	}
	m.tell("a", without(m.members, "b")...)
	m.tell("b", append(slices.Clone(m.members), stranger)...)
	m.wantTrouble("a", "membership_differs", "c")
	m.wantTrouble("c", "membership_differs", "a")
	m.wantTrouble("c", "membership_differs", "b")
	m.wantTrouble("b", "membership_differs", "c")
	for from, caller := range callers {
		for _, to := range abc {
			y := newTally(t)
			for range 20 {
				var r rpcclient.Receipt
				_, err := caller.via.CallRaw(m.ctx, "at-"+to+".Do", nil, rpcclient.WantReceipt(&r))
				if y.add(err); len(r.Hops) > 2 {
					t.Fatalf("a call crossed %v", r.Hops)
				}
			}
			apart := from != to && from != "c" && to != "c" // a and b
			if apart && y.class[rpcclient.NotExecuted] != 20 || !apart && y.ok != 20 {
				t.Errorf("calls from %s to %s: %v", from, to, y)
			}
		}
	}
	for _, name := range abc {
		m.tell(name, m.members...)
	}
	m.wantUp()
	for _, h := range m.running() {
		m.within(5*time.Second, h.name+" has no trouble any more", func() bool { return len(h.node.Troubles()) == 0 })
	}
	callers["a"].wantPath("at-b.Do", "a", "b")
}

// A node is stopped as an operator does, while it is in use: nothing fails.
func TestANodeIsDrainedUnderLoad(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		for _, name := range []string{"pay-1", "pay-2", "pay-3"} {
			m.serveAt("pay", name, slowly, map[string][]string{"pay-1": {"a", "b"}, "pay-2": {"b", "c"}, "pay-3": {"c", "a"}}[name]...)
		}
		m.serveAt("only", "only-1", slowly, "b", "c")
		m.serveAt("lone", "lone-1", slowly, "b")
		var calls []*stream
		for i, name := range []string{"alice", "bert", "carol"} {
			at := []string{abc[i], abc[(i+1)%3], abc[(i+2)%3]}
			client := m.clientAt(name, at...)
			calls = append(calls, client.stream(30, "pay.Do", 0), client.stream(5, "only.Do", 0), client.stream(5, "lone.Do", 0))
		}
		m.wantFlow(30, calls...)
		for _, name := range []string{"b", "a"} {
			m.stopNode(name)
			m.wantFlow(30, calls...)
			m.startNode(name)
			m.wantUp()
			m.wantFlow(30, calls...)
		}
		for _, s := range calls {
			s.wantUnharmed()
		}
	})
}
