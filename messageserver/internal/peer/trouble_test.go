package peer

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// trouble returns one trouble of a node, or none.
func (n *node) trouble(kind, peer string) (Trouble, bool) {
	all, _ := n.peers.Troubles()
	i := slices.IndexFunc(all, func(t Trouble) bool { return t.Kind == kind && t.Peer == peer })
	if i < 0 {
		return Trouble{}, false
	}
	return all[i], true
}

// wantTrouble wants a trouble within 5 s of the fact, with a time that is near the fact and a cause, and a line in the log.
func (n *node) wantTrouble(kind, peer string, fact time.Duration, cause string) {
	n.m.t.Helper()
	n.m.within(fact+5*time.Second-n.clock.Now(), kind+" at "+n.name, func() bool { return n.troubles(kind, peer) == 1 })
	got, _ := n.trouble(kind, peer)
	if got.Since < fact-1500*time.Millisecond || got.Since > fact+1500*time.Millisecond {
		n.m.t.Errorf("%s at %s since %v, and it was at %v", kind, n.name, got.Since, fact)
	}
	if !strings.Contains(got.Cause, cause) {
		n.m.t.Errorf("%s at %s because %q, want %q", kind, n.name, got.Cause, cause)
	}
	if lines := n.log.lines("msg=trouble ", "kind="+kind, "peer="+peer); len(lines) != 1 {
		n.m.t.Errorf("%s wrote %q", n.name, lines)
	}
}

func (n *node) wantNoTrouble(kinds ...string) {
	n.m.t.Helper()
	all, _ := n.peers.Troubles()
	for _, t := range all {
		if slices.Contains(kinds, t.Kind) || len(kinds) == 0 {
			n.m.t.Errorf("%s has the trouble %+v", n.name, t)
		}
	}
}

// wantOver wants all troubles to be over within 5 s.
func (m *mesh) wantOver() {
	m.t.Helper()
	m.within(5*time.Second, "no trouble is left", func() bool {
		for _, n := range m.nodes {
			if all, _ := n.peers.Troubles(); len(all) > 0 {
				return false
			}
		}
		return true
	})
	for _, n := range m.nodes {
		if begun, over := len(n.log.lines("msg=trouble ")), len(n.log.lines("trouble over")); begun != over {
			m.t.Errorf("%s wrote of %d troubles that begin and %d that end", n.name, begun, over)
		}
	}
}

func TestADeadNodeIsATrouble(t *testing.T) {
	for _, how := range []string{"killed", "silent"} {
		t.Run(how, func(t *testing.T) {
			story(t, "a b c", func(m *mesh) {
				m.wantUp(time.Second)
				time.Sleep(10 * time.Second)
				a, c := m.nodes["a"], m.nodes["c"]
				fact := map[*node]time.Duration{a: a.clock.Now(), c: c.clock.Now()}
				if how == "killed" {
					m.kill("b")
				} else {
					m.net.split("a", "b")
					m.net.split("c", "b")
				}
				for n, at := range fact {
					n.wantTrouble(LinkDown, "b", at, "")
					n.wantTrouble(NodeDead, "b", at, "no node that is heard reaches it")
					n.wantNoTrouble(LinkOneWay, LinkSlow, NodeClone, MembershipDiffers, RegistryDiffers)
				}
				if how == "killed" {
					m.start("b")
				} else {
					m.net.heal("a", "b")
					m.net.heal("c", "b")
				}
				m.wantUp(8 * time.Second)
				m.wantOver()
			})
		})
	}
}

// TestAPartitionIsNoDeadNode: a and b have lost each other, and c reaches both.
func TestAPartitionIsNoDeadNode(t *testing.T) {
	story(t, "a b c", func(m *mesh) {
		m.wantUp(time.Second)
		time.Sleep(10 * time.Second)
		a, b, c := m.nodes["a"], m.nodes["b"], m.nodes["c"]
		atA, atB := a.clock.Now(), b.clock.Now()
		m.net.split("a", "b")
		a.wantTrouble(LinkDown, "b", atA, "")
		b.wantTrouble(LinkDown, "a", atB, "")
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			for _, n := range []*node{a, b} {
				n.wantNoTrouble(NodeDead, LinkOneWay)
			}
			c.wantNoTrouble()
		}
		m.net.heal("a", "b")
		m.wantUp(8 * time.Second)
		m.wantOver()
	})
}

func TestAOneWayLinkIsATrouble(t *testing.T) {
	story(t, "a b c", func(m *mesh) {
		m.wantUp(time.Second)
		for range 4 { // whatever the moment
			time.Sleep(10*time.Second + 250*time.Millisecond)
			a, b := m.nodes["a"], m.nodes["b"]
			atA, atB := a.clock.Now(), b.clock.Now()
			a.log.text.Reset()
			b.log.text.Reset()
			m.net.gate("a", "b").set(false)
			a.wantTrouble(LinkOneWay, "b", atA, "does not hear this one")
			b.wantTrouble(LinkDown, "a", atB, "")
			m.net.gate("a", "b").set(true)
			m.wantUp(8 * time.Second)
			m.wantOver()
		}
	})
}

