package cluster

import (
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// The node that has the instances is killed.
func TestTheOwnerIsKilledWithCallsInFlight(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		gate, door := m.gate(), m.gate()
		pay1 := m.serveAt("pay", "pay-1", gate.echo, "b")
		pay2 := m.serveAt("pay", "pay-2", gate.echo, "b")
		chat := m.serveAt("chat", "chat-1", door.echo, "c")
		m.serveAt("map", "map-1", echo, "c")
		m.serveAt("both", "both-1", echo, "b", "c")
		alice, carol := m.residentAt("alice", "a"), m.residentAt("carol", "c")

		inFlight := alice.crowd(500, "pay.Do", 0)
		elsewhere := alice.crowd(100, "chat.Do", 0)
		m.wantRunning(500, pay1, pay2)
		m.wantRunning(100, chat)
		across, local := alice.stream(4, "map.Do", 0), carol.stream(4, "map.Do", 0)
		m.wantFlow(100, across, local)
		two := alice.stream(1, "both.Do", 0)
		two.wantFlow(30)

		// Calls that b has not got: the way there is held up, and what is large waits at a.
		pay3 := m.serveAt("pay", "pay-3", echo, "c")
		m.net.block("a", "b")
		pinned := alice.crowd(20, "pay.Do", 40<<10, rpcclient.Instance("pay-1"))
		anywhere := alice.crowd(20, "pay.Do", 40<<10)

		pay1.conns.stay(true)
		pay2.conns.stay(true)
		m.kill("b")
		if y := inFlight.wantEnds(time.Second); y.class[rpcclient.Unknown] != 500 {
			t.Errorf("the calls that b had: %v: want all UNKNOWN", y)
		}
		if y := anywhere.wantEnds(time.Second); y.class[rpcclient.Unknown] > 5 || y.ok == 0 {
			t.Errorf("the calls that others can take: %v: want those that had not left to go to pay-3", y)
		}
		if y := pinned.wantEnds(time.Second); y.ok > 0 || y.class[rpcclient.Unknown] > 5 {
			t.Errorf("the calls that nobody else may take: %v: want those that had not left NOT_EXECUTED", y)
		}
		gate.opens()
		m.wantDown("a", "b")
		before := pay3.started.Load()
		alice.stream(10, "pay.Do", 0).wantFlow(100)
		if n := pay3.started.Load() - before; n < 100 {
			t.Errorf("pay-3 got %d of 100 calls while b was gone", n)
		}

		// Who was at b is at another node soon, and is found there.
		pay1.conns.stay(false)
		pay2.conns.stay(false)
		two.wantFlow(30)
		door.opens()
		elsewhere.wantEnds(5 * time.Second).wantAll()
		m.wantKnown("pay", "pay-1")
		m.wantKnown("pay", "pay-2")
		across.wantFlow(100)
		across.wantUnharmed()
		local.wantUnharmed()
		m.net.heal("a", "b")
		m.revive("b")
		m.wantUp()
		two.wantFlow(30)
		if y := two.ends(); y.class[rpcclient.Unknown] > 1 || y.total > y.ok+y.class[rpcclient.Unknown] {
			t.Errorf("calls one after the other to who is at two nodes: %v: want no more lost than the one under way", y)
		}
	})
}

// The node that has the caller is killed.
func TestTheIngressIsKilledWithCallsInFlight(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		gate := m.gate()
		pay := m.serveAt("pay", "pay-1", gate.echo, "b")
		m.serveAt("chat", "chat-1", echo, "b")
		alice, carol := m.clientAt("alice", "a"), m.clientAt("carol", "c")
		inFlight := alice.crowd(300, "pay.Do", 0)
		m.wantRunning(300, pay)
		others := carol.stream(4, "chat.Do", 0)
		others.wantFlow(100)

		m.kill("a")
		if y := inFlight.wantEnds(time.Second); y.class[rpcclient.Unknown] != 300 {
			t.Errorf("%v: want all UNKNOWN", y)
		}
		m.within(2*time.Second, "alice is at another node", func() bool { return alice.State().Name == rpcclient.StateOpen })
		alice.stream(4, "chat.Do", 0).wantFlow(100)
		alice.wantReply("chat.Do", "and so on")
		others.wantFlow(100)
		others.wantUnharmed()
	})
}

func TestTheWholeMeshIsKilledAndStartedInEveryOrder(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("pay", "pay-1", echo, "b")
		m.serveAt("pay", "pay-2", echo, "a", "c")
		m.serveAt("chat", "chat-1", echo, "c")
		alice := m.clientAt("alice", "a", "b", "c")
		orders := [][]string{{"a", "b", "c"}, {"a", "c", "b"}, {"b", "a", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"c", "b", "a"}}
		if testing.Short() || !m.memory {
			orders = orders[3:5]
		}
		for _, order := range orders {
			inFlight := alice.crowd(100, "pay.Do", 0)
			for _, name := range abc {
				m.kill(name)
			}
			for _, name := range order {
				m.revive(name)
			}
			m.wantUp()
			m.wantKnown("pay", "pay-1")
			m.wantKnown("pay", "pay-2")
			m.wantKnown("chat", "chat-1")
			m.wantAgreed()
			inFlight.wantEnds(healed)
			alice.stream(4, "pay.Do", 0).wantFlow(50)
			alice.wantReply("chat.Do", "42")
		}
		m.wantOneLinkEach()
	})
}

// A module whose instances are all gone is refused at once, and back when they are.
func TestAModuleGoesAndComesBack(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		gate := m.gate()
		one, two := m.serveAt("pay", "pay-1", gate.echo, "b"), m.serveAt("pay", "pay-2", gate.echo, "c")
		m.serveAt("chat", "chat-1", echo, "b")
		alice := m.residentAt("alice", "a")
		others := alice.stream(4, "chat.Do", 0)
		inFlight := alice.crowd(200, "pay.Do", 0)
		m.wantRunning(200, one, two)
		one.conns.cut(true)
		two.conns.cut(true)
		if y := inFlight.wantEnds(time.Second); y.class[rpcclient.Unknown] != 200 {
			t.Errorf("%v: want all UNKNOWN", y)
		}
		m.wantGone("pay", "pay-1")
		m.wantGone("pay", "pay-2")
		refused := alice.crowd(200, "pay.Do", 0).wantEnds(time.Second)
		if refused.codes[rpcclient.CodeNoModule]+refused.codes[rpcclient.CodeNoInstance] != 200 {
			t.Errorf("%v: want NO_MODULE or NO_INSTANCE", refused)
		}
		gate.opens()
		one.conns.stay(false)
		two.conns.stay(false)
		m.wantKnown("pay", "pay-1")
		m.wantKnown("pay", "pay-2")
		alice.crowd(200, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
		others.wantFlow(100)
		others.wantUnharmed()
	})
}
