package peer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"

	"google.golang.org/protobuf/proto"
)

// atB plays with a, b, and an instance of pay at b that a knows.
func atB(t *testing.T, play func(m *mesh, a, b *node, pay *instance), edits ...func(*Options)) {
	t.Helper()
	story(t, "a b", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		pay := b.login("pay", "pay-1", "Move", "GetIt", "LateOne")
		a.wantKnown(time.Second, "pay", "pay-1")
		play(m, a, b, pay)
	}, edits...)
}

func budget(ms uint32) func(*wire.Frame, *wire.Request) {
	return func(f *wire.Frame, _ *wire.Request) { f.BudgetMS = ms }
}

func wantHeader(t *testing.T, header []byte) *pb.ResponseHeader {
	t.Helper()
	h := &pb.ResponseHeader{}
	if err := proto.Unmarshal(header, h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestACallTakesTwoHops(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		c := a.call("pay.Move", func(f *wire.Frame, _ *wire.Request) { f.Flags |= wire.FlagWantReceiver })
		f := pay.wantRequest()
		var req wire.Request
		if err := req.Walk(f.Header, wire.ByNode); err != nil {
			t.Fatal(err)
		}
		if f.Hops != 2 || string(f.Body) != "pay.Move" || req.Stamp.Target != pay.reg.Session || string(req.Stamp.IngressNode) != "a" {
			t.Errorf("the request has %d hops, body %q, is for %d and from %s", f.Hops, f.Body, req.Stamp.Target, req.Stamp.IngressNode)
		}
		if f.BudgetMS > 10_000 || f.BudgetMS < 9_990 {
			t.Errorf("%d ms of 10,000 are left", f.BudgetMS)
		}
		pay.answer(f, wire.OK, "moved")
		c.want(wire.OK, "moved")
		h := wantHeader(t, c.header)
		if c.hops != 2 || h.GetReceiver().GetNode() != "b" || h.GetReceiver().GetInstance() != "pay-1" || len(h.GetHopTimes()) != 2 {
			t.Errorf("%d hops, receiver %v, times %v", c.hops, h.GetReceiver(), h.GetHopTimes())
		}
		if got := a.router.Counters().TwoHop.Load(); got != 1 {
			t.Errorf("%d attempts took two hops", got)
		}
		if got := b.router.Counters().Transit.Submitted.Load(); got != 1 {
			t.Errorf("%d calls came to b from others", got)
		}
	})
}

func TestWhatAServerAnswersComesBack(t *testing.T) {
	atB(t, func(_ *mesh, a, _ *node, pay *instance) {
		for _, code := range []wire.Code{wire.AppError, wire.HandlerPanic, wire.Unimplemented, wire.RateLimited} {
			c := a.call("pay.Move")
			pay.answer(pay.wantRequest(), code, "")
			c.want(code, "")
		}
	})
}

func TestACallIsCancelledAtTheOtherNode(t *testing.T) {
	atB(t, func(_ *mesh, a, _ *node, pay *instance) {
		c := a.call("pay.Move")
		f := pay.wantRequest()
		c.cancel()
		if id := <-pay.cancels; id != f.CallID {
			t.Errorf("call %d is cancelled, want %d", id, f.CallID)
		}
		pay.answer(f, wire.Cancelled, "")
		c.want(wire.Cancelled, "")

		c = a.call("pay.Move", budget(500)) // the same at its deadline
		f = pay.wantRequest()
		began := time.Now()
		<-pay.cancels
		if took := time.Since(began); took < 450*time.Millisecond || took > 550*time.Millisecond {
			t.Errorf("cancelled after %v, want 500 ms", took)
		}
		pay.answer(f, wire.Expired, "")
		c.want(wire.Expired, "")

		c = a.call("pay.Move", budget(500)) // and nobody says what came of it
		pay.wantRequest()
		began = time.Now()
		c.want(wire.Timeout, "")
		if took := time.Since(began); took > 700*time.Millisecond {
			t.Errorf("answered after %v, want 650 ms", took)
		}
		synctest.Wait()
	})
}

func TestOneWayCallsCross(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		oneWay := func(f *wire.Frame, _ *wire.Request) { f.Flags, f.CallID = wire.FlagOneWay, 0 }
		a.call("pay.Move", oneWay)
		if f := pay.wantRequest(); f.CallID != 0 || f.Flags&wire.FlagOneWay == 0 || string(f.Body) != "pay.Move" {
			t.Errorf("got %+v", f)
		}
		if sent, taken := a.router.Counters().OneWay.Load(), b.router.Counters().Transit.OneWay.Load(); sent != 1 || taken != 1 {
			t.Errorf("%d sent, %d taken", sent, taken)
		}
		if got := a.link("b").InFlight + b.link("a").Incoming; got != 0 {
			t.Errorf("%d are in flight", got)
		}
	})
}

func TestLargeMessagesCross(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		for _, size := range []int{1, 64 << 10, 65 << 10, 1 << 20, 10 << 20, wire.MaxMessage - 200} {
			large := strings.Repeat("x", size)
			c := a.call("pay.Move", func(f *wire.Frame, _ *wire.Request) { f.Body = []byte(large) })
			f := pay.wantRequest()
			if string(f.Body) != large {
				t.Fatalf("%d bytes arrive, want %d", len(f.Body), size)
			}
			pay.answer(f, wire.OK, large)
			c.want(wire.OK, large)
		}
	})
}

