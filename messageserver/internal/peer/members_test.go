package peer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestANodeIsAddedWhileTheOthersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b c")
		defer m.end()
		all := m.list
		m.list = m.without("c")
		a, b := m.start("a"), m.start("b")
		pay := b.login("pay", "pay-1", "Move")
		m.wantUp(time.Second)
		a.wantKnown(time.Second, "pay", "pay-1")
		under := a.call("pay.Move")
		f := pay.wantRequest()
		m.list = all
		c := m.start("c")
		time.Sleep(time.Second) // c alone: a and b refuse it, or are not dialled
		for _, n := range []*node{b, a} {
			n.setMembers(all...)
		}
		m.wantUp(6 * time.Second)
		c.wantKnown(time.Second, "pay", "pay-1")
		c.wantReply(pay, "Move")
		pay.answer(f, wire.OK, "yes")
		under.want(wire.OK, "yes")
		if a.peers.MembershipHash() != c.peers.MembershipHash() || len(a.peers.Members()) != 3 {
			t.Errorf("a has %v", a.peers.Members())
		}
	})
}

// TestARemovedNodeDrains, from either side: calls under way end well, new ones do not go there, and the link ends.
func TestARemovedNodeDrains(t *testing.T) {
	for _, remover := range []string{"a", "b"} {
		t.Run("by "+remover, func(t *testing.T) {
			atB(t, func(m *mesh, a, b *node, pay *instance) {
				one, other := a, b
				if remover == "b" {
					one, other = b, a
				}
				c := a.call("pay.Move", budget(60_000))
				f := pay.wantRequest()
				web := a.login("web", "web-1", "Show")
				b.wantKnown(time.Second, "web", "web-1")
				back := b.call("web.Show", budget(60_000))
				g := web.wantRequest()
				late := a.call("pay.Move", budget(60_000))
				pay.wantRequest()

				one.setMembers(m.without(other.name)...)
				synctest.Wait()
				if got := one.peers.Links(); len(got) != 0 {
					t.Errorf("%s still has %v", remover, got)
				}
				for _, module := range one.router.Registry(0) { // what the other had said is forgotten
					if module.Module == "pay" && one == a || module.Module == "web" && one == b {
						t.Errorf("%s still lists %s", one.name, module.Module)
					}
				}
				for _, n := range []*node{a, b} {
					if n.router.HasInstance("pay", "pay-1") != (n == b) || n.router.HasInstance("web", "web-1") != (n == a) {
						t.Errorf("%s still chooses what is on the other side", n.name)
					}
				}
				if len(other.log.lines("link leaving", "removed from the members")) != 1 {
					t.Errorf("%s wrote %q", other.name, other.log.lines("link"))
				}
				time.Sleep(20 * time.Second)
				pay.answer(f, wire.OK, "yes")
				web.answer(g, wire.OK, "yes, too")
				c.want(wire.OK, "yes")
				back.want(wire.OK, "yes, too")
				began := time.Now()
				late.want(wire.ConnectionLost, "")
				if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
					t.Errorf("the link ended %v after the removal", 20*time.Second+took)
				}
				synctest.Wait()
				if got := other.link(one.name); got.State == StateUp || got.State == StateLeaving || got.Entries != 1 {
					t.Errorf("%s has the link %s with %d entries", other.name, got.State, got.Entries)
				}
				if got := other.log.lines("link refused"); len(got) > 1 {
					t.Errorf("%s wrote that it is refused %d times", other.name, len(got))
				}
			})
		})
	}
}

