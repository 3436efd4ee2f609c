package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestALinkComesUpAndCallsCrossIt(t *testing.T) {
	for name, edit := range map[string]func(*Options){"with a secret": secret, "without": func(*Options) {}} {
		t.Run(name, func(t *testing.T) {
			story(t, "a b", func(m *mesh) {
				m.wantUp(time.Second)
				a, b := m.nodes["a"], m.nodes["b"]
				pay := b.login("pay", "pay-1", "Move")
				if took := a.wantKnown(time.Second, "pay", "pay-1"); took > 100*time.Millisecond {
					t.Errorf("known after %v", took)
				}
				a.wantReply(pay, "Move")
				web := a.login("web", "web-1", "Show")
				b.wantKnown(200*time.Millisecond, "web", "web-1")
				b.wantReply(web, "Show")
				pay.logout()
				m.within(200*time.Millisecond, "pay-1 is gone", func() bool { return !a.router.HasInstance("pay", "pay-1") })
			}, edit)
		})
	}
}

func TestOneLinkPerPairDialledByTheSmallerName(t *testing.T) {
	story(t, "d c b a", func(m *mesh) { // in this order, so that who is dialled is there
		m.wantUp(2 * time.Second)
		for _, from := range m.names() {
			for _, to := range m.names() {
				want := 0
				if from < to {
					want = 1
				}
				if got := len(m.net.dialled(from, to)); got != want {
					t.Errorf("%s dialled %s %d times, want %d", from, to, got, want)
				}
			}
			if opened := m.nodes[from].peers.Counters().Opened.Load(); opened != 3 {
				t.Errorf("%s has opened %d links, want 3", from, opened)
			}
		}
	}, secret)
}

func TestAnIdleLinkCostsAHeartbeatASecond(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		time.Sleep(10*time.Second + 500*time.Millisecond)
		a, b := m.nodes["a"], m.nodes["b"]
		outA, outB := a.link("b").FramesOut, b.link("a").FramesOut
		bytes := a.link("b").BytesOut
		time.Sleep(60 * time.Second)
		synctest.Wait()
		gotA, gotB := a.link("b").FramesOut-outA, b.link("a").FramesOut-outB
		if gotA != 60 || gotB != 60 {
			t.Errorf("%d and %d frames in a minute, want 60 and 60", gotA, gotB)
		}
		if got := (a.link("b").BytesOut - bytes) / 60; got > 128 {
			t.Errorf("a heartbeat has %d bytes, want at most 128", got)
		}
		if rtt := a.link("b").RTT; rtt > 10*time.Millisecond {
			t.Errorf("the round trip is %v", rtt)
		}
	})
}

func TestSilenceEndsALink(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		pay := b.login("pay", "pay-1", "Move")
		a.wantKnown(time.Second, "pay", "pay-1")
		c := a.call("pay.Move")
		pay.wantRequest()
		m.net.split("a", "b")
		took := m.within(3700*time.Millisecond, "both ends are closed", func() bool {
			return a.link("b").State != StateUp && b.link("a").State != StateUp
		})
		if took < 2400*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
		for n, to := range map[*node]string{a: "b", b: "a"} {
			if last := n.link(to).LastError; last != text(registry.ErrSilent) && n == b {
				t.Errorf("%s: the last error is %q, want %q", n.name, last, registry.ErrSilent)
			}
			if got := n.log.lines("link closed", registry.ErrSilent.Error()); len(got) != 1 {
				t.Errorf("%s wrote %q", n.name, got)
			}
		}
		c.want(96+1, "") // CONNECTION_LOST: it was sent
		if a.router.HasInstance("pay", "pay-1") {
			t.Error("pay-1 can be chosen without a link")
		}
		if got := a.link("b").Entries; got != 1 {
			t.Errorf("%d entries are kept, want 1", got)
		}
		m.net.heal("a", "b")
		m.wantUp(8 * time.Second)
		a.wantKnown(0, "pay", "pay-1")
		if sent := b.link("a").Registry.SnapshotsSent; sent != 0 {
			t.Errorf("%d snapshots for a registry that has not changed", sent)
		}
	})
}

// TestAOneWayLinkIsClosed: what b says gets through, what a says does not.
func TestAOneWayLinkIsClosed(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		time.Sleep(1300 * time.Millisecond)
		m.net.gate("a", "b").set(false)
		a, b := m.nodes["a"], m.nodes["b"]
		m.within(4*time.Second, "both ends are closed", func() bool {
			return a.link("b").State != StateUp && b.link("a").State != StateUp
		})
		if len(b.log.lines("link closed", registry.ErrSilent.Error())) != 1 {
			t.Errorf("b wrote %q", b.log.lines("link closed"))
		}
		a.peers.mu.Lock()
		ended := a.peers.members["b"].endedBy
		a.peers.mu.Unlock()
		if !errors.Is(ended, registry.ErrOneWay) {
			t.Errorf("a's link ended by %v, want %v", ended, registry.ErrOneWay)
		}
		m.within(time.Second, "a is in trouble", func() bool { return a.troubles(LinkOneWay, "b") == 1 })
		m.net.gate("a", "b").set(true)
		m.wantUp(8 * time.Second)
		m.within(time.Second, "a is out of trouble", func() bool { return a.troubles("", "b") == 0 })
	})
}

