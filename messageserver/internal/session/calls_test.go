package session

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestACallGoesThereAndBack looks at what each side gets.
func TestACallGoesThereAndBack(t *testing.T) {
	story(t, func(n *node) {
		server := n.server("pay", "pay-1", "Move")
		web := n.connectFrom(testkit.PipeOptions{}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4711})
		web.write([]byte(wire.Preface))
		web.send(header(wire.KindLogin, loginOf("web", "web-1", pb.Role_ROLE_CALLER)))
		web.wantWelcome()
		call := request(1<<63|5, "pay.Move", func(r *wire.Request) { r.UserData = []byte("u") })
		call.BudgetMS, call.Attempt, call.Flags = 2000, 3, wire.FlagHigh
		web.send(call)
		got := server.wantRequest()
		if got.CallID == 0 || got.RPCID == 0 || got.Hops != 1 || got.Attempt != 3 || got.Flags != wire.FlagHigh || got.BudgetMS != 2000 ||
			!bytes.HasPrefix(got.Header, call.Header) || !bytes.Equal(got.Body, call.Body) {
			t.Errorf("the server got %+v", got)
		}
		var r wire.Request
		if err := r.Walk(got.Header, wire.ByNode); err != nil {
			t.Fatal(err)
		}
		s := r.Stamp
		if string(s.InvokerModule) != "web" || string(s.InvokerInstance) != "web-1" || string(s.InvokerIP) != "10.0.0.7" ||
			s.InvokerSession != web.welcome.GetSession() || s.InvokerCall != call.CallID || string(s.IngressNode) != "a" ||
			s.ReceivedAt != uint64(time.Now().UnixMicro()) || s.Target != server.welcome.GetSession() {
			t.Errorf("stamp %+v", s)
		}
		server.send(wire.Frame{Kind: wire.KindResponse, CallID: got.CallID, Status: wire.AppError, Header: []byte{0x0a, 1, 'e'}, Body: []byte("no")})
		a := web.wantAnswer(call.CallID, wire.AppError)
		if a.RPCID != got.RPCID || a.Hops != 1 || string(a.Header) != "\x0a\x01e" || string(a.Body) != "no" {
			t.Errorf("the caller got %+v", a)
		}
	})
}

func TestOneWay(t *testing.T) {
	story(t, func(n *node) {
		server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
		call := request(0, "pay.Move")
		call.Flags = wire.FlagOneWay
		web.send(call)
		got := server.wantRequest()
		if got.CallID != 0 || got.Flags != wire.FlagOneWay {
			t.Errorf("the server got %s", describe(got))
		}
		server.send(wire.Frame{Kind: wire.KindResponse}) // nobody asked
		web.wantSilence()
		if late := n.sessions.Counters().LateAnswers.Load(); late != 1 {
			t.Errorf("%d late answers", late)
		}
	})
}

// TestAnswersOfOthersFindNothing has one server answer what another one was asked.
func TestAnswersOfOthersFindNothing(t *testing.T) {
	story(t, func(n *node) {
		server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
		thief := n.server("thief", "thief-1", "Move")
		web.send(request(1, "pay.Move"))
		got := server.wantRequest()
		thief.answer(got, wire.OK, "forged")
		thief.answer(wire.Frame{CallID: 1}, wire.OK, "forged")
		web.wantSilence()
		server.answer(got, wire.OK, "true")
		server.answer(got, wire.OK, "twice")
		if a := web.wantAnswer(1, wire.OK); string(a.Body) != "true" {
			t.Errorf("answer %q", a.Body)
		}
		web.wantSilence()
		if late := n.sessions.Counters().LateAnswers.Load(); late != 3 {
			t.Errorf("%d late answers, want 3", late)
		}
	})
}

// TestLosingAnInstance loses one that has got one request whole and others not.
func TestLosingAnInstance(t *testing.T) {
	story(t, func(n *node) {
		stuck := n.serverOver(testkit.PipeOptions{Buffer: 4 << 10}, "pay", "pay-1", "Move")
		web := n.caller("web")
		for id := range uint64(8) {
			call := request(id+1, "pay.Move")
			call.Body = make([]byte, 3000)
			web.send(call)
		}
		web.wantSilence()
		other := n.server("pay", "pay-2", "Move")
		stuck.leave()
		for range 7 {
			other.answer(other.wantRequest(), wire.OK, "rerouted")
		}
		var rerouted []uint64
		for range 8 {
			a := web.want(wire.KindResponse)
			switch {
			case a.CallID == 1 && a.Status == wire.ConnectionLost:
				if h := web.responseHeader(a); len(h.GetUnknown()) != 1 || h.GetUnknown()[0].GetInstance() != "pay-1" {
					t.Errorf("the answer %v does not name who had the call", h)
				}
			case a.Status == wire.OK && string(a.Body) == "rerouted":
				rerouted = append(rerouted, a.CallID)
			default:
				t.Errorf("got %s", describe(a))
			}
		}
		if slices.Sort(rerouted); !slices.Equal(rerouted, []uint64{2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("rerouted are %v, want all but the first, which was sent", rerouted)
		}
	})
}

// TestTheCallsOfASessionThatEnds are cancelled, because nobody waits for them.
func TestTheCallsOfASessionThatEnds(t *testing.T) {
	story(t, func(n *node) {
		server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
		web.send(request(1, "pay.Move"), request(2, "pay.Move"))
		one := server.wantRequest()
		server.wantRequest()
		known := n.router.OpenCaller("web")
		n.router.CloseCaller(known)
		web.leave()
		if n.router.OpenCaller("web") == known {
			t.Error("the module still counts as one that calls")
		}
		server.wantCode(wire.KindCancel, wire.Cancelled)
		server.wantCode(wire.KindCancel, wire.Cancelled)
		server.answer(one, wire.OK, "for nobody")
		synctest.Wait()
		time.Sleep(200 * time.Millisecond)
		if lost := n.sessions.Counters().LostAnswers.Load(); lost != 2 {
			t.Errorf("%d lost answers, want 2", lost)
		}
		if calls, _ := n.router.InFlight(); calls != 0 {
			t.Errorf("%d calls are in flight", calls)
		}
		n.wantAlive()
	})
}

func TestACallerThatFloods(t *testing.T) {
	story(t, func(n *node) {
		server, web, other := n.server("pay", "pay-1", "Move"), n.caller("web"), n.caller("other")
		const most = 1024
		for id := range uint64(most + 10) {
			web.send(request(id+1, "pay.Move"))
		}
		for id := range uint64(10) {
			web.wantAnswer(most+id+1, wire.Overloaded)
		}
		other.send(request(1, "pay.Move"))
		first := server.wantRequest()
		for range most - 1 {
			server.wantRequest()
		}
		server.answer(server.wantRequest(), wire.OK, "")
		other.wantAnswer(1, wire.OK)
		server.answer(first, wire.OK, "")
		web.wantAnswer(1, wire.OK)
		web.send(request(5000, "pay.Move")) // one place is free again
		server.answer(server.wantRequest(), wire.OK, "")
		web.wantAnswer(5000, wire.OK)
		n.wantConsistent()
	})
}
