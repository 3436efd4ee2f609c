//go:build linux

package chaos

import (
	"syscall"
	"testing"
	"time"
)

// TestPausedNode is F04 and F05: b stands still, first for so short a time that nobody may mind, then for so long that it is
// taken for dead and must find out.
func TestPausedNode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.judgesStarts = true
		w.startMesh("a", "b", "c")
		w.serve("near", "near-b", "b", "b")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("mid", "mid-c", "c", "c")
		patient := load{workers: 50, every: 450 * time.Millisecond, timeout: 6 * time.Second}
		home := w.serveAndCall("home", "near.Do", "b", patient, "b")
		over := w.serveAndCall("over", "pay.Do", "a", patient, "a")
		out := w.serveAndCall("out", "mid.Do", "b", patient, "b")
		aside := w.call("aside", "mid.Do", "a", gentle, "a")
		w.wantFlow(now(), home, over, out, aside)

		pause := now()
		w.nodes["b"].signal(syscall.SIGSTOP)
		w.pass(2 * time.Second)
		w.nodes["b"].signal(syscall.SIGCONT)
		on := now()
		w.wantOverlap(span{pause, on})
		w.wantFlow(on, home, over, out)
		w.wantStayedUp(pause, [2]string{"a", "b"}, [2]string{"b", "a"}, [2]string{"b", "c"}, [2]string{"c", "b"}, [2]string{"a", "c"})
		before := now()
		for _, m := range []*module{home, over, out, aside} {
			w.wantAllOK(m, span{from: w.books.since, to: before})
		}

		// What frozen has sent meanwhile is all that b knows of it when it goes on: it cannot take it back.
		frozen := w.serveAndCall("frozen", "near.Do", "b", load{workers: 50, every: 450 * time.Millisecond, timeout: 3 * time.Second}, "b")
		w.wantFlow(now(), frozen)

		pause = now()
		w.nodes["b"].signal(syscall.SIGSTOP)
		w.pass(600 * time.Millisecond)
		frozen.signal(syscall.SIGSTOP)
		w.wantDown("a", "b", dead)
		w.wantDown("c", "b", dead)
		down := now()
		w.pass(max(held(11*time.Second, time.Minute)-time.Duration(down-pause), time.Second))
		w.nodes["b"].signal(syscall.SIGCONT)
		on = now()
		w.wantOverlap(span{pause, on})
		w.pass(time.Second)
		frozen.signal(syscall.SIGCONT)
		w.wantConverged(converged)
		w.wantKnown("pay", "pay-b")
		w.wantKnown("near", "near-b")
		w.wantFlow(now(), home, over, out, aside)
		// Later the instance, whose own session with b is silent, has logged in elsewhere.
		w.wantRefused(over, pause, span{down, min(on, pause+int64(11*time.Second))}, "NO_ROUTE", nil)
		w.wantAllOK(aside, span{from: w.books.since})
		for _, m := range []*module{home, over, out, frozen} {
			w.logf("%s: %s", m.Name, counts(w.by(m, span{from: w.books.since})))
		}
	})
}