// TestWhoRunsLateIsPatient: a that does not run for a while does not take b for dead when it runs again.
func TestWhoRunsLateIsPatient(t *testing.T) {
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a := m.nodes["a"]
		time.Sleep(5 * time.Second)
		m.net.split("a", "b")
		time.Sleep(2500 * time.Millisecond)
		// Nothing is heard of b, and a finds that it has been late itself: it waits for longer.
		a.peers.mu.Lock()
		now := a.peers.now()
		a.peers.health.Tick(now + 2*time.Second)
		a.peers.health.Tick(now)
		patience := a.peers.health.Patience()
		a.peers.mu.Unlock()
		if patience < 2 {
			t.Fatalf("a is no more patient than before: %d", patience)
		}
		m.always(2*time.Second, "a keeps the link", func() bool {
			return len(a.log.lines("link closed", registry.ErrSilent.Error())) == 0
		})
	})
}

func TestRedialsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b")
		defer m.end()
		m.start("a")
		time.Sleep(time.Minute)
		times := m.net.dialled("a", "b")
		const ms = time.Millisecond
		for i, most := range []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms} {
			if got := times[i+1].Sub(times[i]); got < most/2 || got > most {
				t.Errorf("dial %d after %v, want %v to %v", i+1, got, most/2, most)
			}
		}
		if got := m.nodes["a"].link("b"); got.State != StateWaiting || !strings.Contains(got.Cause, "refused") {
			t.Errorf("the link is %s (%s), want waiting because the connection was refused", got.State, got.Cause)
		}
		m.start("b")
		m.wantUp(5 * time.Second)
		before := len(m.net.dialled("a", "b"))
		m.nodes["b"].peers.mu.Lock()
		l := m.nodes["b"].peers.members["a"].link
		m.nodes["b"].peers.mu.Unlock()
		l.conn.Close(nil)
		m.within(300*time.Millisecond, "the link is up again", func() bool {
			return len(m.net.dialled("a", "b")) == before+1 && m.nodes["a"].link("b").State == StateUp
		})
	})
}

// TestALinkThatBreaksAtOnceIsNotDialledAtOnce, again and again: b breaks the protocol whenever the link is up.
func TestALinkThatBreaksAtOnceIsNotDialledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b")
		defer m.end()
		s := m.stand("b")
		a := m.start("a")
		began, links := time.Now(), 0
		for time.Since(began) < time.Minute {
			s.pickUp()
			s.takeHello()
			s.beats, s.number = 0, 0
			s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1}), frameOf(wire.KindHello, m.helloOf("b")))
			s.beat(1 << 50)
			synctest.Wait()
			a.wantState("b", StateUp)
			s.write([]byte{0, 0, 0, 0})
			s.want(wire.KindGoodbye)
			s.wantEnd()
			s.leave()
			links++
		}
		if links < 10 || links > 30 {
			t.Errorf("%d links in a minute", links)
		}
		s.pickUp() // one that lasts
		s.takeHello()
		s.beats, s.number = 0, 0
		s.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1}), frameOf(wire.KindHello, m.helloOf("b")))
		s.beat(1 << 50)
		time.Sleep(2 * time.Second)
		a.wantState("b", StateUp)
		s.leave()
		began = time.Now()
		s.pickUp()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("dialled again after %v", took)
		}
		s.leave()
		m.net.hangUp(s)
	})
}

func TestSmallerNamesDialNobodyTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, "a b c")
		defer m.end()
		for range 5 { // all at once, and again
			for _, name := range []string{"c", "a", "b"} {
				m.start(name)
			}
			m.wantUp(6 * time.Second)
			for _, n := range m.nodes {
				if got := n.peers.Counters().Opened.Load(); got != 2 {
					t.Errorf("%s opened %d links, want 2", n.name, got)
				}
			}
			for _, name := range []string{"b", "c", "a"} {
				m.kill(name)
			}
		}
	})
}

// troubles counts the troubles of a kind ("" is any) with a peer.
func (n *node) troubles(kind, peer string) (count int) {
	all, _ := n.peers.Troubles()
	for _, t := range all {
		if (kind == "" || t.Kind == kind) && t.Peer == peer {
			count++
		}
	}
	return count
}

// hangs is a log whose writer waits when it is to write one event.
type hangs struct {
	slog.Handler
	at  string
	let chan struct{}
}

func (h *hangs) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.at {
		<-h.let
	}
	return h.Handler.Handle(ctx, r)
}

func TestALogThatHangsHoldsUpNoOtherLink(t *testing.T) {
	log := &hangs{Handler: slog.NewTextHandler(io.Discard, nil), at: "link up"} //nolint:sloglint // DiscardHandler is never asked
	alone(t, "b", func(m *mesh, b *node) {
		log.let = make(chan struct{})
		s := b.visit("a")
		s.knock(m.helloOf("a"), "")
		s.wantIn()
		s.beat(1 << 50)
		synctest.Wait()
		b.wantState("a", StateUp)
		if !b.peers.routing.TryLock() {
			t.Error("nobody else can tell the router anything while a line is written")
		} else {
			b.peers.routing.Unlock()
		}
		close(log.let)
	}, func(o *Options) { o.Log = slog.New(log) })
}
