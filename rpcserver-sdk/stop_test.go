package rpcserver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestStopFinishesWhatIsHere(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		runs := l.ask("Slow", "runs")
		<-g.started
		waits := l.ask("Slow", "waits")
		synctest.Wait()
		s.stopping()
		f := <-l.control
		var goaway pb.Goaway
		if err := proto.Unmarshal(f.Header, &goaway); f.Kind != wire.KindGoaway || err != nil || goaway.GetCode() != uint32(wire.Draining) {
			t.Errorf("the node got %v %v", f.Kind, &goaway)
		}
		crossed := l.ask("Slow", "crossed") // sent before the node had read the GOAWAY
		synctest.Wait()
		close(g.open)
		runs.wantBody("runs")
		waits.wantBody("waits")
		crossed.wantBody("crossed")
		if err := <-s.ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		<-l.gone
		if s.Ready() || n.links != 1 {
			t.Errorf("ready %v after %d sessions", s.Ready(), n.links)
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestStopCancelsWhatDoesNotEnd(t *testing.T) {
	var started chan struct{}
	story(t, func(s *Server) {
		started = make(chan struct{}, 16)
		HandleRaw(s, "Obedient", func(ctx context.Context, _ *Request) ([]byte, error) {
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		runs := l.ask("Obedient", "", budget(60_000))
		<-started
		waits := l.ask("Obedient", "", budget(60_000))
		synctest.Wait()
		from := time.Now()
		s.stopping()
		waits.want(wire.Draining)
		runs.want(wire.AppError)
		if waited := time.Since(from); waited != 3*time.Second {
			t.Errorf("the second phase came after %s, want 3 s", waited)
		}
		if err := <-s.ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}, func(o *Options) { o.Concurrency, o.DrainTimeout = 1, 3*time.Second })

	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Stubborn", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Stubborn", "", budget(60_000))
		<-g.started
		s.stopping()
		if err := <-s.ended; !errors.Is(err, ErrStillRunning) {
			t.Errorf("Run returned %v", err)
		}
		close(g.open)
	})
}

func TestReplacedEndsRun(t *testing.T) {
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Replaced), Message: "by another"})
		if err := <-s.ended; !errors.Is(err, ErrReplaced) || !errors.Is(err, CodeReplaced) {
			t.Errorf("Run returned %v", err)
		}
		if n.links != 1 {
			t.Errorf("it logged in %d times", n.links)
		}
	})
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		n.mu.Lock()
		n.refuse = &pb.Refuse{Code: uint32(wire.Replaced)}
		n.mu.Unlock()
		if err := <-s.ended; !errors.Is(err, ErrReplaced) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestNodeThatDrainsIsLeft(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		q := l.ask("Slow", "old")
		<-g.started
		l.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Draining)})
		next := <-n.opened
		if f := <-l.control; f.Kind != wire.KindGoaway {
			t.Errorf("the old node got %v, want a GOAWAY once there is another session", f.Kind)
		}
		crossed := l.ask("Slow", "crossed")
		close(g.open)
		q.wantBody("old")
		crossed.wantBody("crossed")
		next.ask("Slow", "new").wantBody("new")
		<-l.gone
	})
}

func TestNodeThatDrainsIsLeftWhenThereIsNoOther(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		q := l.ask("Slow", "old")
		<-g.started
		n.mu.Lock()
		n.down = true
		n.mu.Unlock()
		l.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Draining)})
		if f := <-l.control; f.Kind != wire.KindGoaway {
			t.Errorf("the node got %v", f.Kind)
		}
		close(g.open)
		q.wantBody("old")
		<-l.gone
	})
}

func TestRunIsCalledOnce(t *testing.T) {
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		<-n.opened
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run may be called twice")
		}
	})
	if err := New(Options{Module: "a b", Queue: -1}).Run(t.Context()); err == nil {
		t.Error("Run takes impossible options")
	}
	if err := New(Options{}).Client().Call(t.Context(), "a.b", nil, nil); err == nil {
		t.Error("a client of a server with impossible options calls")
	}
}

func TestStartAndStopManyTimes(t *testing.T) {
	for i := range 50 {
		story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
			if i%2 == 0 {
				l := <-n.opened
				for range i {
					l.ask("Say", "{}")
				}
			}
			s.stopping()
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReady(t *testing.T) {
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		if got := l.login.GetNeeds(); len(got) != 3 {
			t.Errorf("LOGIN needs %v", got)
		}
		ready := make(chan error, 1)
		go func() { ready <- s.WaitReady(t.Context()) }()
		answer := func(f wire.Frame, status wire.Code) {
			l.send(1, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Status: status})
		}
		asked := map[string]int{}
		for !s.Ready() {
			f := <-l.calls
			var h pb.RequestHeader
			if err := proto.Unmarshal(f.Header, &h); err != nil || h.GetMethod() != methodPing {
				t.Fatalf("the server calls %v, %v", &h, err)
			}
			asked[h.GetModule()]++
			if asked[h.GetModule()] < 3 {
				answer(f, wire.NoModule)
				continue
			}
			answer(f, wire.OK)
			synctest.Wait()
		}
		if err := <-ready; err != nil || asked["shop"] != 3 || asked["bank"] != 3 {
			t.Errorf("ready with %v after asking %v", err, asked)
		}
		n.mu.Lock()
		n.down = true
		n.mu.Unlock()
		l.conn.Close(nil)
		synctest.Wait()
		if s.Ready() {
			t.Error("ready without a session")
		}
	}, func(o *Options) { o.Needs = []string{"shop", "bank", "shop"} })
}

func TestCallsOfHandlersInheritTheRest(t *testing.T) {
	story(t, func(s *Server) {
		HandleRaw(s, "Ask", func(ctx context.Context, r *Request) ([]byte, error) {
			time.Sleep(200 * time.Millisecond)
			return s.Client().CallRaw(ctx, "shop.Buy", r.Body)
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		q := l.ask("Ask", "tea", budget(1000))
		f := <-l.calls
		if f.BudgetMS < 740 || f.BudgetMS > 750 || string(f.Body) != "tea" {
			t.Errorf("the call has %d ms and %q, want what is left of 800 ms less 50", f.BudgetMS, f.Body)
		}
		l.send(1, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Body: []byte("sold")})
		q.wantBody("sold")

		q = l.ask("Ask", "tea", budget(1000))
		f = <-l.calls
		q.cancel(wire.Cancelled)
		c := <-l.control
		if c.Kind != wire.KindCancel || c.CallID != f.CallID {
			t.Errorf("the node got %v, want the handler's own call cancelled", c.Kind)
		}
		l.send(1, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Status: wire.Cancelled})
		q.want(wire.AppError)
	})
}
