package caller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestGoaway(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha, beta := m.node("alpha", "alpha:1"), m.node("beta", "beta:1")
		var log []string
		alice := m.client("alpha:1", func(o *Options) {
			o.OnConnect = func(c Connection) { log = append(log, "+"+c.Node) }
			o.OnDisconnect = func(c Connection, cause error) { log = append(log, "-"+c.Node) }
		})
		p := <-alpha.opened
		old := alice.ask(t.Context(), "old")
		f := <-p.requests
		from := time.Now()
		p.goaway(wire.Draining, &pb.Node{Name: "alpha", Address: "alpha:1"}, &pb.Node{Name: "beta", Address: "beta:1"})
		q := <-beta.opened
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the next session took %s", waited)
		}
		fresh := alice.ask(t.Context(), "fresh")
		g := <-q.requests
		q.reply(&g, wire.OK, nil, "from beta")
		fresh.wantReply(t, "from beta")
		select {
		case <-p.gone:
			t.Fatal("the session is closed while a call is in flight on it")
		default:
		}
		q.reply(&f, wire.OK, nil, "not beta's to answer")
		synctest.Wait()
		if n := alice.Stats().Late; n != 1 {
			t.Errorf("%d answers are counted as late, want the one from the wrong session", n)
		}
		p.reply(&f, wire.OK, nil, "from alpha")
		old.wantReply(t, "from alpha")
		<-p.gone
		synctest.Wait()
		if want := []string{"+alpha", "+beta", "-alpha"}; !slices.Equal(log, want) {
			t.Errorf("hooks heard %v, want %v", log, want)
		}
		if s := alice.States()[0]; s.Name != StateOpen || s.Node != "beta" || s.LastError == nil {
			t.Errorf("state is %v", s)
		}
	})
}

func TestReconnectBacksOff(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alice := m.client("a:1,b:1,c:1")
		time.Sleep(10 * time.Minute)
		m.mu.Lock()
		dials := slices.Clone(m.dials)
		m.mu.Unlock()
		for i, address := range dials {
			if i > 0 && address == dials[i-1] {
				t.Errorf("dial %d went to %s again", i, address)
			}
		}
		// Beyond the first few, one round of three takes 15 s on average.
		if n := len(dials); n < 3*20 || n > 3*90 {
			t.Errorf("%d dials in 10 minutes", n)
		}
		if s := alice.States()[0]; s.Name != StateWaiting || s.LastError == nil {
			t.Errorf("state is %v", s)
		}
	})
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.refuse = &pb.Refuse{Code: uint32(wire.Overloaded), RetryAfterMs: 60_000} })
		m.client("alpha:1")
		time.Sleep(170 * time.Second)
		m.mu.Lock()
		defer m.mu.Unlock()
		if n := len(m.dials); n != 3 {
			t.Errorf("%d dials in 170 s with retry_after of a minute, want 3", n)
		}
	})
}

func TestRefusedLogin(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.refuse = &pb.Refuse{Code: uint32(wire.Denied), Message: "not from here"} })
		alice := m.client("alpha:1")
		a := alice.ask(t.Context(), "one", Timeout(time.Minute))
		from := time.Now()
		e := a.wantError(t, NotExecuted, CodeDenied)
		if !strings.Contains(e.Error(), "not from here") || time.Since(from) != 0 {
			t.Errorf("%v after %s", e, time.Since(from))
		}
		wantError(t, alice.Call(t.Context(), "shop.Buy", nil, nil), NotExecuted, CodeDenied)
		alpha.set(func() { alpha.refuse = nil })
		p := <-alpha.opened // it keeps trying
		if waited := time.Since(from); waited < refusedMin {
			t.Errorf("the next try came after %s", waited)
		}
		synctest.Wait()
		b := alice.ask(t.Context(), "two")
		f := <-p.requests
		p.reply(&f, wire.OK, nil, "done")
		b.wantReply(t, "done")
	})
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		last := alice.ask(t.Context(), "last")
		f := <-p.requests
		p.goaway(wire.Replaced)
		<-alice.Replaced()
		synctest.Wait()
		wantError(t, alice.Call(t.Context(), "shop.Buy", nil, nil), NotExecuted, CodeReplaced)
		p.reply(&f, wire.OK, nil, "done")
		last.wantReply(t, "done")
		time.Sleep(10 * time.Minute)
		if len(m.dials) != 1 || alice.States()[0].Name != StateReplaced {
			t.Errorf("%d dials, state %v: a client that was replaced tries again", len(m.dials), alice.States()[0])
		}
	})
}

