package rpcserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestServesOverTwoNodes(t *testing.T) {
	g := (*gate)(nil)
	twoNodes(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
		HandleRaw(s, "Wait", func(ctx context.Context, _ *Request) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}, func(t *testing.T, alpha, beta *node, s *running) {
		a, b := <-alpha.opened, <-beta.opened
		if a.login.GetInstanceUuid() != b.login.GetInstanceUuid() || b.login.GetStamp().GetN() != 1 || len(b.login.GetMethods()) != 2 {
			t.Errorf("the second login is %v after %v", b.login, a.login)
		}
		// Both nodes count from 1: the ids are the same, the requests are not.
		one, two := a.ask("Slow", "from alpha"), b.ask("Slow", "from beta")
		waitA, waitB := a.ask("Wait", ""), b.ask("Wait", "")
		<-g.started
		<-g.started
		synctest.Wait()
		waitA.cancel(wire.Cancelled)
		waitA.want(wire.AppError)
		synctest.Wait()
		if n := len(waitB.answer); n != 0 {
			t.Error("a CANCEL from alpha ended a request from beta")
		}
		close(g.open)
		one.wantBody("from alpha")
		two.wantBody("from beta")
		waitB.cancel(wire.Cancelled)
		waitB.want(wire.AppError)
		if a.stray+b.stray != 0 {
			t.Errorf("%d and %d answers came that nobody waits for", a.stray, b.stray)
		}
		// What changes is told to both.
		HandleRaw(s.Server, "More", g.handle)
		for _, l := range []*link{a, b} {
			var methods pb.Methods
			if f := <-l.control; f.Kind != wire.KindMethods || proto.Unmarshal(f.Header, &methods) != nil || len(methods.GetMethods()) != 3 {
				t.Errorf("a node was told %v %v", f.Kind, &methods)
			}
		}
	})
}

func TestOneOfTwoNodesIsLost(t *testing.T) {
	g := (*gate)(nil)
	twoNodes(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, alpha, beta *node, s *running) {
		a, b := <-alpha.opened, <-beta.opened
		a.ask("Slow", "runs, from alpha")
		<-g.started
		a.ask("Slow", "waits, from alpha")
		mine := b.ask("Slow", "from beta")
		synctest.Wait()
		alpha.mu.Lock()
		alpha.down = true
		alpha.mu.Unlock()
		a.conn.Close(errors.New("lost"))
		synctest.Wait()
		if stats := s.Stats(); stats.Dropped != 1 || stats.Waiting != 1 {
			t.Errorf("%+v, want what waited from alpha dropped, and beta's to wait", stats)
		}
		if !s.Ready() {
			t.Error("it is not ready, and calls reach it through beta")
		}
		// A call of its own goes over what is left.
		made, err := s.Client().Go(t.Context(), "stock.Take", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := <-b.calls
		close(g.open)
		mine.wantBody("from beta")
		b.send(frameconn.Answers, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, RPCID: 1})
		if err := made.Wait(); err != nil {
			t.Error(err)
		}
		if stats := s.Stats(); stats.AnswersLost != 1 {
			t.Errorf("%d answers were lost, want the one that ran for alpha", stats.AnswersLost)
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestStopDrainsBothNodes(t *testing.T) {
	g := (*gate)(nil)
	twoNodes(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, alpha, beta *node, s *running) {
		a, b := <-alpha.opened, <-beta.opened
		one, two := a.ask("Slow", "from alpha"), b.ask("Slow", "from beta")
		<-g.started
		<-g.started
		s.stopping()
		for _, l := range []*link{a, b} {
			if f := <-l.control; f.Kind != wire.KindGoaway {
				t.Errorf("a node got %v, want GOAWAY", f.Kind)
			}
		}
		crossed := b.ask("Slow", "crossed")
		time.Sleep(time.Second)
		close(g.open)
		one.wantBody("from alpha")
		two.wantBody("from beta")
		crossed.wantBody("crossed")
		<-a.gone
		<-b.gone
		if err := <-s.ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestReplacedOnOneOfTwoNodes(t *testing.T) {
	g := (*gate)(nil)
	twoNodes(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, alpha, beta *node, s *running) {
		a, b := <-alpha.opened, <-beta.opened
		one, two := a.ask("Slow", "from alpha"), b.ask("Slow", "from beta")
		<-g.started
		<-g.started
		b.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Replaced), Message: "somebody else"})
		if f := <-a.control; f.Kind != wire.KindGoaway {
			t.Errorf("alpha got %v, want GOAWAY", f.Kind)
		}
		close(g.open)
		one.wantBody("from alpha")
		two.wantBody("from beta")
		<-a.gone
		<-b.gone
		if err := <-s.ended; !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("Run returned %v", err)
		}
		if n := len(a.control); n != 0 {
			t.Errorf("alpha got %d frames more, want one GOAWAY", n)
		}
	})
}

func TestReadyWithTheFirstNode(t *testing.T) {
	twoNodes(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, alpha, beta *node, s *running) {
		beta.mu.Lock()
		beta.down = true
		beta.mu.Unlock()
		<-alpha.opened
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		states := s.States()
		if len(states) != 2 || states[0].Name != StateOpen || states[0].Node != "alpha" {
			t.Fatalf("states are %v", states)
		}
		if states[1].Name == StateOpen || states[1].LastError == nil || !s.Ready() {
			t.Errorf("states are %v, ready %v", states, s.Ready())
		}
		beta.mu.Lock()
		beta.down = false
		beta.mu.Unlock()
		<-beta.opened
	})
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		<-n.opened
		synctest.Wait()
		if states := s.States(); len(states) != 1 {
			t.Errorf("states are %v, want one", states)
		}
	}, func(o *Options) { o.Connections = 1 })
}
