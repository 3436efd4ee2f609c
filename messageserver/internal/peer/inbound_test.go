package peer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// crossing is a request of a for a session of b.
func crossing(id, target uint64, edits ...func(*wire.Frame, *wire.Request)) wire.Frame {
	r := wire.Request{Module: []byte("pay"), Method: []byte("Move")}
	f := wire.Frame{Kind: wire.KindRequest, CallID: id, Hops: 1, BudgetMS: 1000, RPCID: 1000 + id, Body: []byte("question")}
	for _, edit := range edits {
		edit(&f, &r)
	}
	f.Header = wire.AppendCallStamp(wire.AppendInvoker(r.Append(nil), "web", "web-1", "10.0.0.1", "a", 99), id, 1, target)
	return f
}

// visited plays with b, a session at it, and a, whose part is the test's and whose link is up.
func visited(t *testing.T, play func(m *mesh, b *node, pay *instance, s *stranger), edits ...func(*Options)) {
	t.Helper()
	alone(t, "b", func(m *mesh, b *node) {
		pay := b.login("pay", "pay-1", "Move")
		s := b.visit("a")
		s.knock(m.helloOf("a"), "")
		s.wantIn()
		s.beat(1 << 50)
		synctest.Wait()
		b.wantState("a", StateUp)
		play(m, b, pay, s)
	}, edits...)
}

// wantAnswer wants the answer to a request.
func (s *stranger) wantAnswer(id uint64, code wire.Code, words string) {
	s.t.Helper()
	f := s.want(wire.KindResponse)
	h := &pb.ResponseHeader{}
	if err := proto.Unmarshal(f.Header, h); err != nil {
		s.t.Fatal(err)
	}
	if f.CallID != id || f.RPCID != 1000+id || f.Hops != 1 || f.Status != code || !strings.Contains(h.GetMessage(), words) {
		s.t.Fatalf("call %d (rpc %d, %d hops) is answered %s (%s), want %d %s (%s)", f.CallID, f.RPCID, f.Hops, f.Status, h.GetMessage(), id, code, words)
	}
	if words != "" && (h.GetNode() != "b" || h.GetHop() != 2) {
		s.t.Fatalf("refused by %q at hop %d, want b at hop 2", h.GetNode(), h.GetHop())
	}
}

// TestWhatTheOwnerFinds follows the table in PROTOCOL.md, "Calls between nodes".
func TestWhatTheOwnerFinds(t *testing.T) {
	type edit = func(*wire.Frame, *wire.Request)
	for _, c := range []struct {
		name  string
		edit  edit
		code  wire.Code
		words string
	}{
		{"it has crossed two nodes", func(f *wire.Frame, _ *wire.Request) { f.Hops = 2 }, wire.BadRequest, "crossed 2 nodes"},
		{"it has crossed none", func(f *wire.Frame, _ *wire.Request) { f.Hops = 0 }, wire.BadRequest, "crossed 0 nodes"},
		{"another module", func(_ *wire.Frame, r *wire.Request) { r.Module = []byte("other") }, wire.StaleRoute, "another instance"},
		{"another instance", func(_ *wire.Frame, r *wire.Request) { r.Instance = []byte("pay-2") }, wire.StaleRoute, "another instance"},
		{"another group", func(_ *wire.Frame, r *wire.Request) { r.Group = []byte("g") }, wire.StaleRoute, "another instance"},
		{"no such method", func(_ *wire.Frame, r *wire.Request) { r.Method = []byte("Nope") }, wire.Unimplemented, "does not have the method"},
		{"a question for another node", func(_ *wire.Frame, r *wire.Request) { r.Module, r.Instance = []byte("_node"), []byte("z") }, wire.StaleRoute, "for another node"},
		{"an unknown question", func(_ *wire.Frame, r *wire.Request) { r.Module, r.Instance = []byte("_node"), []byte("b") }, wire.Unimplemented, "no such method"},
	} {
		t.Run(c.name, func(t *testing.T) {
			visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
				s.send(crossing(7, pay.reg.Session, c.edit))
				s.wantAnswer(7, c.code, c.words)
				s.send(crossing(0, pay.reg.Session, c.edit, func(f *wire.Frame, _ *wire.Request) { f.Flags = wire.FlagOneWay }))
				synctest.Wait()
				if f, err := s.nextBut(time.Millisecond); err == nil {
					t.Errorf("a one-way call is answered: %s", f.Kind)
				}
				transit := &b.router.Counters().Transit
				if counted := b.peers.Counters().Inbound.Refused.Load() + transit.OneWayRefused[c.code].Load(); counted == 0 {
					t.Error("it is not counted")
				}
				pay.wantNone()
				s.send(crossing(8, pay.reg.Session))
				pay.answer(pay.wantRequest(), wire.OK, "yes")
				s.wantAnswer(8, wire.OK, "")
			})
		})
	}
}

func TestWhatBecomesOfTheSession(t *testing.T) {
	visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
		s.send(crossing(1, 12345))
		s.wantAnswer(1, wire.StaleRoute, "not registered")
		for i := range uint64(100) {
			s.send(crossing(100+i, pay.reg.Session))
		}
		s.send(crossing(2, pay.reg.Session)) // its queue is full
		s.wantAnswer(2, wire.Overloaded, "full")
		pay.logout()
		for range 100 {
			if f := s.want(wire.KindResponse); f.Status != wire.ConnectionLost {
				t.Fatalf("call %d: %s", f.CallID, f.Status)
			}
		}
		s.send(crossing(4, pay.reg.Session))
		s.wantAnswer(4, wire.StaleRoute, "not registered")
	})
}

