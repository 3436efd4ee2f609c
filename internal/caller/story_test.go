package caller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestCallIsAnswered(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		a := alice.ask(t.Context(), "one", Timeout(time.Second))
		p := <-alpha.opened
		f := <-p.requests
		if f.BudgetMS < 940 || f.BudgetMS > 950 || f.Attempt != 0 || f.CallID == 0 || string(f.Body) != "one" {
			t.Errorf("the node got %+v, want a budget of 950 ms, less what the login took", f)
		}
		p.reply(&f, wire.OK, nil, "answer")
		a.wantReply(t, "answer")

		b := alice.ask(t.Context(), "two", Timeout(200*time.Millisecond))
		f = <-p.requests
		if f.BudgetMS != 180 {
			t.Errorf("budget is %d, want 200 less 10 %%", f.BudgetMS)
		}
		p.reply(&f, wire.RateLimited, &pb.ResponseHeader{
			Message: "slow down", Node: "alpha", RuleId: "r1", RuleVersion: 3, RetryAfterMs: 250, Try: []string{"beta"}, Attempts: 2,
			Unknown: []*pb.Receiver{{Module: "shop", Instance: "s1", InstanceUuid: "u", Node: "alpha"}},
		}, "")
		e := b.wantError(t, NotExecuted, CodeRateLimited)
		want := "shop.Buy: RATE_LIMITED (NOT_EXECUTED: it did not run): slow down [rpc 77, node alpha, rule r1 version 3, 2 attempts, retry after 250ms, try beta]"
		if e.Error() != want {
			t.Errorf("error is\n%s, want\n%s", e, want)
		}
		if e.Session != p.number<<8|'a' || e.CallID != f.CallID || len(e.Unknown) != 1 || e.Unknown[0].UUID != "u" {
			t.Errorf("error is %+v, want the call's name and who may have run it", e)
		}
		if !errors.Is(e, ErrNotExecuted) || errors.Is(e, ErrUnknown) || !errors.Is(e, CodeRateLimited) || errors.Is(e, CodeExpired) {
			t.Error("errors.Is does not tell class and code")
		}
	})
}

func TestCallsWaitInOrderForTheConnection(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.down = true })
		alice := m.client("alpha:1")
		var pending []*Pending
		for i := range 10 {
			if i%3 == 2 {
				if err := alice.OneWay(t.Context(), "shop.Note", []byte{byte(i)}); err != nil {
					t.Fatal(err)
				}
				continue
			}
			pending = append(pending, alice.Go(t.Context(), "shop.Buy", []byte{byte(i)}, nil))
		}
		synctest.Wait()
		alpha.set(func() { alpha.down = false })
		p := <-alpha.opened
		for i := range 10 {
			f := <-p.requests
			if f.Body[0] != byte(i) {
				t.Fatalf("call %d came as number %d", f.Body[0], i)
			}
			if oneWay := i%3 == 2; oneWay != (f.CallID == 0) || oneWay != (f.Flags&wire.FlagOneWay != 0) {
				t.Errorf("call %d has call_id %d and flags %d", i, f.CallID, f.Flags)
			} else if !oneWay {
				p.reply(&f, wire.OK, nil, "")
			}
		}
		for _, call := range pending {
			if err := call.Wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQueueOfWaitingCallsIsBounded(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alice := m.client("nowhere:1")
		for range maxWaiting {
			alice.Go(t.Context(), "shop.Buy", nil, nil, Timeout(time.Minute))
		}
		from := time.Now()
		wantError(t, alice.Call(t.Context(), "shop.Buy", nil, nil), NotExecuted, CodeOverloaded)
		wantError(t, alice.OneWay(t.Context(), "shop.Buy", nil), NotExecuted, CodeOverloaded)
		if waited := time.Since(from); waited != 0 {
			t.Errorf("the refusal took %s", waited)
		}

		bob := m.client("nowhere:1")
		big := make([]byte, 1<<20)
		for range 4 {
			bob.Go(t.Context(), "shop.Buy", big, nil, Timeout(time.Minute))
		}
		wantError(t, bob.Call(t.Context(), "shop.Buy", []byte("small"), nil), NotExecuted, CodeOverloaded)
	})
}

