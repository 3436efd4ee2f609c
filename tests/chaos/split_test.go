//go:build linux

package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// steady is the load of most callers: some 130 calls a second, 60 of them in flight.
var steady = load{workers: 60, every: 450 * time.Millisecond, timeout: 4 * time.Second}

// gentle is a load of those that are only looked at.
var gentle = load{workers: 20, every: 400 * time.Millisecond, timeout: 4 * time.Second}

// TestFullPartition is F17: a is alone on one side, b and c on the other.
func TestFullPartition(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMesh("a", "b", "c")
		w.serve("near", "near-a", "a", "a")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("pay", "pay-c", "c", "c")
		homeA := w.call("home-a", "near.Do", "a", steady, "a")
		homeB := w.call("home-b", "pay.Do", "b", steady, "b")
		overA := w.serveAndCall("over-a", "pay.Do", "a", gentle, "a")
		overC := w.serveAndCall("over-c", "near.Do", "c", gentle, "c")
		all := []*module{homeA, homeB, overA, overC}
		w.wantFlow(now(), all...)

		split := now()
		w.cut("a", "b")
		w.cut("a", "c")
		for _, pair := range [][2]string{{"a", "b"}, {"a", "c"}, {"b", "a"}, {"c", "a"}} {
			w.wantDown(pair[0], pair[1], dead)
		}
		down := now()
		w.pass(held(3*time.Second, 30*time.Second))
		healing := now()
		w.wantOverlap(span{split, healing})
		w.heal()
		took := w.wantConverged(converged)
		whole := now()
		w.wantFlow(whole, all...)

		for _, m := range []*module{overA, overC} {
			w.wantRefused(m, split, span{down, healing}, "NO_ROUTE", nil)
			w.wantAllOK(m, span{from: whole})
		}
		// The other side's instances are never chosen once the link is down, and those of this side always there.
		for _, m := range []*module{homeA, homeB} {
			w.wantAllOK(m, span{from: w.books.since})
		}
		w.logf("healed in %v", took)
	})
}

// wantRefused fails the story if calls that a caller began within a time were not refused at once, with these nodes to try
// where some are named, or if one of them started.
func (w *world) wantRefused(m *module, fault int64, when span, code string, try []string) {
	w.t.Helper()
	calls := w.by(m, when)
	var slowest time.Duration
	for _, c := range calls {
		slowest = max(slowest, c.took())
		if c.code != code || c.class != "NOT_EXECUTED" || len(c.starts) > 0 || len(try) > 0 && !slices.Equal(c.try, try) {
			w.t.Errorf("%s, must be %s with try %v, and never start", c, code, try)
			break
		}
	}
	all := w.by(m, span{from: fault, to: when.to})
	first := slices.IndexFunc(all, func(c *call) bool { return c.code == code })
	if first < 0 {
		w.t.Fatalf("%s was never refused", m.Name)
	}
	w.logf("%s: %s; %s from %v after the fault on, in at most %v", m.Name, counts(all), code,
		time.Duration(all[first].invoked-fault).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if slowest > quickly*slack || len(calls) < 20 {
		w.t.Errorf("%d calls were refused in at most %v, must be 20 and %v × %d", len(calls), slowest, quickly, slack)
	}
}

// TestPartialPartition is F18: a and b do not reach each other, and both reach c.
func TestPartialPartition(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMesh("a", "b", "c")
		w.serve("near", "near-a", "a", "a")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("mid", "mid-c", "c", "c")
		toNear := w.call("to-near", "near.Do", "a", steady, "a")
		toMid := w.call("to-mid", "mid.Do", "a", steady, "a")
		fromC := w.call("from-c", "pay.Do", "c", gentle, "c")
		intoA := w.call("into-a", "near.Do", "c", gentle, "c")
		moves := w.call("moves", "pay.Do", "a", gentle, "a")         // a client: it may go to c
		stays := w.serveAndCall("stays", "pay.Do", "a", gentle, "a") // a server: it may not
		all := []*module{toNear, toMid, fromC, intoA, moves, stays}
		w.wantFlow(now(), all...)

		split := now()
		w.cut("a", "b")
		w.wantDown("a", "b", dead)
		w.wantDown("b", "a", dead)
		down := now()
		w.wantFlow(down, moves)
		w.pass(held(2*time.Second, 30*time.Second))
		healing := now()
		w.wantOverlap(span{split, healing})
		w.heal()
		w.wantConverged(converged)
		whole := now()
		w.wantFlow(whole, all...)

		w.wantRefused(stays, split, span{down, healing}, "NO_ROUTE", []string{"c"})
		w.wantAllOK(stays, span{from: whole})
		for _, m := range []*module{toNear, toMid, fromC, intoA} {
			w.wantAllOK(m, span{from: w.books.since})
		}
		w.wantAllOK(moves, span{from: down})
		if at := w.books.nodeAt(moves.Name, healing); at != "c" {
			w.t.Errorf("the caller that was told to try c is at %q", at)
		}
	})
}

// TestOneWayLink is F19: b hears nothing of a, and a hears b.
func TestOneWayLink(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMesh("a", "b", "c")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("near", "near-a", "a", "a")
		home := w.call("home", "near.Do", "a", steady, "a")
		over := w.serveAndCall("over", "pay.Do", "a", steady, "a")
		back := w.serveAndCall("back", "near.Do", "b", gentle, "b")
		w.wantFlow(now(), home, over, back)

		split := now()
		w.drop("a", "b")
		w.wantDown("a", "b", dead)
		w.wantDown("b", "a", dead)
		down := now()
		// Within 5 s of the fault the operators are told, at both ends.
		w.eventually("the troubles of both nodes say so", 5*time.Second-min(4*time.Second, time.Duration(down-split)), func() bool {
			return w.troubled("a", "b") && w.troubled("b", "a")
		})
		text := w.nodes["a"].host.must(w.program, "links")
		w.logf("twohop links:\n%s", text)
		if !strings.Contains(text, "one_way") && !strings.Contains(text, "one way") && !strings.Contains(text, "link_down") {
			w.t.Errorf("twohop links does not say what is the matter")
		}
		w.pass(held(2*time.Second, 30*time.Second))
		healing := now()
		w.wantOverlap(span{split, healing})
		w.heal()
		w.wantConverged(converged)
		whole := now()
		w.wantFlow(whole, home, over, back)
		w.wantRefused(over, split, span{down, healing}, "NO_ROUTE", []string{"c"})
		w.wantRefused(back, split, span{down, healing}, "NO_ROUTE", []string{"c"})
		w.wantAllOK(home, span{from: w.books.since})
		w.wantAllOK(over, span{from: whole})
		w.eventually("the troubles are over", converged, func() bool { return !w.troubled("a", "b") && !w.troubled("b", "a") })
	})
}

// troubled reports whether a node says that its link to another one is in trouble.
func (w *world) troubled(name, other string) bool {
	_, troubles := w.nodes[name].links()
	return slices.ContainsFunc(troubles, func(t trouble) bool {
		return t.Peer == other && (t.Kind == "link_one_way" || t.Kind == "link_down")
	})
}