// TestARemovedNodeComesBack while its old link drains: the new one is there at once, and the calls of the old one end well.
func TestARemovedNodeComesBack(t *testing.T) {
	for _, remover := range []string{"a", "b"} {
		for _, pause := range []time.Duration{100 * time.Millisecond, 20 * time.Second} {
			t.Run(fmt.Sprint("by ", remover, " after ", pause), func(t *testing.T) {
				atB(t, func(m *mesh, a, b *node, pay *instance) {
					one, other := a, b
					if remover == "b" {
						one, other = b, a
					}
					c := a.call("pay.Move", budget(60_000))
					f := pay.wantRequest()
					one.setMembers(m.without(other.name)...)
					time.Sleep(pause)
					one.setMembers(m.list...)
					m.wantUp(5500 * time.Millisecond)
					a.wantKnown(time.Second, "pay", "pay-1")
					a.wantReply(pay, "Move")
					c.wantOpen()
					pay.answer(f, wire.OK, "yes")
					c.want(wire.OK, "yes")
					web := a.login("web", "web-1", "Show") // the registry goes over the new link
					b.wantKnown(time.Second, "web", "web-1")
					b.wantReply(web, "Show")
					time.Sleep(40 * time.Second) // the old link ends, and takes nothing with it
					a.wantState("b", StateUp)
					b.wantState("a", StateUp)
					a.wantReply(pay, "Move")
					if opened := a.peers.Counters().Opened.Load(); opened != 2 {
						t.Errorf("a has opened %d links, want 2", opened)
					}
				})
			})
		}
	}
}

func TestANodeThatIsNoMemberIsAlone(t *testing.T) {
	story(t, "a b c", func(m *mesh) {
		m.wantUp(time.Second)
		b := m.nodes["b"]
		pay := b.login("pay", "pay-1", "Move")
		m.nodes["a"].wantKnown(time.Second, "pay", "pay-1")
		c := m.nodes["a"].call("pay.Move")
		f := pay.wantRequest()
		b.setMembers(m.without("b")...)
		synctest.Wait()
		if got := b.peers.Links(); len(got) != 0 {
			t.Errorf("b has %v", got)
		}
		for _, name := range []string{"a", "c"} {
			if m.nodes[name].router.HasInstance("pay", "pay-1") {
				t.Errorf("%s still chooses pay-1", name)
			}
		}
		pay.answer(f, wire.OK, "yes")
		c.want(wire.OK, "yes")
		if got := b.peers.Nodes(); len(got) != 1 || got[0].GetName() != "b" {
			t.Errorf("b knows %v", got)
		}
		b.setMembers(m.list...)
		m.wantUp(6 * time.Second)
		m.nodes["a"].wantKnown(time.Second, "pay", "pay-1")
	})
}

// TestTheHashOfAListIsThatOfItsFile: it is made at two places, and package discovery has the same numbers.
func TestTheHashOfAListIsThatOfItsFile(t *testing.T) {
	if got := hashMembers([]Member{{Node: "a", Number: 1, Address: "x:1"}}); got != 0x4de4ced4085b5ea4 {
		t.Errorf("other nodes make another hash of the same list: %#x", got)
	}
}

// TestAnotherNumberIsAnotherNode: what the old one had said is gone before the new one speaks.
func TestAnotherNumberIsAnotherNode(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		b.login("pay", "pay-1", "Move")
		a.wantKnown(time.Second, "pay", "pay-1")
		list := m.without("b")
		list = append(list, Member{Node: "b", Number: 9, Address: "b"})
		a.setMembers(list...)
		synctest.Wait()
		if a.router.HasInstance("pay", "pay-1") {
			t.Error("pay-1 can be chosen")
		}
		m.within(2*time.Second, "b is refused", func() bool { return a.link("b").State == StateRefused })
		m.stopNode("b")
		m.list = list
		b = m.start("b")
		m.wantUp(6 * time.Second)
		b.login("pay", "pay-2", "Move")
		a.wantKnown(time.Second, "pay", "pay-2")
	})
}