func TestCallThatNeverLeavesExpires(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alice := m.client("nowhere:1")
		from := time.Now()
		err := alice.Call(t.Context(), "shop.Buy", nil, nil, Timeout(300*time.Millisecond))
		e := wantError(t, err, NotExecuted, CodeExpired)
		if waited := time.Since(from); waited < 300*time.Millisecond || waited > 300*time.Millisecond+2*sweepStep {
			t.Errorf("it took %s, want 300 ms", waited)
		}
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
		if e.Session != 0 || e.CallID != 0 || e.Attempts != 0 {
			t.Errorf("a call that never left has the name (%d, %d) and %d attempts", e.Session, e.CallID, e.Attempts)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		from = time.Now()
		wantError(t, alice.Call(ctx, "shop.Buy", nil, nil), NotExecuted, CodeExpired)
		if waited := time.Since(from); waited > 100*time.Millisecond+2*sweepStep {
			t.Errorf("with the context's deadline it took %s, want 100 ms", waited)
		}
	})
}

func TestCallWithoutAnswerTimesOut(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		from := time.Now()
		a := alice.ask(ctx, "one")
		f := <-p.requests
		e := a.wantError(t, Unknown, CodeTimeout)
		waited := time.Since(from)
		if waited < time.Second+graceTime-3*sweepStep || waited > time.Second+graceTime {
			t.Errorf("it took %s, want its deadline and just under 200 ms", waited)
		}
		if !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", e)
		}
		if c := <-p.cancels; c.CallID != f.CallID || c.Status != wire.Expired {
			t.Errorf("the node got CANCEL %+v", c)
		}
		p.reply(&f, wire.OK, nil, "too late")
		synctest.Wait()
		if n := alice.Stats().Late; n != 1 {
			t.Errorf("%d late answers are counted, want 1", n)
		}
		// The slot is used again: the late answer must not be the next call's.
		b := alice.ask(t.Context(), "two")
		g := <-p.requests
		p.reply(&f, wire.OK, nil, "too late")
		p.reply(&g, wire.OK, nil, "in time")
		b.wantReply(t, "in time")
	})
}

func TestDeadlineDoesNotHideTheNodesAnswer(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := alice.ask(ctx, "one")
		f := <-p.requests
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond)
		p.reply(&f, wire.Expired, nil, "")
		a.wantError(t, NotExecuted, CodeExpired)
	})
}

func TestCancel(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.down = true })
		alice := m.client("alpha:1")

		ctx, cancel := context.WithCancel(t.Context())
		waiting := alice.ask(ctx, "waiting")
		synctest.Wait()
		from := time.Now()
		cancel()
		e := waiting.wantError(t, NotExecuted, CodeCancelled)
		if !errors.Is(e, context.Canceled) || time.Since(from) != 0 {
			t.Errorf("%v after %s, want context.Canceled at once", e, time.Since(from))
		}

		alpha.set(func() { alpha.down = false })
		p := <-alpha.opened
		synctest.Wait()
		if n := len(p.requests); n != 0 {
			t.Errorf("%d calls came that had been cancelled", n)
		}

		ctx, cancel = context.WithCancel(t.Context())
		answered := alice.ask(ctx, "answered")
		f := <-p.requests
		cancel()
		if c := <-p.cancels; c.CallID != f.CallID || c.Status != wire.Cancelled {
			t.Errorf("the node got CANCEL %+v", c)
		}
		p.reply(&f, wire.Cancelled, nil, "")
		answered.wantError(t, NotExecuted, CodeCancelled)

		ctx, cancel = context.WithCancel(t.Context())
		silent := alice.ask(ctx, "silent")
		f = <-p.requests
		from = time.Now()
		cancel()
		e = silent.wantError(t, Unknown, CodeCancelledRunning)
		if waited := time.Since(from); waited < graceTime-3*sweepStep || waited > graceTime || !errors.Is(e, context.Canceled) {
			t.Errorf("%v after %s, want context.Canceled after 200 ms", e, waited)
		}

		// An answer that was on its way is the truth.
		ctx, cancel = context.WithCancel(t.Context())
		lucky := alice.ask(ctx, "lucky")
		f = <-p.requests
		cancel()
		p.reply(&f, wire.OK, nil, "done")
		lucky.wantReply(t, "done")

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		wantError(t, alice.Call(ctx, "shop.Buy", nil, nil), NotExecuted, CodeCancelled)
		wantError(t, alice.Go(ctx, "shop.Buy", nil, nil).Wait(), NotExecuted, CodeCancelled)
	})
}

