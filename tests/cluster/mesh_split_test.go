package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// Links that carry nothing for a while, in all ways. The stories wait most of their time.
func TestLinksThatAreSilent(t *testing.T) {
	stories := map[string]struct {
		nodes []string
		tell  func(t *testing.T, m *mesh)
	}{
		"a short silence":          {abc, aShortSilenceHarmsNothing},
		"a full split":             {abc, aFullSplit},
		"a partial split":          {abc, aPartialSplit},
		"a one-way link":           {abc, aOneWayLink},
		"all links come back":      {five, allLinksComeBackAtOnce},
		"three nodes, three lists": {abc, threeNodesWithThreeLists},
	}
	var all []func()
	for name, s := range stories {
		all = append(all, func() { t.Run(name, func(t *testing.T) { onEachMeshAtOnce(t, s.nodes, s.tell) }) })
	}
	atOnce(all...)
}

// What a link holds up for two seconds comes later, and nothing else happens.
func aShortSilenceHarmsNothing(t *testing.T, m *mesh) {
	gate := m.gate()
	pay := m.serveAt("pay", "pay-1", gate.echo, "b")
	m.serveAt("map", "map-1", echo, "b")
	alice := m.residentAt("alice", "a")
	inFlight := alice.crowd(150, "pay.Do", 0)
	m.wantRunning(150, pay)
	across := alice.stream(8, "map.Do", 0, rpcclient.Timeout(20*time.Second))
	across.wantFlow(100)
	link := m.net.between("a", "b")
	before := m.hosts["b"].node.Own()

	m.net.split("a", "b")
	gate.opens() // the answers are on their way
	m.lasts(2 * time.Second)
	for _, h := range m.running() {
		if !h.node.HasInstance("pay", "pay-1") || !h.node.HasInstance("map", "map-1") {
			t.Errorf("node %s has given up an instance", h.name)
		}
	}
	m.net.heal("a", "b")

	inFlight.wantEnds(5 * time.Second).wantAll()
	across.wantFlow(100)
	across.wantUnharmed()
	m.wantUp()
	if now := m.net.between("a", "b"); !slices.Equal(now, link) {
		t.Error("the link was made anew")
	}
	if after := m.hosts["b"].node.Own(); after != before {
		t.Errorf("the registry of b was %+v, is %+v", before, after)
	}
}

