package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestCancel(t *testing.T) {
	t.Run("an instance that says so", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			web.send(request(1, "pay.Move"))
			got := server.wantRequest()
			web.send(cancel(1))
			if c := server.wantCode(wire.KindCancel, wire.Cancelled); c.CallID != got.CallID {
				t.Errorf("CANCEL of %d, want %d", c.CallID, got.CallID)
			}
			server.answer(got, wire.Cancelled, "")
			web.wantAnswer(1, wire.Cancelled)
		})
	})
	t.Run("an instance that finishes", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			web.send(request(1, "pay.Move"))
			got := server.wantRequest()
			web.send(cancel(1))
			server.want(wire.KindCancel)
			server.answer(got, wire.OK, "done")
			web.wantAnswer(1, wire.OK)
		})
	})
	t.Run("an instance that says nothing", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			web.send(request(1, "pay.Move"))
			got := server.wantRequest()
			start := time.Now()
			web.send(cancel(1), cancel(1))
			web.wantAnswer(1, wire.CancelledRunning)
			wantAbout(t, time.Since(start), 150*time.Millisecond)
			server.want(wire.KindCancel)
			server.answer(got, wire.OK, "late")
			web.wantSilence()
		})
	})
	t.Run("a request that is still queued", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.serverOver(testkit.PipeOptions{Buffer: 4 << 10}, "pay", "pay-1", "Move"), n.caller("web")
			fill := request(1, "pay.Move")
			fill.Body = make([]byte, 8<<10)
			web.send(fill)
			synctest.Wait() // now the writer is stuck
			web.send(request(2, "pay.Move"), cancel(2))
			web.wantAnswer(2, wire.Cancelled)
			server.answer(server.wantRequest(), wire.OK, "")
			web.wantAnswer(1, wire.OK)
			server.wantSilence() // it never saw the second
		})
	})
	t.Run("a request that came with it", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			web.send(request(1, "pay.Move"), cancel(1))
			web.wantAnswer(1, wire.Cancelled)
			server.wantSilence()
		})
	})
	t.Run("a call that is not in flight", func(t *testing.T) {
		story(t, func(n *node) {
			web := n.caller("web")
			web.send(cancel(1))
			web.wantSilence()
			if got := n.sessions.Counters().UnknownCancels.Load(); got != 1 {
				t.Errorf("%d are counted", got)
			}
		})
	})
}

// wantAbout allows for the ticks of wheel and clock.
func wantAbout(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+25*time.Millisecond {
		t.Errorf("after %v, want %v", got, want)
	}
}

func TestDeadline(t *testing.T) {
	call := request(1, "pay.Move")
	call.BudgetMS = 1000
	t.Run("in the handler, which had not begun", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			start := time.Now()
			web.send(call)
			got := server.wantRequest()
			server.wantCode(wire.KindCancel, wire.Expired)
			wantAbout(t, time.Since(start), time.Second)
			server.answer(got, wire.Expired, "")
			web.wantAnswer(1, wire.Expired)
		})
	})
	t.Run("in the handler, which goes on", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.server("pay", "pay-1", "Move"), n.caller("web")
			start := time.Now()
			web.send(call)
			got := server.wantRequest()
			web.wantAnswer(1, wire.Timeout)
			wantAbout(t, time.Since(start), 1150*time.Millisecond)
			server.want(wire.KindCancel)
			server.answer(got, wire.OK, "late")
			web.wantSilence()
			if late := n.sessions.Counters().LateAnswers.Load(); late != 1 {
				t.Errorf("%d late answers", late)
			}
		})
	})
	t.Run("in the queue", func(t *testing.T) {
		story(t, func(n *node) {
			server, web := n.serverOver(testkit.PipeOptions{Buffer: 4 << 10}, "pay", "pay-1", "Move"), n.caller("web")
			fill := request(9, "pay.Move")
			fill.Body = make([]byte, 8<<10)
			web.send(fill)
			synctest.Wait()
			start := time.Now()
			web.send(call)
			web.wantAnswer(1, wire.Expired)
			wantAbout(t, time.Since(start), time.Second)
			server.answer(server.wantRequest(), wire.OK, "")
			web.wantAnswer(9, wire.OK)
			server.wantSilence()
		})
	})
}