func TestAnAddressChanges(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		moved := append(m.without("b"), Member{Node: "b", Number: 2, Address: "elsewhere"})
		a.setMembers(moved...) // a link that works is kept
		m.always(5*time.Second, "the link stays", func() bool { return a.link("b").State == StateUp })
		if got := a.link("b").Address; got != "elsewhere" {
			t.Errorf("b is at %s", got)
		}
		m.net.hangUp(b)
		memberOf(b, "a").link.conn.Close(nil)
		time.Sleep(20 * time.Second) // nobody is there yet
		b.setMembers(moved...)
		if got := len(m.net.dialled("a", "elsewhere")); got < 3 {
			t.Errorf("dialled %d times", got)
		}
		m.net.listen("b-again", b)
		moved[1].Address = "b-again"
		a.setMembers(moved...) // it is dialled at once, however long the wait was
		m.wantUp(100 * time.Millisecond)
	})
}

func TestAListThatCannotBe(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a := m.nodes["a"]
		before, told := a.peers.MembershipHash(), a.told.Load()
		for words, list := range map[string][]Member{
			"gives node a the number 7": {{Node: "a", Number: 7, Address: "a"}, {Node: "b", Number: 2, Address: "b"}},
			"gives number 1 to node b":  {{Node: "b", Number: 1, Address: "b"}},
		} {
			if err := a.peers.SetMembers(list); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%v, want %q", err, words)
			}
			o := a.peers.opts
			o.Members = list
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("New: %v, want %q", err, words)
			}
		}
		a.setMembers(m.list[1], m.list[0]) // the one that is in force, in another order
		synctest.Wait()
		a.wantState("b", StateUp)
		if a.peers.MembershipHash() != before || a.told.Load() != told || len(a.log.lines("members set")) != 0 {
			t.Errorf("something has changed: %q", a.log.lines("members set"))
		}
	})
}

func TestAMemberIsRemovedInItsHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b")
		defer m.end()
		s := m.stand("b")
		a := m.start("a")
		s.pickUp()
		s.takeHello()
		began := time.Now()
		a.setMembers(m.without("b")...)
		s.wantEnd()
		if took := time.Since(began); took != 0 {
			t.Errorf("the handshake goes on for %v", took)
		}
		s.leave()
		a.setMembers(m.list...)
		s.pickUp()
		s.takeHello()
		m.net.gate("a", "b").set(false) // it is being dialled
		s.leave()
		time.Sleep(time.Second)
		a.setMembers(m.without("b")...)
		time.Sleep(10 * time.Second)
		if got := len(s.calls); got != 0 {
			t.Errorf("dialled %d times", got)
		}
	})
}

// TestWhoStopsSaysGoodbye, and is dialled until it is back.
func TestWhoStopsSaysGoodbye(t *testing.T) {
	for _, who := range []string{"a", "b"} {
		t.Run(who, func(t *testing.T) {
			story(t, "a b", func(m *mesh) {
				m.wantUp(time.Second)
				other := m.nodes["a"]
				if who == "a" {
					other = m.nodes["b"]
				}
				m.nodes[who].login("pay", "pay-1", "Move")
				other.wantKnown(time.Second, "pay", "pay-1")
				m.stopNode(who)
				if got := other.log.lines("link leaving", "the node stops"); len(got) != 1 {
					t.Errorf("%s wrote %q", other.name, other.log.lines("link"))
				}
				if got := other.link(who); got.State == StateUp || got.State == StateLeaving || other.router.HasInstance("pay", "pay-1") {
					t.Errorf("the link is %s", got.State)
				}
				m.start(who)
				m.wantUp(6 * time.Second)
				if got := other.link(who).Entries; got != 0 {
					t.Errorf("%d entries of the process before", got)
				}
			})
		})
	}
}