// One node is cut off from the two others.
func aFullSplit(t *testing.T, m *mesh) {
	gate := m.gate()
	pay := m.serveAt("pay", "pay-1", gate.echo, "b")
	m.serveAt("here", "here-1", echo, "a")
	m.serveAt("there", "there-1", echo, "c")
	alice, bob := m.residentAt("alice", "a"), m.residentAt("bob", "b")
	inFlight := alice.crowd(200, "pay.Do", 0)
	m.wantRunning(200, pay)
	local, beyond := alice.stream(4, "here.Do", 0), bob.stream(4, "there.Do", 0)
	m.wantFlow(50, local, beyond)

	m.net.split("a", "b")
	m.net.split("a", "c")
	m.wantDown("a", "b")
	m.wantDown("a", "c")
	if y := inFlight.wantEnds(2 * time.Second); y.class[rpcclient.Unknown] != 200 {
		t.Errorf("the calls on the other side: %v: want all UNKNOWN", y)
	}
	for _, method := range []string{"pay.Do", "there.Do"} {
		y := alice.crowd(100, method, 0).wantEnds(time.Second)
		if y.codes[rpcclient.CodeNoRoute] != 100 {
			t.Errorf("calls of %s to the other side: %v: want NO_ROUTE", method, y)
		}
	}
	m.wantTrouble("a", "node_dead", "b")
	m.wantTrouble("a", "node_dead", "c")
	m.wantTrouble("b", "node_dead", "a")
	pay2 := m.serveAtOnly("pay", "pay-2", echo, "c") // a cannot hear of it

	m.net.heal("a", "b")
	m.net.heal("a", "c")
	m.wantUp()
	m.wantKnown("pay", pay2.name)
	gate.opens()
	alice.crowd(100, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
	alice.wantPath("there.Do", "a", "c")
	local.wantUnharmed()
	beyond.wantUnharmed()
	for _, h := range m.running() {
		m.within(time.Second, h.name+" has no trouble any more", func() bool { return len(h.node.Troubles()) == 0 })
	}
}

// Two nodes do not reach each other, and both reach the third: no call makes a third hop, and who may move does.
func aPartialSplit(t *testing.T, m *mesh) {
	gate := m.gate()
	pay := m.serveAt("pay", "pay-1", gate.echo, "b")
	only := m.serveAt("only", "only-1", echo, "b")
	m.serveAt("near", "near-1", echo, "a")
	m.serveAt("mid", "mid-1", echo, "c")
	alice, dave := m.residentAt("alice", "a"), m.clientAt("dave", "a")
	inFlight := alice.crowd(200, "pay.Do", 0)
	m.wantRunning(200, pay)
	near, mid := alice.stream(4, "near.Do", 0), alice.stream(4, "mid.Do", 0)
	m.wantFlow(50, near, mid)

	m.net.split("a", "b")
	m.wantDown("a", "b")
	if y := inFlight.wantEnds(2 * time.Second); y.class[rpcclient.Unknown] != 200 {
		t.Errorf("the calls at b: %v: want all UNKNOWN", y)
	}
	_, err := alice.via.CallRaw(m.ctx, "only.Do", []byte("lost"))
	e := wantCode(t, err, rpcclient.CodeNoRoute)
	if !errors.Is(err, rpcclient.ErrNotExecuted) || e.Node != "a" || !slices.Equal(e.Try, []string{"c"}) {
		t.Errorf("%v: want NOT_EXECUTED by node a with c to try", err)
	}
	if n := only.started.Load(); n != 0 {
		t.Errorf("b ran %d calls", n)
	}
	m.wantTrouble("a", "link_down", "b")
	m.wantTrouble("b", "link_down", "a")
	m.withinSaying(5*time.Second, func() string {
		return fmt.Sprintf("nobody is held for dead, and c is not troubled: a has %+v, c %+v", m.hosts["a"].node.Troubles(), m.hosts["c"].node.Troubles())
	}, func() bool {
		down := m.hasTrouble("c", "link_down", "a") || m.hasTrouble("c", "link_down", "b")
		return !down && !m.hasTrouble("a", "node_dead", "b") && !m.hasTrouble("b", "node_dead", "a")
	})

	dave.crowd(100, "only.Do", 0).wantEnds(2 * time.Second).wantAll() // it has moved
	dave.wantPath("only.Do", "c", "b")
	m.wantFlow(50, near, mid)
	near.wantUnharmed()
	mid.wantUnharmed()

	m.net.heal("a", "b")
	gate.opens()
	m.wantUp()
	if got, err := alice.via.CallRaw(m.ctx, "only.Do", []byte("found")); err != nil || string(got) != "found" {
		t.Errorf("after the split: %q, %v", got, err)
	}
	m.wantOneLinkEach()
}

// One direction of a link carries nothing: neither side uses the other one.
func aOneWayLink(t *testing.T, m *mesh) {
	gate := m.gate()
	pay := m.serveAt("pay", "pay-1", gate.echo, "b")
	m.serveAt("near", "near-1", echo, "a")
	m.serveAt("mid", "mid-1", echo, "c")
	alice, bob := m.residentAt("alice", "a"), m.residentAt("bob", "b")
	inFlight := alice.crowd(200, "pay.Do", 0)
	m.wantRunning(200, pay)
	mid, other := alice.stream(4, "mid.Do", 0), bob.stream(4, "mid.Do", 0)
	m.wantFlow(50, mid, other)

	m.net.block("a", "b") // a hears b, and b does not hear a
	m.wantTrouble("a", "link_one_way", "b")
	m.wantDown("a", "b")
	if y := inFlight.wantEnds(2 * time.Second); y.class[rpcclient.Unknown] != 200 {
		t.Errorf("the calls at b: %v: want all UNKNOWN", y)
	}
	for _, way := range []struct {
		from   *caller
		method string
	}{{alice, "pay.Do"}, {bob, "near.Do"}} {
		_, err := way.from.via.CallRaw(m.ctx, way.method, []byte("lost"))
		if e := wantCode(t, err, rpcclient.CodeNoRoute); !slices.Equal(e.Try, []string{"c"}) {
			t.Errorf("%v: want c to try", err)
		}
	}
	m.wantFlow(50, mid, other)
	mid.wantUnharmed()
	other.wantUnharmed()

	m.net.heal("a", "b")
	gate.opens()
	m.wantUp()
	alice.wantPath("pay.Do", "a", "b")
	m.wantOneLinkEach()
}
