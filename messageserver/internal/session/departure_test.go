package session

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// process is a login of another process of the same name.
func process(uuid string, role pb.Role) *pb.Login {
	l := loginOf("pay", "pay-1", role, "Move")
	l.InstanceUuid = uuid
	return l
}

func TestTheNewerProcessTakesTheName(t *testing.T) {
	story(t, func(n *node) {
		ledger, web := n.server("ledger", "ledger-1", "Move"), n.caller("web")
		old := n.login(process("old", pb.Role_ROLE_BOTH), testkit.PipeOptions{})
		old.ready()
		web.send(request(1, "pay.Move"), request(2, "pay.Move"))
		one := old.wantRequest()
		old.wantRequest()
		old.send(request(1, "ledger.Move"))
		mine := ledger.wantRequest()
		fresh := n.login(process("fresh", pb.Role_ROLE_BOTH), testkit.PipeOptions{})
		fresh.ready()
		start := time.Now()
		old.wantCode(wire.KindGoaway, wire.Replaced)
		// What is in flight goes on, in both directions; nothing new does.
		old.answer(one, wire.OK, "")
		web.wantAnswer(1, wire.OK)
		ledger.answer(mine, wire.OK, "")
		old.wantAnswer(1, wire.OK)
		old.send(request(2, "ledger.Move"))
		old.wantAnswer(2, wire.Draining)
		web.send(request(3, "pay.Move"))
		fresh.answer(fresh.wantRequest(), wire.OK, "")
		web.wantAnswer(3, wire.OK)
		// And who does not go is closed.
		old.wantCode(wire.KindCancel, wire.Expired)
		web.wantAnswer(2, wire.Timeout)
		old.wantEnd()
		wantAbout(t, time.Since(start), 30*time.Second)
		web.send(request(4, "pay.Move"))
		fresh.answer(fresh.wantRequest(), wire.OK, "")
		web.wantAnswer(4, wire.OK)
	})
}

func TestAnOlderProcessThatComesBackIsReplaced(t *testing.T) {
	story(t, func(n *node) {
		old := n.login(process("old", pb.Role_ROLE_SERVER), testkit.PipeOptions{})
		stamp := old.welcome.GetStamp()
		old.leave()
		fresh := n.login(process("fresh", pb.Role_ROLE_SERVER), testkit.PipeOptions{})
		fresh.ready()
		back := process("old", pb.Role_ROLE_SERVER)
		back.Stamp = stamp
		again := n.login(back, testkit.PipeOptions{})
		again.ready()
		again.wantCode(wire.KindGoaway, wire.Replaced)
		again.send(header(wire.KindMethods, &pb.Methods{Methods: []*pb.Method{{Name: "Other"}}})) // too late
		web := n.caller("web")
		web.send(request(1, "pay.Move"))
		fresh.answer(fresh.wantRequest(), wire.OK, "")
		web.wantAnswer(1, wire.OK)
		again.leave()
		web.send(request(2, "pay.Move"))
		fresh.answer(fresh.wantRequest(), wire.OK, "")
		web.wantAnswer(2, wire.OK)
	})
}

// TestANameThatProcessesTakeFromEachOtherIsHeldDown refuses who logs in with it, says why and for how long, and is over by itself.
func TestANameThatProcessesTakeFromEachOtherIsHeldDown(t *testing.T) {
	story(t, func(n *node) {
		web := n.caller("web")
		holder := n.login(process("first", pb.Role_ROLE_SERVER), testkit.PipeOptions{})
		holder.ready()
		for i := range 6 {
			next := n.login(process(fmt.Sprint("next-", i), pb.Role_ROLE_SERVER), testkit.PipeOptions{})
			next.ready()
			holder.wantCode(wire.KindGoaway, wire.Replaced)
			holder.leave()
			holder = next
		}
		web.send(request(1, "pay.Move"))
		web.wantAnswer(1, wire.NoInstance)
		time.Sleep(10 * time.Second)
		m := n.connect(testkit.PipeOptions{})
		m.write([]byte(wire.Preface))
		m.send(header(wire.KindLogin, process("one-more", pb.Role_ROLE_SERVER)))
		r := m.wantRefuse(wire.RateLimited)
		if wait := r.GetRetryAfterMs(); wait < 49_000 || wait > 50_001 || !strings.Contains(r.GetMessage(), "pay/pay-1 is held down") {
			t.Errorf("refused with %q, to come back after %d ms, want 50 s", r.GetMessage(), wait)
		}
		n.login(loginOf("pay", "pay-1", pb.Role_ROLE_CALLER), testkit.PipeOptions{}) // callers may share a name
		time.Sleep(50*time.Second + 20*time.Millisecond)                             // the clock ticks so often
		web.send(request(2, "pay.Move"))
		holder.answer(holder.wantRequest(), wire.OK, "")
		web.wantAnswer(2, wire.OK)
		late := n.login(process("one-more", pb.Role_ROLE_SERVER), testkit.PipeOptions{})
		late.ready()
		holder.wantCode(wire.KindGoaway, wire.Replaced)
	})
}