func TestCancelTakesAnUnsentCallBack(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		blocked := make(chan struct{})
		alpha.answer = func(*peer, *wire.Frame) { <-blocked }
		alice := m.client("alpha:1")
		p := <-alpha.opened
		// The node reads nothing from the first call on: the pipe fills, the rest stays in the queue.
		alice.Go(t.Context(), "shop.Buy", nil, nil)
		synctest.Wait()
		for range 4 {
			alice.Go(t.Context(), "shop.Buy", make([]byte, 40<<10), nil)
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		a := alice.ask(ctx, "behind")
		synctest.Wait()
		from := time.Now()
		cancel()
		a.wantError(t, NotExecuted, CodeCancelled)
		if time.Since(from) != 0 {
			t.Errorf("it took %s", time.Since(from))
		}
		// A deadline finds it unsent as well.
		err := alice.Call(t.Context(), "shop.Buy", []byte("behind"), nil, Timeout(100*time.Millisecond))
		wantError(t, err, NotExecuted, CodeExpired)
		close(blocked)
		p.kill()
	})
}

func TestLostConnection(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		sent := alice.ask(t.Context(), "sent")
		<-p.requests
		p.near.FailWriteAfter(10, errors.New("broken pipe")) // of the next frame, 10 bytes leave
		unsent := alice.ask(t.Context(), "unsent")
		e := sent.wantError(t, Unknown, CodeConnectionLost)
		if !errors.Is(e, ErrUnknown) || !strings.Contains(e.Error(), "broken pipe") {
			t.Errorf("%v says neither its class nor why", e)
		}
		p = <-alpha.opened
		f := <-p.requests
		if string(f.Body) != "unsent" || f.Attempt != 0 {
			t.Errorf("the node got %q, attempt %d, want the call that had not left, as a first attempt", f.Body, f.Attempt)
		}
		p.reply(&f, wire.OK, nil, "done")
		unsent.wantReply(t, "done")
	})
}

func TestIdempotentCallIsSentAgain(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		patient := Timeout(time.Hour) // the back-off grows with each loss
		lose := func(attempts int) (last *peer, f wire.Frame) {
			for i := range attempts {
				p := <-alpha.opened
				f = <-p.requests
				var h wire.Request
				if err := h.Walk(f.Header, wire.ByModule); err != nil {
					t.Fatal(err)
				}
				if int(f.Attempt) != i || (h.FirstAttemptAgeMS > 0) != (i > 0) {
					t.Errorf("attempt %d came as %d, %d ms after the first", i, f.Attempt, h.FirstAttemptAgeMS)
				}
				last = p
				if i < attempts-1 {
					p.kill()
				}
			}
			return last, f
		}

		a := alice.ask(t.Context(), "one", Idempotent{}, patient)
		p, f := lose(3)
		p.reply(&f, wire.OK, nil, "done")
		a.wantReply(t, "done")
		p.kill()
		synctest.Wait()

		b := alice.ask(t.Context(), "two", Idempotent{}, patient)
		p, _ = lose(3)
		p.kill()
		if e := b.wantError(t, Unknown, CodeConnectionLost); e.Attempts != 3 {
			t.Errorf("error is %v, want 3 attempts", e)
		}

		// The class is that of all attempts: the first may have run.
		c := alice.ask(t.Context(), "three", Idempotent{}, patient)
		p, f = lose(2)
		p.reply(&f, wire.NoInstance, &pb.ResponseHeader{Message: "nobody there", Node: "alpha"}, "")
		e := c.wantError(t, Unknown, CodeConnectionLost)
		if !strings.Contains(e.Message, "NO_INSTANCE: nobody there") {
			t.Errorf("error is %v, want it to say how the last attempt ended", e)
		}
		p.kill()
		synctest.Wait()

		// EXECUTED is known, whatever was before.
		d := alice.ask(t.Context(), "four", Idempotent{}, patient)
		p, f = lose(2)
		p.reply(&f, wire.AppError, &pb.ResponseHeader{AppCode: "NO"}, "")
		d.wantError(t, Executed, CodeAppError)
		p.kill()
		synctest.Wait()

		limited := alice.ask(t.Context(), "five", Idempotent{}, patient, MaxAttempts(1))
		p, _ = lose(1)
		p.kill()
		limited.wantError(t, Unknown, CodeConnectionLost)
		if n := alice.Stats().Resent; n != 6 {
			t.Errorf("%d calls were sent again, want 6", n)
		}
	})
}

