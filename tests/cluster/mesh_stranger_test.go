package cluster

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

const meshSecret = "correct horse battery staple"

// Processes that are no members, or not as they say, knock at the peer port with the members' address book.
func TestStrangersAreRefused(t *testing.T) {
	onEachMeshAtOnce(t, nil, func(t *testing.T, m *mesh) {
		secret := func(o *messageserver.Options) { o.Peers.Secret = meshSecret }
		for _, name := range []string{"b", "c"} {
			h := m.addHost(name)
			m.members = append(m.members, h.member())
		}
		a := m.addHost("a") // the smallest name: it dials
		m.members = append(m.members, a.member())
		m.startNode("b", secret)
		m.startNode("c", secret)
		m.wantUp()
		m.serveAt("pay", "pay-1", slowly, "b")
		calls := m.residentAt("carol", "c").stream(120, "pay.Do", 0)
		calls.wantWide(100)
		before := m.hosts["b"].node.Own()

		strangers := []struct {
			name, why string
			edit      func(o *messageserver.Options)
		}{
			{"another mesh", "the mesh here is default, not other", func(o *messageserver.Options) { o.Mesh = "other" }},
			{"another number", "give node a the number 3, not 9", func(o *messageserver.Options) {
				o.Number = 9
				o.Peers.Members = append(without(m.members, "a"), messageserver.Member{Node: "a", Number: 9, Address: a.peers})
			}},
			{"another secret", "the secret is another one", func(o *messageserver.Options) { o.Peers.Secret = "incorrect horse battery staple" }},
			{"no secret", "this mesh has a secret", func(o *messageserver.Options) { o.Peers.Secret = "" }},
		}
		for _, s := range strangers {
			m.startNode("a", secret, s.edit)
			for _, at := range []string{"b", "c"} {
				m.wantLink("a", at, "refused")
			}
			log := m.hosts["b"].node.journal
			m.within(5*time.Second, s.name+": b says why", func() bool { return len(log.with("link refused", s.why)) > 0 })
			m.launch("pay", "at-"+s.name[:3]+s.name[len(s.name)-4:], echo, "a")
			m.lasts(300 * time.Millisecond) // it goes on knocking
			if lines := log.with("link refused", s.why); len(lines) > 1 {
				t.Errorf("%s: b has said it %d times: %q", s.name, len(lines), lines)
			}
			m.stopNode("a")
		}

		for _, name := range []string{"b", "c"} { // one that is in no list
			m.tell(name, without(m.members, "a")...)
		}
		m.startNode("a", secret)
		m.wantLink("a", "b", "refused")
		m.wantLink("a", "c", "refused")
		m.within(2*time.Second, "c says why", func() bool {
			return len(m.hosts["c"].node.journal.with("link refused", "node a is not in the members of node c")) == 1
		})
		m.stopNode("a")

		if after := m.hosts["b"].node.Own(); after != before {
			t.Errorf("the registry of b was %+v, is %+v", before, after)
		}
		for _, h := range m.running() {
			if n := h.node.Views()["a"].Entries; n > 0 {
				t.Errorf("node %s has %d sessions of a stranger", h.name, n)
			}
		}
		calls.wantUnharmed()
	})
}