// TestAGoodbyeThatNobodyActsOn ends all the same.
func TestAGoodbyeThatNobodyActsOn(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		for drain, want := range map[time.Duration]time.Duration{
			0: 5 * time.Second, 2 * time.Second: 7 * time.Second, 24 * time.Hour: 35 * time.Second,
		} {
			s := b.visit("a")
			s.knock(m.helloOf("a"), "")
			s.wantIn()
			s.beat(1 << 50)
			synctest.Wait()
			b.wantState("a", StateUp)
			began := time.Now()
			s.send(frameOf(wire.KindGoodbye, &pb.Goodbye{Reason: "tired", DrainMs: uint32(drain.Milliseconds())}))
			s.send(frameOf(wire.KindGoodbye, &pb.Goodbye{Reason: "very", DrainMs: 1}))
			synctest.Wait()
			if l := b.link("a"); l.State != StateLeaving || !strings.Contains(l.Cause, "tired") {
				t.Errorf("the link is %s: %s", l.State, l.Cause)
			}
			m.always(want-500*time.Millisecond, "a link that leaves is no trouble", func() bool { return b.troubles("", "a") == 0 })
			s.wantEnd()
			if took := time.Since(began); took < want || took > want+100*time.Millisecond {
				t.Errorf("ended after %v, want %v", took, want)
			}
			s.leave()
			if l := b.link("a"); l.State != StateDown || !strings.Contains(l.Cause, "tired") {
				t.Errorf("the link is %s: %s", l.State, l.Cause)
			}
		}
	})
}

// TestNothingOfTheRegistryOnALinkThatLeaves: neither is it said, nor listened to.
func TestNothingOfTheRegistryOnALinkThatLeaves(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		old := b.visit("a")
		old.knock(m.helloOf("a"), "")
		old.wantIn()
		old.beat(1 << 50)
		old.send(frameOf(wire.KindGoodbye, &pb.Goodbye{DrainMs: 30_000}))
		synctest.Wait()
		next := b.visit("a")
		next.knock(m.helloOf("a"), "")
		next.wantIn()
		next.beat(1 << 50)
		old.send(
			frameOf(wire.KindSnapshot, &pb.Snapshot{Incarnation: 1 << 50, Version: 7, Last: true, Digest: make([]byte, 16)}),
			frameOf(wire.KindHeartbeat, &pb.Heartbeat{Incarnation: 1 << 50, Version: 99, Digest: make([]byte, 16), Sequence: 9}),
			frameOf(wire.KindResync, &pb.Resync{}), ask(5, "b", "Nothing"),
		)
		if f := old.want(wire.KindResponse); f.CallID != 5 || f.Status != wire.Unimplemented {
			t.Errorf("call %d: %s", f.CallID, f.Status)
		}
		before := memberFrames(b)
		time.Sleep(2500 * time.Millisecond)
		next.beat(1 << 50)
		synctest.Wait()
		if l := b.link("a"); l.State != StateUp || l.Version != 0 {
			t.Errorf("the link is %s at version %d", l.State, l.Version)
		}
		if got := memberFrames(b); got != before {
			t.Errorf("%d frames were said on the link that leaves", got-before)
		}
		next.leave()
	})
}

// memberFrames counts what is said on links that leave.
func memberFrames(n *node) (frames uint64) {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	for l := range n.peers.leaving {
		frames += l.conn.Stats().FramesOut
	}
	return frames
}

// TestARemovedNodeIsRemembered: with a process that is older than the last one it does not come back.
func TestARemovedNodeIsRemembered(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		knock := func(boot string, incarnation uint64) *stranger {
			s := b.visit("a")
			s.knock(m.helloOf("a", func(h *pb.Hello) { h.BootId, h.Incarnation = []byte(boot), incarnation }), "")
			return s
		}
		s := knock("process number 1", 500)
		s.wantIn()
		for range 2 { // removed twice: it is remembered over that, too
			b.setMembers(m.without("a")...)
			b.setMembers(m.list...)
		}
		s.leave()
		for _, old := range []*stranger{knock("process number 1", 499), knock("process number 2", 500)} {
			if r := old.wantRefuse(wire.BadRequest); r.GetMinIncarnation() != 500 {
				t.Errorf("min_incarnation is %d, want 500", r.GetMinIncarnation())
			}
		}
		knock("process number 1", 500).wantIn()
		knock("process number 2", 501).wantIn()
	})
}
