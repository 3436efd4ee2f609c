package peer

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// TestModulesAreToldOnlyWhatChanged: NodesChanged is called when Nodes is something else than before, and not otherwise.
func TestNodesChangedMeansIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b c")
		defer m.end()
		a := m.start("a")
		want := func(told int64, nodes string) {
			t.Helper()
			synctest.Wait()
			names := ""
			for _, one := range a.peers.Nodes() {
				names += one.GetName() + " " + one.GetAddress() + ", "
			}
			if a.told.Load() != told || names != nodes {
				t.Errorf("told %d times of %q, want %d of %q", a.told.Load(), names, told, nodes)
			}
		}
		const self = "a modules-of-a, "
		time.Sleep(20 * time.Second) // nobody is there, and a dials again and again
		want(0, self)
		m.start("b")
		m.wantUp(6 * time.Second)
		want(1, self+"b modules-of-b, ")
		memberOf(m.nodes["b"], "a").link.conn.Close(nil)
		m.within(time.Second, "the link is up again", func() bool { return a.link("b").State == StateUp && a.told.Load() == 3 })
		m.start("c")
		m.wantUp(6 * time.Second)
		want(4, self+"b modules-of-b, c modules-of-c, ")
		m.stopNode("c")
		want(5, self+"b modules-of-b, ")
		a.setMembers(append(m.without("c"), Member{Node: "z", Number: 99, Address: "z"})...)
		want(5, self+"b modules-of-b, ")
		m.start("c") // which is no member any more
		time.Sleep(10 * time.Second)
		want(5, self+"b modules-of-b, ")
		a.setMembers(m.without("a")...)
		want(6, self)
	})
}

func TestWhatPeopleSeeOfALink(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		c := a.call("pay.Move")
		f := pay.wantRequest()
		time.Sleep(3 * time.Second)
		l := a.link("b")
		if l.Peer != "b" || l.Number != 2 || l.Address != "b" || l.State != StateUp || l.Cause != "" || l.Entries != 1 || l.Version == 0 || l.InFlight != 1 ||
			l.Age < 3*time.Second || l.Age > 5*time.Second || l.FramesIn == 0 || l.BytesOut == 0 || l.Unanswered > 1100*time.Millisecond {
			t.Errorf("%+v", l)
		}
		if back := b.link("a"); back.Incoming != 1 || back.InFlight != 0 {
			t.Errorf("%+v", back)
		}
		mark, entries, digest := b.peers.Own()
		if mark.Incarnation != l.Incarnation || mark.Version != l.Version || entries != 1 || digest != l.Digest {
			t.Errorf("b has %v, %d, %s; a sees %+v", mark, entries, digest, l)
		}
		pay.answer(f, wire.OK, "yes")
		c.want(wire.OK, "yes")
		memberOf(a, "b").link.conn.Close(errors.New("the cable broke"))
		synctest.Wait()
		if l = a.link("b"); l.State != StateWaiting || l.Cause != "the cable broke" {
			t.Errorf("%s: %q", l.State, l.Cause)
		}
		m.wantUp(time.Second)
		if l = a.link("b"); l.Cause != "" || l.LastError != "the cable broke" {
			t.Errorf("%s: %q, before %q", l.State, l.Cause, l.LastError)
		}
	})
}

// TestChangesAreOneVersion: what comes together goes together.
func TestChangesAreOneVersion(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		time.Sleep(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		before, _, _ := b.peers.Own()
		for i := range 500 {
			b.login("pay", fmt.Sprint("pay-", i), "Move")
		}
		began := time.Now()
		a.wantKnown(time.Second, "pay", "pay-499")
		if took := time.Since(began); took > 40*time.Millisecond {
			t.Errorf("known after %v", took)
		}
		time.Sleep(2 * time.Second)
		after, entries, digest := b.peers.Own()
		if got := after.Version - before.Version; got > 2 || entries != 500 {
			t.Errorf("%d versions for %d entries", got, entries)
		}
		if l := a.link("b"); l.Digest != digest || l.Registry.Mismatches != 0 || l.Registry.ResyncsSent != 0 {
			t.Errorf("a has %s, b %s: %+v", l.Digest, digest, l.Registry)
		}
	})
}

// TestAFlappingRegistrationIsGathered: F42. What changes all the time is told every 10 ms at most.
func TestAFlappingRegistrationIsGathered(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		b.login("pay", "pay-0", "Move")
		a.wantKnown(time.Second, "pay", "pay-0")
		before, sent := a.link("b").Version, b.link("a").FramesOut
		for range 1000 {
			i := b.login("pay", "pay-1", "Move")
			time.Sleep(500 * time.Microsecond)
			i.logout()
			time.Sleep(500 * time.Microsecond)
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got := a.link("b").Version - before; got > 105 {
			t.Errorf("%d versions in a second", got)
		}
		if got := b.link("a").FramesOut - sent; got > 110 {
			t.Errorf("%d frames in a second", got)
		}
		if a.router.HasInstance("pay", "pay-1") || a.link("b").Entries != 1 {
			t.Error("pay-1 is still there")
		}
	})
}

func TestConsistencyIsChecked(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a := m.nodes["a"]
		b := memberOf(a, "b")
		for name, breaks := range map[string]func() (repair func()){
			"a member that is up without a link": func() func() { l := b.link; b.link = nil; return func() { b.link = l } },
			"a link of a member that is down":    func() func() { b.state = StateDown; return func() { b.state = StateUp } },
			"a time of loss while it is up":      func() func() { b.lostAt = 1; return func() { b.lostAt = 0 } },
			"a link that leaves and does not":    func() func() { a.peers.leaving[b.link] = struct{}{}; return func() { delete(a.peers.leaving, b.link) } },
		} {
			a.peers.mu.Lock()
			repair := breaks()
			a.peers.mu.Unlock()
			if a.peers.ConsistencyCheck() == nil {
				t.Errorf("%s is not found", name)
			}
			a.peers.mu.Lock()
			repair()
			a.peers.mu.Unlock()
		}
		a.wantConsistent()
	})
}
