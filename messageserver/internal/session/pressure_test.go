package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestACallerThatDoesNotRead is not read either, and closed after 5 s; at once where its answers do not fit.
func TestACallerThatDoesNotRead(t *testing.T) {
	small := func(o *Options) { o.CallerQueue = 256 << 10 }
	for _, c := range []struct {
		name    string
		answers int // of 10 KiB
		closed  time.Duration
	}{
		{"over three quarters", 21, 5 * time.Second},
		{"over all of it", 40, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			story(t, func(n *node) {
				server, other := n.server("pay", "pay-1", "Move", "Other"), n.caller("other")
				deaf := n.login(loginOf("web", "web-1", pb.Role_ROLE_CALLER), testkit.PipeOptions{Buffer: 4 << 10})
				for id := range uint64(c.answers) {
					deaf.send(request(id+1, "pay.Move"))
				}
				var got []wire.Frame
				for range c.answers {
					got = append(got, server.wantRequest())
				}
				for _, r := range got {
					server.answer(r, wire.OK, string(make([]byte, 10<<10)))
				}
				synctest.Wait()
				start := time.Now()
				deaf.send(request(99, "pay.Move"))
				synctest.Wait()
				deaf.send(request(100, "pay.Move"))
				other.send(request(1, "pay.Other"))
				for moves := 0; ; moves++ {
					f, err := server.next()
					if err != nil || moves > 1 {
						t.Fatalf("%v after %d requests of who does not read, want one at most", err, moves)
					}
					if f.Kind == wire.KindCancel { // of who is gone by now
						moves--
						continue
					}
					server.answer(f, wire.OK, "")
					if string(f.Body) == "pay.Other" {
						break
					}
				}
				other.wantAnswer(1, wire.OK)
				for n.sessions.Counters().Slow.Load() == 0 && time.Since(start) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				if took := time.Since(start); took < c.closed || took > c.closed+600*time.Millisecond {
					t.Errorf("closed after %v, want %v", took, c.closed)
				}
				n.wantAlive()
			}, small)
		})
	}
}

// TestAServerThatDoesNotRead gets no more once its queue is old: others get it, and where there is none the caller hears
// OVERLOADED at once.
func TestAServerThatDoesNotRead(t *testing.T) {
	story(t, func(n *node) {
		n.serverOver(testkit.PipeOptions{Buffer: 4 << 10}, "pay", "pay-1", "Move")
		web := n.caller("web")
		fill := request(1, "pay.Move")
		fill.Body = make([]byte, 8<<10)
		web.send(fill, request(2, "pay.Move"))
		synctest.Wait()
		time.Sleep(1100 * time.Millisecond)
		start := time.Now()
		web.send(request(3, "pay.Move"))
		web.wantAnswer(3, wire.Overloaded)
		if took := time.Since(start); took != 0 {
			t.Errorf("refused after %v", took)
		}
		other := n.server("pay", "pay-2", "Move")
		for id := range uint64(4) {
			web.send(request(id+10, "pay.Move"))
			other.answer(other.wantRequest(), wire.OK, "")
			web.wantAnswer(id+10, wire.OK)
		}
		// It is closed after 5 s, and what it had not been sent goes to the other.
		for range 2 {
			other.answer(other.wantRequest(), wire.OK, "")
			if a := web.want(wire.KindResponse); a.Status != wire.OK || a.CallID > 2 {
				t.Errorf("got %s", describe(a))
			}
		}
		if slow := n.sessions.Counters().Slow.Load(); slow != 1 {
			t.Errorf("%d closed for not reading", slow)
		}
	})
}

// TestAServersAnswersAreNeverWaitedWith has a module of role both not read the answers to its own calls.
func TestAServersAnswersAreNeverWaitedWith(t *testing.T) {
	story(t, func(n *node) {
		both := n.serverOver(testkit.PipeOptions{Buffer: 4 << 10}, "pay", "pay-1", "Move")
		server, web := n.server("ledger", "ledger-1", "Move"), n.caller("web")
		web.send(request(1, "pay.Move"))
		mine := both.wantRequest()
		for id := range uint64(40) {
			both.send(request(id+1, "ledger.Move"))
			server.answer(server.wantRequest(), wire.OK, string(make([]byte, 10<<10)))
		}
		synctest.Wait()
		both.answer(mine, wire.OK, "still read")
		web.wantAnswer(1, wire.OK)
		if lost := n.sessions.Counters().LostAnswers.Load(); lost == 0 {
			t.Error("no answer is counted as lost")
		}
	}, func(o *Options) { o.ServerQueue = 256 << 10 })
}

func TestKeepalive(t *testing.T) {
	login := loginOf("web", "web-1", pb.Role_ROLE_CALLER)
	login.Lifetime = pb.Lifetime_LIFETIME_LONG
	story(t, func(n *node) {
		m := n.login(login, testkit.PipeOptions{})
		start := time.Now()
		ping := m.want(wire.KindPing)
		wantAbout(t, time.Since(start), 5*time.Second)
		m.send(wire.Frame{Kind: wire.KindPong, CallID: ping.CallID})
		m.want(wire.KindPing)
		m.want(wire.KindPing)
		m.wantEnd()
		wantAbout(t, time.Since(start), 17*time.Second)
	})
}