func TestExpiredAfterAnEarlierAttemptIsUnknown(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		a := alice.ask(t.Context(), "one", Idempotent{}, Timeout(3*time.Second))
		<-p.requests
		alpha.set(func() { alpha.down = true })
		p.kill()
		a.wantError(t, Unknown, CodeConnectionLost)
	})
}

func TestCallsThatNobodyStartedGoElsewhere(t *testing.T) {
	drained := &pb.ResponseHeader{Node: "alpha"}
	story(t, func(t *testing.T, m *mesh) {
		alpha, beta := m.node("alpha", "alpha:1"), m.node("beta", "beta:1")
		beta.set(func() { beta.down = true })
		alice := m.client("alpha:1,beta:1")
		p := <-alpha.opened
		beta.set(func() { beta.down = false })
		kept := alice.ask(t.Context(), "kept")
		first := <-p.requests
		a := alice.ask(t.Context(), "one")
		f := <-p.requests
		p.reply(&f, wire.Draining, drained, "")
		q := <-beta.opened
		g := <-q.requests
		if g.Attempt != 1 || string(g.Body) != "one" {
			t.Errorf("beta got %q, attempt %d", g.Body, g.Attempt)
		}
		q.reply(&g, wire.OK, nil, "done")
		a.wantReply(t, "done")
		p.reply(&first, wire.OK, nil, "still here")
		kept.wantReply(t, "still here")
		<-p.gone // the old session is closed when its last call is answered
	})
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		a := alice.ask(t.Context(), "one")
		f := <-p.requests
		p.reply(&f, wire.Draining, drained, "")
		a.wantError(t, NotExecuted, CodeDraining) // there is no other node

		b := alice.ask(t.Context(), "two")
		for range maxReroutes + 1 {
			f = <-p.requests
			p.reply(&f, wire.StaleRoute, drained, "")
		}
		b.wantError(t, NotExecuted, CodeStaleRoute)
	})
	story(t, func(t *testing.T, m *mesh) {
		alpha, gamma := m.node("alpha", "alpha:1"), m.node("gamma", "gamma:1")
		alpha.knows = []*pb.Node{{Name: "alpha", Address: "alpha:1"}, {Name: "beta", Address: "beta:1"}, {Name: "gamma", Address: "gamma:1"}}
		alice := m.client("alpha:1")
		p := <-alpha.opened
		a := alice.ask(t.Context(), "one")
		f := <-p.requests
		p.reply(&f, wire.NoRoute, &pb.ResponseHeader{Node: "alpha", Try: []string{"gamma"}}, "")
		q := <-gamma.opened
		g := <-q.requests
		// Nor does gamma know better than alpha, twice within a second: the answer is returned.
		q.reply(&g, wire.NoRoute, &pb.ResponseHeader{Node: "gamma", Try: []string{"alpha"}}, "")
		a.wantError(t, NotExecuted, CodeNoRoute)
		b := alice.ask(t.Context(), "two")
		g = <-q.requests
		q.reply(&g, wire.NoRoute, &pb.ResponseHeader{Node: "gamma", Try: []string{"nobody"}}, "")
		b.wantError(t, NotExecuted, CodeNoRoute)
	})
	// A server stays where it is registered.
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		m.node("gamma", "gamma:1")
		alpha.knows = []*pb.Node{{Name: "gamma", Address: "gamma:1"}}
		bob := m.client("alpha:1", func(o *Options) { o.Server, o.Login.Role = idleServer{}, pb.Role_ROLE_SERVER })
		p := <-alpha.opened
		for _, code := range []wire.Code{wire.NoRoute, wire.Draining} {
			a := bob.ask(t.Context(), "one")
			f := <-p.requests
			p.reply(&f, code, &pb.ResponseHeader{Node: "alpha", Try: []string{"gamma"}}, "")
			a.wantError(t, NotExecuted, Code(code))
		}
		if s := bob.States()[0]; s.Node != "alpha" {
			t.Errorf("state is %v", s)
		}
	})
}