// What is no node knocks at the peer port, and what is no module at the module port.
func TestWrongDoors(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("pay", "pay-1", slowly, "b")
		calls := m.residentAt("carol", "c").stream(120, "pay.Do", 0)
		calls.wantWide(100)
		before := m.hosts["b"].node.Own()
		b := m.hosts["b"]

		browser := m.intrude(b.peers)
		browser.says([]byte("GET / HTTP/1.1\r\nHost: b\r\n\r\n"))
		browser.wantClosed("a browser at the peer port")

		module := m.intrude(b.peers)
		module.says([]byte(wire.Preface))
		module.sends(wire.KindLogin, &pb.Login{
			VersionMin: wire.MinVersion, VersionMax: wire.Version, Module: "mallory", Instance: "mallory-1", InstanceUuid: "m", Role: pb.Role_ROLE_CALLER,
		})
		module.wantFrame(wire.KindRefuse)
		module.wantClosed("a module at the peer port")

		node := m.intrude(b.modules)
		node.says([]byte(wire.Preface))
		node.sends(wire.KindHello, m.hello("a", 1<<50))
		node.wantClosed("a node at the module port")

		c := contract("Do")
		claim := entry(7, "pay-1", 1<<20, c)
		for name, attack := range map[string]struct {
			kind wire.Kind
			says proto.Message
		}{
			"HELLO":     {wire.KindHello, m.hello("a", 1<<50)},
			"SNAPSHOT":  {wire.KindSnapshot, &pb.Snapshot{Incarnation: 1 << 50, Version: 1, Last: true, Count: 1, Digest: digest(claim), Entries: []*pb.Entry{claim}, Contracts: []*pb.Contract{c}}},
			"DELTA":     {wire.KindDelta, &pb.Delta{Incarnation: 1 << 50, ToVersion: 1, Last: true, Put: []*pb.Entry{claim}, Contracts: []*pb.Contract{c}}},
			"HEARTBEAT": {wire.KindHeartbeat, &pb.Heartbeat{Incarnation: 1 << 50, Sequence: 1, Digest: make([]byte, 16)}},
			"RESYNC":    {wire.KindResync, &pb.Resync{}},
			"GOODBYE":   {wire.KindGoodbye, &pb.Goodbye{Reason: "go away"}},
		} {
			caller := m.intrude(b.modules)
			caller.says([]byte(wire.Preface))
			caller.sends(wire.KindLogin, &pb.Login{
				VersionMin: wire.MinVersion, VersionMax: wire.Version, Module: "mallory", Instance: "mallory-1", InstanceUuid: "m", Role: pb.Role_ROLE_CALLER,
			})
			caller.wantFrame(wire.KindWelcome)
			caller.sends(attack.kind, attack.says)
			caller.wantFrame(wire.KindGoaway)
			caller.wantClosed("a caller that sends " + name)
		}
		if after := m.hosts["b"].node.Own(); after != before {
			t.Errorf("the registry of b was %+v, is %+v", before, after)
		}
		m.wantUp()
		calls.wantUnharmed()
	})
}