func TestRefusedAsReplaced(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.refuse = &pb.Refuse{Code: uint32(wire.Replaced)} })
		alice := m.client("alpha:1")
		<-alice.Replaced()
		time.Sleep(10 * time.Minute)
		wantError(t, alice.Call(t.Context(), "shop.Buy", nil, nil), NotExecuted, CodeReplaced)
		if len(m.dials) != 1 || alice.States()[0].Name != StateReplaced {
			t.Errorf("%d dials, state %v", len(m.dials), alice.States()[0])
		}
	})
}

// A call that has its place on a session, and that its goroutine has not sent yet when the session is lost, is unsent.
func TestLossWaitsForWhoIsSending(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		synctest.Wait()
		cl := alice.newCall()
		cl.name, cl.deadline = "shop.Buy", alice.clock.Now()+time.Minute
		if err := cl.encode(&alice.names, ""); err != nil {
			t.Fatal(err)
		}
		alice.mu.Lock()
		s, err := alice.placeNewLocked(cl, alice.clock.Now())
		alice.mu.Unlock()
		if s == nil || err != nil {
			t.Fatalf("the call has no place: %v", err)
		}
		p.kill()
		synctest.Wait()
		if len(cl.done) != 0 {
			t.Fatal("the call has ended, and may have been about to be sent")
		}
		f := cl.frame(alice.clock.Now())
		_, sendErr := s.conn.Send(frameconn.Requests, &f, false)
		s.sending.Done()
		if err := alice.refused(cl, s, sendErr); sendErr == nil || err != nil {
			t.Fatalf("a lost connection takes a call: %v, %v", sendErr, err)
		}
		p = <-alpha.opened
		g := <-p.requests
		p.reply(&g, wire.OK, nil, "")
		<-cl.done
		if cl.err != nil {
			t.Errorf("the call ends %v", cl.err)
		}
	})
}

func TestNodeThatFallsSilentIsLeft(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		unplug := make(chan struct{})
		defer close(unplug)
		alpha.answer = func(*peer, *wire.Frame) { <-unplug } // its reader hangs: not even a PONG comes
		alice := m.client("alpha:1")
		<-alpha.opened
		if err := alice.OneWay(t.Context(), "shop.Note", nil); err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		<-alpha.opened
		if waited := time.Since(from); waited < deadAfter || waited > deadAfter+time.Second {
			t.Errorf("the node was left after %s, want 12 s", waited)
		}
	})
}

func TestBreachOfTheProtocolClosesTheConnection(t *testing.T) {
	for name, f := range map[string]wire.Frame{
		"status":  {Kind: wire.KindResponse, CallID: 1, Status: 200},
		"request": {Kind: wire.KindRequest, CallID: 1},
		"login":   {Kind: wire.KindLogin},
		"welcome": {Kind: wire.KindWelcome},
		"unknown": {Kind: 99},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, m *mesh) {
				alpha := m.node("alpha", "alpha:1")
				m.client("alpha:1")
				p := <-alpha.opened
				synctest.Wait()
				skipped := wire.Frame{Kind: 200}
				p.send(0, &skipped)
				synctest.Wait()
				p.send(0, &f)
				farewell := <-p.control
				var g pb.Goaway
				if farewell.Kind != wire.KindGoaway || unmarshal(farewell.Header, &g) != nil || g.GetCode() != uint32(wire.BadRequest) {
					t.Errorf("the node got %v %v", farewell.Kind, &g)
				}
				<-p.gone
				<-alpha.opened
			})
		})
	}
}

