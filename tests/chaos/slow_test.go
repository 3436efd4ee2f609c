//go:build linux

package chaos

import (
	"slices"
	"testing"
	"time"
)

// TestSlowLink is F24: what leaves a is bounded to 1 Mbit/s, and fifty times that is offered. Heartbeats must pass what waits, and
// the rest is refused at once.
func TestSlowLink(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMesh("a", "b", "c")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("near", "near-a", "a", "a")
		home := w.call("home", "near.Do", "a", gentle, "a")
		w.wantFlow(now(), home)

		fault := now()
		w.throttle("a", 1000)
		flood := w.serveAndCall("flood", "pay.Do", "a", load{workers: 200, every: 250 * time.Millisecond, timeout: 2 * time.Second, body: 8 << 10}, "a")
		queued, until := 0, time.Now().Add(held(8*time.Second, time.Minute))
		for time.Now().Before(until) {
			w.pass(100 * time.Millisecond)
			links, _ := w.nodes["a"].links()
			queued = max(queued, links["b"].QueuedBytes)
		}
		w.wantStayedUp(fault, [2]string{"a", "b"}, [2]string{"b", "a"}, [2]string{"a", "c"}, [2]string{"c", "a"})
		over := now()
		w.throttle("a", 0)
		w.wantOverlap(span{fault, over})
		w.eventually("nothing waits for the link any more", converged, func() bool {
			links, _ := w.nodes["a"].links()
			return links["b"].QueuedBytes == 0
		})
		whole := now()
		w.wantFlow(whole, flood, home)

		calls := w.by(flood, span{fault, over})
		var refusals []time.Duration
		for _, c := range calls {
			if c.code == "OVERLOADED" {
				refusals = append(refusals, c.took())
			}
		}
		slices.Sort(refusals)
		if len(refusals) < inFlight {
			w.t.Fatalf("%s: there must be many OVERLOADED", counts(calls))
		}
		median, most := refusals[len(refusals)/2], refusals[len(refusals)*95/100]
		w.logf("%s; at most %d bytes waited; OVERLOADED after %v (median), %v (95 %%)", counts(calls), queued, median, most)
		if median > 5*time.Millisecond*slack {
			w.t.Errorf("OVERLOADED is said after %v, must be 5ms × %d", median, slack)
		}
		if queued > 64<<20 {
			w.t.Errorf("%d bytes waited for the link, may be 64 MiB", queued)
		}
		w.wantAllOK(home, span{from: w.books.since})
	})
}

// TestLossyNetwork is F25: a twentieth of all packets between nodes vanishes.
func TestLossyNetwork(t *testing.T) {
	inWorld(t, func(w *world) {
		nodes := []string{"a", "b", "c"}
		w.startMesh(nodes...)
		w.serve("pay", "pay-b", "b", "b")
		w.serve("near", "near-a", "a", "a")
		over := w.call("over", "pay.Do", "a", steady, "a")
		back := w.call("back", "near.Do", "c", steady, "c")
		w.wantFlow(now(), over, back)

		fault := now()
		for _, from := range nodes {
			for _, to := range nodes {
				if from != to {
					w.lose(from, to, 5)
				}
			}
		}
		w.pass(held(8*time.Second, time.Minute))
		over5 := now()
		broken := map[[2]string]bool{}
		for _, from := range nodes {
			for _, to := range nodes {
				if from != to && !w.wantDeadInEarnest(fault, from, to) {
					broken[[2]string{from, to}] = true
				}
			}
		}
		w.heal()
		w.wantOverlap(span{fault, over5})
		w.wantFlow(now(), over, back)
		for _, m := range []*module{over, back} {
			for _, c := range w.by(m, span{from: w.books.since}) {
				// Slower only: a call may fail for its deadline, and for nothing else.
				if len(c.ends) > 0 && c.code != "OK" && c.took() < c.budget-overdue*slack && len(broken) == 0 {
					w.t.Fatalf("%s", c)
				}
			}
			w.logf("%s: %s", m.Name, counts(w.by(m, span{fault, over5})))
		}
	})
}

// wantDeadInEarnest fails the story if a link was taken for dead since a time of now although something came over it. TCP itself
// may be silent for so long: it doubles its patience with every packet that it loses again. It reports whether the link has
// stayed up.
func (w *world) wantDeadInEarnest(since int64, name, other string) (stayed bool) {
	w.t.Helper()
	at := now()
	links, _ := w.nodes[name].links()
	l := links[other]
	if up := int64(l.Seconds * float64(time.Second)); l.State == "up" && up >= at-since {
		return true
	} else if l.State == "up" {
		at -= up
	}
	w.books.read(w.t)
	const within = dead - time.Second - quickly // its last heartbeat may have come a second before it was silent
	silent := span{at - int64(within) - int64(time.Second), at - int64(time.Second)}
	for _, c := range w.books.calls {
		crossed := slices.Equal(c.hops, []string{name, other}) || slices.Equal(c.hops, []string{other, name})
		if crossed && c.code == "OK" && silent.holds(c.ended()) {
			w.t.Errorf("the link of %s to %s was taken for dead, and a call came over it %v before it was back: %s", name, other,
				time.Duration(at-c.ended()), c)
			return false
		}
	}
	w.logf("the link of %s to %s was dead in earnest: no call came over it either", name, other)
	return false
}

// TestLongLinks is F23: between nodes bytes take 200 ± 100 ms to go and come back.
func TestLongLinks(t *testing.T) {
	inWorld(t, func(w *world) {
		const delay, jitter = 100 * time.Millisecond, 50 * time.Millisecond
		// a dials b and c, and b dials c: nobody dials a.
		w.mesh = []memberLine{
			{"a", 1, w.host("a").ip + ":7072"},
			{"b", 2, w.relay("wan", 7102, w.host("b").ip+":7072", delay, jitter)},
			{"c", 3, w.relay("wan", 7103, w.host("c").ip+":7072", delay, jitter)},
		}
		w.startNodes("a", "b", "c")
		up := now()
		w.serve("pay", "pay-b", "b", "b")
		w.serve("near", "near-a", "a", "a")
		wide := load{workers: 120, every: 900 * time.Millisecond, timeout: 4 * time.Second}
		over := w.call("over", "pay.Do", "a", wide, "a")
		back := w.call("back", "near.Do", "c", wide, "c")
		w.wantFlow(now(), over, back)
		from := now()
		w.pass(held(6*time.Second, time.Minute))
		to := now()
		w.wantOverlap(span{from, to})
		w.wantStayedUp(up, [2]string{"a", "b"}, [2]string{"b", "a"}, [2]string{"a", "c"}, [2]string{"c", "a"}, [2]string{"b", "c"}, [2]string{"c", "b"})
		for _, m := range []*module{over, back} {
			w.wantAllOK(m, span{from: w.books.since})
			calls := w.by(m, span{from, to})
			offered := float64(wide.workers) / wide.every.Seconds() * time.Duration(to-from).Seconds()
			w.logf("%s: %.0f %% of what was offered went through", m.Name, 100*float64(len(calls))/offered)
			if float64(len(calls)) < 0.8*offered {
				w.t.Errorf("%s made %d calls, must be 80 %% of %.0f", m.Name, len(calls), offered)
			}
		}
		links, _ := w.nodes["a"].links()
		if rtt := time.Duration(links["b"].RTTMicros) * time.Microsecond; rtt < 2*(delay-jitter) {
			w.t.Errorf("void: the round trip of a and b is %v, must be at least %v", rtt, 2*(delay-jitter))
		}
	})
}