// TestACallIDIsUsedOnceAtATime: an answer would be taken for the other's.
func TestACallIDIsUsedOnceAtATime(t *testing.T) {
	for name, second := range map[string]func(*wire.Frame, *wire.Request){
		"for another call":        func(*wire.Frame, *wire.Request) {},
		"for what is refused":     func(f *wire.Frame, _ *wire.Request) { f.Hops = 2 },
		"for a question":          func(_ *wire.Frame, r *wire.Request) { r.Module, r.Instance = []byte("_node"), []byte("b") },
		"for a question, refused": func(_ *wire.Frame, r *wire.Request) { r.Module, r.Instance = []byte("_node"), []byte("z") },
	} {
		t.Run(name, func(t *testing.T) {
			visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
				s.send(crossing(7, pay.reg.Session), crossing(7, pay.reg.Session, second))
				s.want(wire.KindGoodbye)
				s.wantEnd()
				s.leave()
				if l := b.link("a"); l.State != StateDown || !strings.Contains(l.Cause, "call_id 7") {
					t.Errorf("the link is %s: %s", l.State, l.Cause)
				}
			})
		})
	}
}

func TestABrokenHeaderEndsTheLink(t *testing.T) {
	visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
		f := crossing(7, pay.reg.Session)
		f.Header = f.Header[:len(f.Header)-1]
		s.send(f)
		s.want(wire.KindGoodbye)
		s.wantEnd()
		pay.wantNone()
		if b.router.Local().InFlight() != 0 {
			t.Error("a call is left")
		}
	})
}

func TestABrokenAnswerEndsTheLink(t *testing.T) {
	for _, v := range vectors[struct {
		Name   string `json:"name"`
		Header string `json:"header"`
		Code   string `json:"code"`
	}](t, "peer_answers.json") {
		t.Run(v.Name, func(t *testing.T) {
			visited(t, func(m *mesh, b *node, _ *instance, s *stranger) {
				b.router.Announce("a", []router.Change{{Session: 5, Registration: func() *router.Registration {
					r := registration(5, "a")
					r.Module = "far"
					return r
				}()}})
				c := b.call("far.Move")
				f := s.want(wire.KindRequest)
				s.send(wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Hops: 1, Status: wire.AppError, Header: unhex(t, v.Header)})
				if v.Code == "OK" {
					c.want(wire.AppError, "")
				} else {
					c.want(wire.ConnectionLost, "")
					s.want(wire.KindGoodbye)
				}
				b.router.Announce("a", []router.Change{{Session: 5}})
			})
		})
	}
}

// TestAStaleRouteIsAReasonToAsk: P8. Not more often than once a second.
func TestAStaleRouteIsAReasonToAsk(t *testing.T) {
	visited(t, func(_ *mesh, b *node, _ *instance, s *stranger) {
		reg := registration(5, "a")
		reg.Module = "far"
		b.router.Announce("a", []router.Change{{Session: 5, Registration: reg}})
		for range 3 {
			c := b.call("far.Move")
			f := s.want(wire.KindRequest)
			s.send(wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Hops: 1, Status: wire.StaleRoute})
			c.want(wire.NoInstance, "")
		}
		time.Sleep(20 * time.Millisecond)
		if got := b.link("a").Registry.ResyncsSent; got != 1 {
			t.Errorf("asked %d times, want once", got)
		}
		b.router.Announce("a", []router.Change{{Session: 5}})
	})
}

func TestAnswersAndCancelsThatNobodyWaitsFor(t *testing.T) {
	visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
		s.send(wire.Frame{Kind: wire.KindResponse, CallID: 99, Hops: 1}, wire.Frame{Kind: wire.KindCancel, CallID: 99, Status: wire.Expired})
		synctest.Wait()
		if late, unknown := b.peers.Counters().LateAnswers.Load(), b.peers.Counters().Inbound.UnknownCancels.Load(); late != 1 || unknown != 1 {
			t.Errorf("%d late answers and %d unknown cancels are counted", late, unknown)
		}
		b.wantState("a", StateUp)
		s.send(crossing(7, pay.reg.Session), wire.Frame{Kind: wire.KindCancel, CallID: 7, Status: wire.Expired})
		f := pay.wantRequest()
		if id := <-pay.cancels; id != f.CallID {
			t.Errorf("call %d is cancelled, want %d", id, f.CallID)
		}
		pay.answer(f, wire.Expired, "")
		s.wantAnswer(7, wire.Expired, "")
	})
}

// TestAPeerSpeaksForItselfOnly: P1. What a says of its sessions is a's, whatever it claims; what it says in a form that cannot be
// ends its link.
func TestAPeerSpeaksForItselfOnly(t *testing.T) {
	visited(t, func(_ *mesh, b *node, pay *instance, s *stranger) {
		s.send(frameOf(wire.KindSnapshot, &pb.Snapshot{
			Incarnation: 1 << 50, Version: 1, Last: true, Count: 1, Digest: make([]byte, 16),
			Entries: []*pb.Entry{{Session: pay.reg.Session, Module: "_node", Instance: "b", InstanceUuid: "u", Stamp: &pb.Stamp{N: 1, Node: "b"}}},
		}))
		s.want(wire.KindGoodbye)
		s.wantEnd()
		if !b.router.HasInstance("pay", "pay-1") || b.router.HasInstance("_node", "b") {
			t.Error("the table has changed")
		}
		s.leave()
		if l := b.link("a"); l.Entries != 0 || l.Version != 0 {
			t.Errorf("%+v", l)
		}
	})
}
