package demo

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

// testCast returns a cast of the real binary whose processes end with the test.
func testCast(t *testing.T) *cast {
	t.Helper()
	program, err := twohop()
	if err != nil {
		t.Fatal(err)
	}
	f := testFamily(t)
	f.program = program
	return newCast(f, f.directory, &Options{InFlight: 1})
}

// mustBeWhole waits for the mesh, and looks at its links.
func (c *cast) mustBeWhole(t *testing.T) {
	t.Helper()
	if err := c.awaitWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
	node, err := adminclient.New(c.places[0].admin)
	if err != nil {
		t.Fatal(err)
	}
	links, err := node.Links(t.Context())
	if err != nil || len(links.Nodes) != len(c.nodes) {
		t.Fatalf("%d nodes have links: %v", len(links.Nodes), err)
	}
	for _, n := range links.Nodes {
		for _, l := range n.Links {
			if l.State != "up" {
				t.Errorf("the link of %s to %s is %s", n.Node, l.Peer, l.State)
			}
		}
	}
}

func (c *cast) wantMissing(t *testing.T, want string) {
	t.Helper()
	if err := c.missing(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("missing is %v, want %q", err, want)
	}
}

func TestFreePlacesAreDistinctAndFree(t *testing.T) {
	places, err := freePlaces(50)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, at := range places {
		all = append(all, at.listen, at.admin, at.peers)
	}
	slices.Sort(all)
	if distinct := slices.Compact(slices.Clone(all)); len(distinct) != 150 {
		t.Errorf("50 places have %d addresses, want 150", len(distinct))
	}
	l, err := net.Listen("tcp", all[0])
	if err != nil {
		t.Fatalf("a free place is taken: %v", err)
	}
	l.Close()
}

// TestNodesStartElsewhereWhenAPortIsTaken: somebody takes a port between the choice and the start of node-2.
func TestNodesStartElsewhereWhenAPortIsTaken(t *testing.T) {
	c := testCast(t)
	thief, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	choices := 0
	c.choose = func(n int) ([]place, error) {
		places, err := freePlaces(n)
		if choices++; choices == 1 && err == nil {
			places[1].peers = thief.Addr().String()
		}
		return places, err
	}
	if err := c.startNodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if choices != 2 || c.places[1].peers == thief.Addr().String() {
		t.Errorf("after %d choices node-2 is at %v", choices, c.places[1])
	}
	if err := c.family.deaths(); err != nil || len(c.family.lost) > 0 {
		t.Errorf("the first try is held against the story: %v", err)
	}
}

func TestNodesThatCannotStartSayWhy(t *testing.T) {
	c := testCast(t)
	choices := 0
	c.choose = func(n int) ([]place, error) {
		choices++
		places, err := freePlaces(n)
		places[0].listen = "nowhere"
		return places, err
	}
	err := c.startNodes(t.Context())
	if err == nil || !strings.Contains(err.Error(), "node-1 (pid ") || !strings.Contains(err.Error(), "nowhere") || choices != 1 {
		t.Errorf("after %d choices: %v, want after one that node-1 cannot listen at nowhere", choices, err)
	}
}

// TestAKilledNodeComesBackAtItsPlace kills node-2 of a mesh, which takes it back as the same member.
func TestAKilledNodeComesBackAtItsPlace(t *testing.T) {
	c := testCast(t)
	instances := c.instances
	c.instances = nil // a mesh without them is whole when its links are up
	if err := c.startNodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mustBeWhole(t)
	c.instances = instances
	c.wantMissing(t, "node-1 knows 0 ways to rank-1, must be 2")
	c.instances = nil

	victim := c.nodes[1]
	before := victim.current()
	victim.kill(c.family)
	if !victim.isDown() || victim.state() != "killed" || len(living(c.nodes)) != 2 {
		t.Errorf("node-2 is %s, and %d nodes are living", victim.state(), len(living(c.nodes)))
	}
	if err := c.missing(t.Context()); err == nil {
		t.Error("a mesh with a node killed is whole")
	}
	after, err := victim.start(c.family)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.places[1].await(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	c.mustBeWhole(t)
	if after == before || victim.isDown() || c.family.deaths() != nil {
		t.Errorf("node-2 is %s; deaths: %v", victim.state(), c.family.deaths())
	}
	if n := c.family.cutOff(); n != 0 {
		t.Errorf("%d records may be cut off, and a node writes none", n)
	}
	if err := c.leave(); err != nil {
		t.Errorf("leaving: %v", err)
	}
}

// TestSeatsMakeBothKindsOfCalls: each caller is at a node where one instance of fishtrade is, and one is not.
func TestSeatsMakeBothKindsOfCalls(t *testing.T) {
	c := newCast(nil, "", nil)
	for _, i := range c.instances {
		if len(seats[i.name]) != sessionsPerInstance {
			t.Errorf("%s is told of nodes %v, must be %d", i.name, seats[i.name], sessionsPerInstance)
		}
	}
	for i := range perModule {
		caller := numbered(moduleWeb, i)
		if len(seats[caller]) != 1 {
			t.Fatalf("%s is told of nodes %v, must be one", caller, seats[caller])
		}
		near := 0
		for _, instance := range c.parts(moduleTrade) {
			if slices.Contains(seats[instance.name], seats[caller][0]) {
				near++
			}
		}
		if near == 0 || near == perModule {
			t.Errorf("%s is at the node of %d instances of fishtrade, must be some and not all", caller, near)
		}
	}
	for node := range nodeCount {
		for _, module := range []string{moduleTrade, moduleRank} {
			if !slices.ContainsFunc(c.parts(module), func(p *part) bool { return slices.Contains(seats[p.name], node) }) {
				t.Errorf("no instance of %s is at node-%d", module, node+1)
			}
		}
	}
	if len(seats) != len(c.instances)+perModule {
		t.Errorf("%d have seats, must be %d", len(seats), len(c.instances)+perModule)
	}
}
