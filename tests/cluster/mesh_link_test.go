package cluster

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// seeded returns a source of chance whose seed is in the test's log.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A link breaks in the middle of frames, over and over.
func TestALinkBreaksInTheMiddleOfFrames(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		chance := seeded(t)
		m.serveAt("pay", "pay-1", echo, "b")
		m.serveAt("map", "map-1", echo, "c")
		m.serveAt("far", "far-1", slowly, "b")
		alice, bob := m.residentAt("alice", "a"), m.residentAt("bob", "b")
		others, back := alice.stream(4, "map.Do", 0), bob.stream(4, "map.Do", 0)
		rounds := 8
		if testing.Short() {
			rounds = 5
		}
		for round := range rounds {
			waiting := alice.crowd(100, "far.Do", 0)
			m.net.breakAfter("a", "b", 1+chance.IntN(4<<20))
			large := alice.crowd(20, "pay.Do", 200<<10)
			waiting.wantEnds(healed)
			y := large.wantEnds(healed)
			if y.class[rpcclient.Executed] > 0 || y.ok == y.total {
				t.Errorf("round %d: %v: want calls that broke, and no other error", round, y)
			}
			m.wantUp()
		}
		alice.crowd(100, "pay.Do", 1<<10).wantEnds(healed).wantAll()
		m.wantFlow(50, others, back)
		others.wantUnharmed()
		back.wantUnharmed()
		m.wantOneLinkEach()
	})
}

// A link that flaps leaves nothing behind.
func TestALinkFlaps(t *testing.T) {
	onEachMeshAtOnce(t, abc, func(t *testing.T, m *mesh) {
		chance := seeded(t)
		m.serveAt("pay", "pay-1", slowly, "b")
		m.serveAt("pay", "pay-2", slowly, "c")
		m.serveAt("map", "map-1", echo, "c")
		alice := m.residentAt("alice", "a")
		across, others := alice.stream(120, "pay.Do", 0), alice.stream(4, "map.Do", 0)
		across.wantWide(100)
		cuts := 20
		if testing.Short() {
			cuts = 5
		}
		for range cuts {
			across.wantWide(100)
			m.net.reset("a", "b")
			m.lasts(time.Duration(chance.IntN(200)) * time.Millisecond) // in the middle of the next handshake, or later
		}
		m.wantUp()
		across.wantFlow(100)
		y := across.ends()
		if y.ok+y.class[rpcclient.Unknown] != y.total || y.ok == 0 {
			t.Errorf("%v: want UNKNOWN for what was under way, and no other error", y)
		}
		others.wantUnharmed()
		m.wantOneLinkEach()
	})
}

// A link is gone for the node that dialled, and the other one does not know: the next one takes its place at once.
func TestAHalfOpenLinkGivesWay(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		gate := m.gate()
		far := m.serveAt("far", "far-1", gate.echo, "b")
		near := m.serveAt("near", "near-1", gate.echo, "a")
		alice, bob := m.residentAt("alice", "a"), m.residentAt("bob", "b")
		there, back := alice.crowd(100, "far.Do", 0), bob.crowd(100, "near.Do", 0)
		m.wantRunning(100, far)
		m.wantRunning(100, near)
		m.net.halve("a", "b")
		for _, lost := range []*crowd{there, back} {
			if y := lost.wantEnds(time.Second); y.class[rpcclient.Unknown] != 100 {
				t.Errorf("%v: want all UNKNOWN", y)
			}
		}
		m.wantUp()
		gate.opens()
		for _, again := range []*crowd{alice.crowd(100, "far.Do", 0), bob.crowd(100, "near.Do", 0)} {
			again.wantEnds(5 * time.Second).wantAll()
		}
	})
}

var five = []string{"a", "b", "c", "d", "e"}

// Every link of five nodes is lost, and all of them come back at once.
func allLinksComeBackAtOnce(t *testing.T, m *mesh) {
	pairs := func(do func(a, b string)) {
		for i, a := range five {
			for _, b := range five[i+1:] {
				do(a, b)
			}
		}
	}
	gate := m.gate()
	pay := m.serveAt("pay", "pay-1", gate.echo, "e")
	alice := m.residentAt("alice", "a")
	inFlight := alice.crowd(100, "pay.Do", 0)
	m.wantRunning(100, pay)
	pairs(m.net.split)
	pairs(m.wantDown)
	if y := inFlight.wantEnds(2 * time.Second); y.class[rpcclient.Unknown] != 100 {
		t.Errorf("%v: want all UNKNOWN", y)
	}
	gate.opens()
	for _, name := range five {
		m.serveAtOnly("at-"+name, "at-"+name, echo, name)
	}
	pairs(m.net.heal)
	m.wantUp()
	for _, name := range five {
		m.wantKnown("at-"+name, "at-"+name)
	}
	m.wantOneLinkEach()
}

// All nodes start at the same moment.
func TestAllNodesStartAtOnce(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 3
	}
	for _, memory := range []bool{true, false} {
		t.Run(map[bool]string{true: "memory", false: "tcp"}[memory], func(t *testing.T) {
			m := newMesh(t, memory, five...)
			for range rounds {
				var starting sync.WaitGroup
				for _, name := range five {
					n := m.newNode(name)
					m.hosts[name].node, m.nodes[name] = n, n
				}
				for _, name := range five {
					starting.Go(m.hosts[name].node.start)
				}
				starting.Wait()
				m.wantUp()
				m.wantOneLinkEach()
				for _, name := range five {
					m.stopNode(name)
				}
			}
		})
	}
}