// TestDrain has sessions that go and one that stays.
func TestDrain(t *testing.T) {
	story(t, func(n *node) {
		server, web, deaf := n.server("pay", "pay-1", "Move"), n.caller("web"), n.caller("deaf")
		web.send(request(1, "pay.Move"))
		got := server.wantRequest()
		start, done := time.Now(), make(chan struct{})
		go func() { n.sessions.Drain(10 * time.Second); close(done) }()
		for _, m := range []*module{server, web, deaf} {
			m.wantCode(wire.KindGoaway, wire.Draining)
		}
		web.send(request(2, "pay.Move"))
		web.wantAnswer(2, wire.Draining)
		oneWay := request(0, "pay.Move")
		oneWay.Flags = wire.FlagOneWay
		web.send(oneWay)
		server.wantSilence()
		if refused := n.router.Counters().OneWayRefused[wire.Draining].Load(); refused != 1 {
			t.Errorf("%d one-way calls are counted as refused", refused)
		}
		server.answer(got, wire.OK, "to the end")
		web.wantAnswer(1, wire.OK)
		web.leave()
		server.leave()
		select {
		case <-done:
			t.Fatal("Drain did not wait for the third")
		default:
		}
		<-done
		wantAbout(t, time.Since(start), 10*time.Second)
		deaf.wantEnd()
	})
	t.Run("nobody there", func(t *testing.T) {
		story(t, func(n *node) {
			start := time.Now()
			n.sessions.Drain(time.Hour)
			n.sessions.Drain(time.Hour)
			if time.Since(start) != 0 {
				t.Error("waited for nobody")
			}
		})
	})
}

// TestAServerThatIsToldToGoBeforeItIsReady is not registered any more; in the same moment it may be, as the last resort.
func TestAServerThatIsToldToGoBeforeItIsReady(t *testing.T) {
	play := func(t *testing.T, told func(), want func(n *node)) {
		story(t, func(n *node) {
			server := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{})
			done := make(chan struct{})
			go func() { n.sessions.Drain(time.Hour); close(done) }()
			told()
			server.ready()
			server.wantCode(wire.KindGoaway, wire.Draining)
			want(n)
			server.leave()
			<-done
		})
	}
	t.Run("long before", func(t *testing.T) {
		play(t, synctest.Wait, func(n *node) {
			if left := n.router.Registry(0); len(left) != 0 {
				t.Errorf("%v is registered", left)
			}
		})
	})
	t.Run("in the same moment", func(t *testing.T) {
		for range 50 {
			play(t, func() {}, func(n *node) {
				for _, m := range n.router.Registry(0) {
					if !m.Instances[0].Draining {
						t.Error("it is registered as if its node stayed")
					}
				}
			})
		}
	})
}

// TestAModuleThatStops gets nothing new, and may still call: its handlers have to come to their end.
func TestAModuleThatStops(t *testing.T) {
	goaway := header(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Draining)})
	story(t, func(n *node) {
		ledger, web := n.server("ledger", "ledger-1", "Move"), n.caller("web")
		pay := n.server("pay", "pay-1", "Move")
		web.send(request(1, "pay.Move"))
		got := pay.wantRequest()
		pay.send(goaway)
		synctest.Wait()
		web.send(request(2, "pay.Move"))
		web.wantAnswer(2, wire.NoModule)
		pay.send(request(1, "ledger.Move"))
		ledger.answer(ledger.wantRequest(), wire.OK, "")
		pay.wantAnswer(1, wire.OK)
		pay.answer(got, wire.OK, "")
		web.wantAnswer(1, wire.OK)
		pay.leave()
		web.send(request(3, "pay.Move"))
		web.wantAnswer(3, wire.NoModule)
	})
	t.Run("before it is registered", func(t *testing.T) {
		story(t, func(n *node) {
			pay := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{})
			pay.send(goaway)
			pay.ready()
			if n.router.HasModule("pay") {
				t.Error("it is registered")
			}
		})
	})
}

// TestLookingAtSessionsThatComeAndGo is for the race detector.
func TestLookingAtSessionsThatComeAndGo(t *testing.T) {
	story(t, func(n *node) {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					n.sessions.List()
					n.sessions.Needs()
					n.wantConsistent()
					time.Sleep(time.Microsecond)
				}
			}
		}()
		for i := range 50 {
			login := process("uuid", pb.Role_ROLE_BOTH)
			login.Needs = []string{"nobody"}
			m := n.login(login, testkit.PipeOptions{})
			m.ready()
			if missing := n.sessions.Needs()["nobody"]; i == 0 && len(missing) != 1 {
				t.Errorf("missing: %v", missing)
			}
			m.send(request(1, "pay.Move"))
			m.answer(m.wantRequest(), wire.OK, "")
			m.wantAnswer(1, wire.OK)
			m.conn.Close()
		}
		close(stop)
		<-stopped
	})
}