func TestASlowLinkIsATrouble(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		m.net.gate("a", "b").slow(150 * time.Millisecond)
		m.net.gate("b", "a").slow(150 * time.Millisecond)
		m.always(10*time.Second, "300 ms are no trouble", func() bool { return a.troubles("", "b")+b.troubles("", "a") == 0 })
		atA, atB := a.clock.Now(), b.clock.Now()
		m.net.gate("a", "b").slow(300 * time.Millisecond)
		m.net.gate("b", "a").slow(300 * time.Millisecond)
		m.within(3*time.Second, "both say so", func() bool { return a.troubles(LinkSlow, "b")+b.troubles(LinkSlow, "a") == 2 })
		_ = atA + atB
		got, _ := a.trouble(LinkSlow, "b")
		if !strings.Contains(got.Cause, "round trip 6") {
			t.Errorf("because %q", got.Cause)
		}
		m.net.gate("a", "b").slow(240 * time.Millisecond) // near the bound it does not come and go
		m.net.gate("b", "a").slow(240 * time.Millisecond)
		m.always(10*time.Second, "it goes on", func() bool { return a.troubles(LinkSlow, "b") == 1 })
		m.net.gate("a", "b").slow(0)
		m.net.gate("b", "a").slow(0)
		m.wantOver()
		a.wantState("b", StateUp)
	})
}

func TestListsThatDifferAreATrouble(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		atA := a.clock.Now()
		longer := append(m.without(), Member{Node: "z", Number: 99, Address: "z"})
		b.setMembers(longer...)
		a.wantTrouble(MembershipDiffers, "b", atA, "its members hash to")
		b.wantTrouble(MembershipDiffers, "a", atA, "its members hash to")
		b.setMembers(m.list...)
		m.wantOver()
		// A list that reaches the nodes one after the other is none.
		a.log.text.Reset()
		b.setMembers(longer...)
		time.Sleep(1500 * time.Millisecond)
		a.setMembers(longer...)
		time.Sleep(5 * time.Second)
		if got := a.log.lines("kind=membership_differs"); len(got) != 0 {
			t.Errorf("a wrote %q", got)
		}
		a.setMembers(m.list...)
		b.setMembers(m.list...)
		m.wantOver()
	})
}

func TestARegistryThatDiffersIsATrouble(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		s := b.visit("a")
		s.knock(m.helloOf("a"), "")
		s.wantIn()
		s.beat(1 << 50)
		synctest.Wait()
		b.wantState("a", StateUp)
		at := b.clock.Now()
		s.beats++
		s.send(frameOf(wire.KindHeartbeat, &pb.Heartbeat{Incarnation: 1 << 50, Count: 3, Digest: make([]byte, 16), Sequence: s.beats}))
		b.wantTrouble(RegistryDiffers, "a", at, "1 times")
		if got := b.log.lines("registry differs", "3 with"); len(got) != 1 {
			t.Errorf("b wrote %q", b.log.lines("registry"))
		}
		if f, err := s.next(time.Second); err != nil {
			t.Error(f, err)
		}
		for range 65 {
			_, _ = s.nextBut(time.Second)
			s.beat(1 << 50)
		}
		synctest.Wait()
		b.wantState("a", StateUp)
		b.wantNoTrouble(RegistryDiffers)
	})
}

// TestAMemberThatNeverCameIsATrouble, and so is one whose link opens again and again and never gets up.
func TestAMemberThatNeverComesUpIsATrouble(t *testing.T) {
	alone(t, "b", func(m *mesh, b *node) {
		b.wantTrouble(LinkDown, "a", b.clock.Now(), "not heard of yet")
		for range 20 {
			s := b.visit("a")
			s.knock(m.helloOf("a"), "")
			s.wantIn()
			time.Sleep(300 * time.Millisecond)
			if b.troubles(LinkDown, "a") != 1 {
				t.Fatal("the trouble is over, and the link was never up")
			}
			s.leave()
		}
		if got := b.log.lines("msg=trouble ", "peer=a", "link_down"); len(got) != 1 {
			t.Errorf("b wrote %q", got)
		}
	})
}

// TestOneLineOfACause: who tries again every few seconds does not fill the disk.
func TestOneLineOfARefusal(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		b.setMembers(m.without("a")...)
		time.Sleep(10 * time.Minute)
		for n, most := range map[*node]int{a: 1, b: 1} {
			if got := n.log.lines("link refused"); len(got) != most {
				t.Errorf("%s wrote %d lines in ten minutes: %q", n.name, len(got), got[:min(len(got), 3)])
			}
		}
		a.setMembers(m.without("b")...)
		time.Sleep(2 * time.Minute)
		a.setMembers(m.list...)
		time.Sleep(time.Minute)
		if got := b.log.lines("link refused"); len(got) != 2 {
			t.Errorf("b wrote %d lines, want another one", len(got))
		}
		b.setMembers(m.list...)
		m.wantUp(6 * time.Second)
		b.setMembers(m.without("a")...) // what was repaired and is broken again is news
		time.Sleep(10 * time.Second)
		if got := b.log.lines("link refused"); len(got) != 3 {
			t.Errorf("b wrote %d lines, want a third one", len(got))
		}
	})
}