// TestAStaleRouteIsRepaired: pay-1 leaves, and a's call is faster than the news.
func TestAStaleRouteIsRepaired(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		other := b.login("pay", "pay-2", "Move")
		a.wantKnown(time.Second, "pay", "pay-2")
		pay.logout()
		c := a.call("pay.Move", func(_ *wire.Frame, r *wire.Request) { r.Instance = []byte("pay-1") })
		c.want(wire.NoInstance, "")
		var answered int
		for range 10 {
			c := a.call("pay.Move")
			other.answer(other.wantRequest(), wire.OK, "yes")
			c.want(wire.OK, "yes")
			answered++
		}
		m.within(200*time.Millisecond, "pay-1 is gone", func() bool { return !a.router.HasInstance("pay", "pay-1") })
		if got := a.router.Counters().StaleRoutes.Load(); got == 0 || answered != 10 {
			t.Errorf("%d stale routes, %d answers", got, answered)
		}
	})
}

// TestNothingCrossesAThirdNode: a frame of a for what only c has ends at b.
func TestNothingCrossesAThirdNode(t *testing.T) {
	story(t, "a b c", func(m *mesh) {
		m.wantUp(time.Second)
		a, b, c := m.nodes["a"], m.nodes["b"], m.nodes["c"]
		pay := c.login("pay", "pay-1", "Move")
		a.wantKnown(time.Second, "pay", "pay-1")
		b.wantKnown(time.Second, "pay", "pay-1")
		// a's table is poisoned: b is said to have it.
		a.router.Announce("b", []router.Change{{Session: pay.reg.Session, Registration: &router.Registration{
			Session: pay.reg.Session, Module: "pay", Instance: "pay-9", UUID: "u9", Stamp: router.Stamp{N: 99, Node: "b"}, Methods: pay.reg.Methods,
		}}})
		got := a.call("pay.Move", func(_ *wire.Frame, r *wire.Request) { r.Instance = []byte("pay-9") })
		got.want(wire.NoInstance, "")
		pay.wantNone()
		if stale := b.router.Counters().Transit.StaleRoutes.Load(); stale != 1 {
			t.Errorf("b found %d stale routes", stale)
		}
		a.router.Announce("b", []router.Change{{Session: pay.reg.Session}})
	})
}

func TestTheIngressHearsThatALinkIsLost(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		other := a.login("pay", "pay-2", "GetIt")
		sent := a.call("pay.Move")
		f := pay.wantRequest()
		m.net.split("a", "b")
		unsent := a.call("pay.GetIt", func(f *wire.Frame, r *wire.Request) {
			f.Body, r.Instance = make([]byte, 1<<20), []byte("pay-1") // more than fits into the pipe: it does not leave whole
		})
		// b heard a later than a heard b: a call, not a heartbeat, was the last.
		m.within(5*time.Second, "the link is lost to both", func() bool { return a.link("b").State != StateUp && b.link("a").State != StateUp })
		sent.want(wire.ConnectionLost, "")
		if code := unsent.wantAny(); code.Class() != wire.NotExecuted { // too large to be kept for another path
			t.Errorf("what did not leave is answered %s", code)
		}
		other.wantNone()
		m.within(2*time.Second, "b cancels what nobody waits for any more", func() bool { return len(pay.cancels) > 0 })
		pay.answer(f, wire.OK, "late")
		m.within(time.Second, "b has counted the answer that nobody gets", func() bool {
			return b.peers.Counters().Inbound.LostAnswers.Load() == 1
		})
	})
}

func TestWhoIsNotReachedIsTriedElsewhere(t *testing.T) {
	story(t, "a b c", func(m *mesh) {
		m.wantUp(time.Second)
		a, b := m.nodes["a"], m.nodes["b"]
		b.login("pay", "pay-1", "Move")
		a.wantKnown(time.Second, "pay", "pay-1")
		m.net.split("a", "b")
		m.within(4*time.Second, "a has lost b", func() bool { return !a.router.HasInstance("pay", "pay-1") })
		time.Sleep(1200 * time.Millisecond) // c says that it reaches b
		c := a.call("pay.Move")
		c.want(wire.NoRoute, "")
		if try := wantHeader(t, c.header).GetTry(); len(try) != 1 || try[0] != "c" {
			t.Errorf("try %q, want c", try)
		}
		m.net.split("c", "b")
		m.within(6*time.Second, "nobody reaches b", func() bool { return len(a.peers.Try([]string{"b"})) == 0 })
		if got := a.peers.Try([]string{"c", "b"}); len(got) != 1 || got[0] != "c" {
			t.Errorf("try %q for what c has", got)
		}
		if got := a.peers.Try([]string{"nobody"}); len(got) != 0 {
			t.Errorf("try %q for what nobody has", got)
		}
	})
}

// TestALateCallEndsByItself: its ingress is gone, and nobody sends CANCEL after it.
func TestACallThatRunsLateEnds(t *testing.T) {
	atB(t, func(m *mesh, a, b *node, pay *instance) {
		c := a.call("pay.LateOne", budget(200))
		f := pay.wantRequest()
		if f.BudgetMS == 0 {
			t.Error("no budget")
		}
		c.want(wire.Timeout, "")
		m.within(time.Second, "b has let it go", func() bool { return b.link("a").Incoming == 0 })
	})
}