// A member that was taken over says what is not so.
func TestAMemberThatLies(t *testing.T) {
	onEachMesh(t, nil, func(t *testing.T, m *mesh) {
		for _, name := range []string{"b", "c", "a"} {
			h := m.addHost(name)
			m.members = append(m.members, h.member())
		}
		m.startNode("b")
		m.startNode("c")
		m.wantUp()
		pay := m.serveAt("pay", "pay-1", slowly, "b")
		bob, carol := m.residentAt("bob", "b"), m.residentAt("carol", "c")
		m.wantKnown("bob", "bob")
		calls := carol.stream(120, "pay.Do", 0)
		calls.wantWide(100)
		own := m.hosts["b"].node.Own()
		wantUntouched := func(what string) {
			t.Helper()
			for _, at := range []string{"b", "c"} {
				if v := m.hosts[at].node.Views()["a"]; v.Entries != 0 || v.Version != 0 {
					t.Errorf("%s: node %s believes %+v of a", what, at, v)
				}
			}
			if now := m.hosts["b"].node.Own(); now != own {
				t.Errorf("%s: the registry of b was %+v, is %+v", what, own, now)
			}
		}

		// What is refused, and does not end the link.
		mild := m.pretend("a", "b", 1<<50)
		snapshot := &pb.Snapshot{}
		if err := proto.Unmarshal(mild.wantFrame(wire.KindSnapshot).Header, snapshot); err != nil {
			t.Fatal(err)
		}
		if got := digest(snapshot.GetEntries()...); !slices.Equal(got, snapshot.GetDigest()) {
			t.Errorf("the digest of b's registry is %x, by PROTOCOL.md %x", snapshot.GetDigest(), got)
		}
		at := slices.IndexFunc(snapshot.GetEntries(), func(e *pb.Entry) bool { return e.GetModule() == "pay" })
		theirs := snapshot.GetEntries()[at]
		started := pay.started.Load
		mild.says(request(1, 2, "pay", "Do", theirs.GetSession()))
		mild.wantAnswer(1, wire.BadRequest) // it has crossed two nodes
		mild.says(request(2, 1, "pay", "Do", 4711))
		mild.wantAnswer(2, wire.StaleRoute)
		mild.says(request(3, 1, "carol", "Do", 0))
		mild.wantAnswer(3, wire.StaleRoute) // b does not pass it on
		mild.says(request(4, 1, "carol", "Do", theirs.GetSession()))
		mild.wantAnswer(4, wire.StaleRoute)
		mild.forget()
		c := contract("Do")
		claim := entry(99, "pay-9", 1, c)
		mild.sends(wire.KindSnapshot, &pb.Snapshot{Incarnation: 1 << 50, Version: 1, Last: true, Count: 1, Digest: make([]byte, 16), Entries: []*pb.Entry{claim}, Contracts: []*pb.Contract{c}})
		mild.wantFrame(wire.KindResync)
		wantUntouched("a snapshot with another digest")
		mild.sends(wire.KindDelta, &pb.Delta{Incarnation: 1 << 50, FromVersion: 5, ToVersion: 6, Last: true, Count: 1, Digest: digest(claim), Put: []*pb.Entry{claim}, Contracts: []*pb.Contract{c}})
		wantUntouched("a delta from nowhere")

		// What another's session is called is no claim to it, and an older process has no claim to a name.
		stolen := entry(theirs.GetSession(), "pay-1", 1, c)
		mild.sends(wire.KindSnapshot, &pb.Snapshot{Incarnation: 1 << 50, Version: 2, Last: true, Count: 1, Digest: digest(stolen), Entries: []*pb.Entry{stolen}, Contracts: []*pb.Contract{c}})
		m.within(time.Second, "b has heard it", func() bool { return m.hosts["b"].node.Views()["a"].Version == 2 })
		before := started()
		bob.crowd(20, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
		if started() < before+20 {
			t.Error("calls went to who said that it has the session")
		}
		mild.nc.Close()
		m.wantLink("b", "a", "down")

		// What ends the link.
		incarnation := uint64(1 << 51)
		twice := func() []*pb.Entry { return []*pb.Entry{entry(5, "pay-5", 1, c), entry(5, "pay-6", 1, c)} }
		reserved := entry(5, "pay-5", 1, c)
		reserved.Module = "_node"
		forged := proto.CloneOf(c)
		forged.Methods[0].Idempotent = true
		type lie func(i *impostor)
		lies := map[string]lie{
			"a session twice": func(i *impostor) {
				i.sends(wire.KindSnapshot, &pb.Snapshot{Incarnation: incarnation, Version: 1, Last: true, Count: 2, Digest: digest(twice()...), Entries: twice(), Contracts: []*pb.Contract{c}})
			},
			"the module of nodes": func(i *impostor) {
				i.sends(wire.KindSnapshot, &pb.Snapshot{Incarnation: incarnation, Version: 1, Last: true, Count: 1, Digest: digest(reserved), Entries: []*pb.Entry{reserved}, Contracts: []*pb.Contract{c}})
			},
			"a contract that is not what its hash says": func(i *impostor) {
				i.sends(wire.KindSnapshot, &pb.Snapshot{Incarnation: incarnation, Version: 1, Last: true, Count: 1, Digest: digest(claim), Entries: []*pb.Entry{claim}, Contracts: []*pb.Contract{forged}})
			},
			"to have heard what was not said": func(i *impostor) {
				i.mark.HeardSequence = 1 << 40
				i.beats()
			},
			"a second HELLO":         func(i *impostor) { i.sends(wire.KindHello, m.hello("a", incarnation)) },
			"a LOGIN":                func(i *impostor) { i.sends(wire.KindLogin, &pb.Login{Module: "mallory"}) },
			"a kind that nobody has": func(i *impostor) { i.says((&wire.Frame{Kind: 99}).Append(nil)) },
			"a frame without an end": func(i *impostor) { i.says([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) },
			"a call that is two": func(i *impostor) {
				i.says(slices.Concat(request(8, 1, "pay", "Do", theirs.GetSession()), request(8, 1, "pay", "Do", theirs.GetSession())))
			},
			"a call that has no time": func(i *impostor) {
				f, _, _ := wire.Decode(request(9, 1, "pay", "Do", theirs.GetSession()), wire.MaxFrame)
				f.BudgetMS = 0
				i.says(f.Append(nil))
			},
			"an answer that has crossed two nodes": func(i *impostor) { i.says((&wire.Frame{Kind: wire.KindResponse, CallID: 9, Hops: 2}).Append(nil)) },
			"a header that is broken": func(i *impostor) {
				i.says((&wire.Frame{Kind: wire.KindRequest, CallID: 1, Hops: 1, BudgetMS: 9, Header: []byte{0xff}}).Append(nil))
			},
		}
		for _, what := range slices.Sorted(maps.Keys(lies)) {
			incarnation++
			liar := m.pretend("a", "b", incarnation)
			lies[what](liar)
			liar.wantFrame(wire.KindGoodbye) // for this, and not because the member says nothing more
			liar.wantClosed("a member that says " + what)
			m.wantLink("b", "a", "down")
			wantUntouched(what)
		}
		calls.wantFlow(100)
		calls.wantUnharmed()
	})
}

// A second process brings the name of a node that runs: everybody refuses it, and the first one does not notice.
func TestAClone(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("pay", "pay-1", slowly, "b")
		m.serveAt("near", "near-1", slowly, "a")
		alice, carol := m.residentAt("alice", "a"), m.residentAt("carol", "c")
		through, back := alice.stream(60, "pay.Do", 0), carol.stream(60, "near.Do", 0)
		through.wantWide(50)
		back.wantWide(50)

		links := m.net.between("a", "b")
		first := m.hosts["a"]
		clone := m.addHost("a") // another machine, with the same configuration
		clone.number = first.number
		m.startNode("a")
		m.wantLink("a", "b", "refused")
		m.wantLink("a", "c", "refused")
		for _, at := range []string{"b", "c"} {
			m.wantTrouble(at, "node_clone", "a")
			if lines := m.hosts[at].node.journal.with("link refused", "node a runs already"); len(lines) != 1 {
				t.Errorf("node %s has said it %d times: %q", at, len(lines), lines)
			}
		}
		m.stopNode("a")
		m.hosts["a"], m.nodes["a"] = first, first.node

		m.wantUp()
		for _, l := range links {
			if !slices.Contains(m.net.between("a", "b"), l) {
				t.Error("the link of the first one was made anew")
			}
		}
		m.wantFlow(50, through, back)
		through.wantUnharmed()
		back.wantUnharmed()
	})
}

