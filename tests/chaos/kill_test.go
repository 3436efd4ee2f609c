//go:build linux

package chaos

import (
	"slices"
	"testing"
	"time"
)

// TestKilledNode is F01 and F02: each of three nodes is killed once under load. No call is lost but those that were under way
// through it, and their callers are told within a second.
func TestKilledNode(t *testing.T) {
	inWorld(t, func(w *world) {
		nodes := []string{"a", "b", "c"}
		w.startMesh(nodes...)
		w.serve("pay", "pay-ab", "m", "a", "b")
		w.serve("pay", "pay-bc", "m", "b", "c")
		w.serve("pay", "pay-ac", "m", "a", "c")
		busy := load{workers: 120, every: 600 * time.Millisecond, timeout: 4 * time.Second}
		for i, victim := range nodes {
			// New callers: those of before have moved.
			var callers []*module
			for _, at := range nodes {
				callers = append(callers, w.call("web-"+at+"-"+victim, "pay.Do", "u", busy, at))
			}
			w.wantFlow(now(), callers...)
			killed := now()
			w.nodes[victim].kill()
			w.wantFlow(now(), callers...)
			w.pass(time.Second)
			w.nodes[victim].start()
			w.wantConverged(converged)
			w.wantFlow(now(), callers...)
			w.end(callers...)
			w.wantLostOnly(victim, killed, callers)
			if i < len(nodes)-1 {
				w.eventually("the instances are back at two nodes each", patience, func() bool {
					known, _ := w.nodes["a"].registry()
					return len(known["pay/pay-ab"]) == 2 && len(known["pay/pay-bc"]) == 2 && len(known["pay/pay-ac"]) == 2
				})
			}
		}
	})
}

// wantLostOnly fails the story if a call did not succeed that was not under way through the node when it was killed, or if
// the caller of one that was lost was told late.
func (w *world) wantLostOnly(victim string, killed int64, callers []*module) {
	w.t.Helper()
	w.wantOverlap(span{killed, killed})
	entered, crossed := 0, 0
	var slowest time.Duration
	for _, m := range callers {
		calls := w.by(m, span{from: w.books.since})
		w.logf("%s: %s", m.Name, counts(calls))
		for _, c := range calls {
			if c.code == "OK" {
				continue
			}
			ingress := w.books.nodeAt(m.Name, c.invoked)
			slowest = max(slowest, time.Duration(c.ended()-killed))
			switch {
			case c.class != "UNKNOWN":
				w.t.Errorf("%s: must be UNKNOWN", c)
			case c.invoked > killed+int64(quickly*slack):
				w.t.Errorf("%s: it was begun %v after the node was killed", c, time.Duration(c.invoked-killed))
			case ingress == victim:
				entered++
			case len(c.unknown) > 0 && !slices.ContainsFunc(c.unknown, func(node string) bool { return node != victim }):
				crossed++
			default:
				w.t.Errorf("%s: it entered at %s and may have run over %v, and %s was killed", c, ingress, c.unknown, victim)
			}
		}
	}
	w.logf("node %s killed: %d calls lost that entered there, %d that crossed it, the last told after %v", victim, entered, crossed, slowest.Round(time.Millisecond))
	if slowest > lostIn*slack {
		w.t.Errorf("a caller was told %v after node %s was killed, may be %v × %d", slowest, victim, lostIn, slack)
	}
	if entered == 0 {
		w.t.Errorf("void: no call was under way that had entered at node %s", victim)
	}
}