func TestClose(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		sent := alice.ask(t.Context(), "sent")
		f := <-p.requests
		if err := alice.OneWay(t.Context(), "shop.Note", []byte("last words")); err != nil {
			t.Fatal(err)
		}
		alice.Close()
		alice.Close()
		e := sent.wantError(t, Unknown, CodeCancelledRunning)
		if want := "shop.Buy: CANCELLED_RUNNING (UNKNOWN: it may have run): the client is closed"; !errors.Is(e, ErrClosed) || e.Error() != want {
			t.Errorf("error is %q, want %q", e, want)
		}
		if g := <-p.requests; string(g.Body) != "last words" {
			t.Errorf("the node got %q", g.Body)
		}
		if c := <-p.cancels; c.CallID != f.CallID {
			t.Errorf("the node got CANCEL %+v", c)
		}
		err := alice.Call(t.Context(), "shop.Buy", nil, nil)
		wantError(t, err, NotExecuted, CodeCancelled)
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%v is not ErrClosed", err)
		}
		if s := alice.States()[0].Name; s != StateClosed {
			t.Errorf("state is %v", s)
		}
	})
	story(t, func(t *testing.T, m *mesh) {
		alice := m.client("nowhere:1")
		a := alice.ask(t.Context(), "one")
		synctest.Wait()
		alice.Close()
		a.wantError(t, NotExecuted, CodeCancelled)
	})
}

func TestBoundsOfTheNode(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.limits = &pb.Limits{MaxInFlight: 3, MaxMessage: 1000}
		alpha.set(func() { alpha.down = true })
		alice := m.client("alpha:1")
		var waiting []*Pending
		for range 5 { // before the node has said how many it takes
			waiting = append(waiting, alice.Go(t.Context(), "shop.Buy", nil, nil, Timeout(time.Minute)))
		}
		alpha.set(func() { alpha.down = false })
		p := <-alpha.opened
		synctest.Wait()
		if n := len(p.requests); n != 3 {
			t.Fatalf("%d calls came, the node takes 3", n)
		}
		for range waiting {
			f := <-p.requests
			p.reply(&f, wire.OK, nil, "")
		}
		for _, w := range waiting {
			if err := w.Wait(); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		for range 3 {
			alice.Go(t.Context(), "shop.Buy", nil, nil)
		}
		wantError(t, alice.Call(t.Context(), "shop.Buy", nil, nil), NotExecuted, CodeOverloaded)
		wantError(t, alice.OneWay(t.Context(), "shop.Buy", make([]byte, 1000)), NotExecuted, CodeTooLarge)
		if err := alice.OneWay(t.Context(), "shop.Buy", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestStateBeforeAndAfter(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		slow := make(chan struct{})
		alice := m.client("alpha:1", func(o *Options) {
			o.Dial = func(ctx context.Context, address string) (c netConn, err error) {
				<-slow
				return m.dial(ctx, address)
			}
		})
		synctest.Wait()
		if s := alice.States()[0]; s.Name != StateConnecting || s.Address != "alpha:1" {
			t.Errorf("state is %v", s)
		}
		close(slow)
		p := <-alpha.opened
		synctest.Wait()
		if s := alice.States()[0]; s.Name != StateOpen || s.Node != "alpha" || s.Session != p.number<<8|'a' || s.LastError != nil {
			t.Errorf("state is %v", s)
		}
		if s := fmt.Sprint(alice.States()[0]); !strings.HasPrefix(s, "open since ") || !strings.HasSuffix(s, "alpha:1, node alpha") {
			t.Errorf("state reads %q", s)
		}
		if err := alice.WaitOpen(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