// A node comes back with a clock that went back, and without what it had written: it is told, and is in soon.
func TestANodeThatForgotWhenItWas(t *testing.T) {
	onEachMesh(t, nil, func(t *testing.T, m *mesh) {
		for _, name := range abc {
			h := m.addHost(name)
			m.members = append(m.members, h.member())
		}
		forget := func(h *host) string { return filepath.Join(h.dir, "incarnation") }
		for _, name := range []string{"a", "c"} { // one that dials all others, and one that dials nobody
			if err := os.WriteFile(forget(m.hosts[name]), []byte("4102444800000\n"), 0o600); err != nil { // in the year 2100
				t.Fatal(err)
			}
		}
		for _, name := range abc {
			m.startNode(name)
		}
		m.wantUp()
		gate := m.gate()
		pay := m.serveAt("pay", "pay-1", gate.echo, "b")
		m.serveAt("near", "near-1", echo, "a")
		bob := m.residentAt("bob", "b")
		held := bob.crowd(100, "pay.Do", 0)
		m.wantRunning(100, pay)
		for _, name := range []string{"a", "c"} {
			m.kill(name)
			if err := os.Remove(forget(m.hosts[name])); err != nil {
				t.Fatal(err)
			}
			m.revive(name)
			m.within(4*time.Second, name+" is in again", func() bool {
				for _, h := range m.running() {
					if h.name != name && (h.node.Links()[name] != "up" || m.hosts[name].node.Links()[h.name] != "up") {
						return false
					}
				}
				return true
			})
			m.wantAgreed()
			if n := m.hosts[name].node.Own().Incarnation; n <= 4102444800000 {
				t.Errorf("node %s is in with incarnation %d, which is not above what was seen", name, n)
			}
		}
		m.wantKnown("near", "near-1")
		bob.crowd(100, "near.Do", 0, rpcclient.Timeout(5*time.Second)).wantEnds(5 * time.Second).wantAll()
		gate.opens()
		held.wantEnds(2 * time.Second).wantAll()
	})
}
