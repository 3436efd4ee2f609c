package stats

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is Books whose time the test moves. What Run does, it does itself, in step.
type node struct {
	*Books

	t    *testing.T
	now  time.Duration
	wall time.Time
}

// noon is a full hour that is no day's first or last.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// at returns the books of a node that starts at a time.
func at(t *testing.T, wall time.Time, o Options) *node {
	t.Helper()
	n, err := try(t, wall, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func try(t *testing.T, wall time.Time, o Options) (*node, error) {
	n := &node{t: t, now: time.Hour, wall: wall}
	if o.Node == "" {
		o.Node = "a"
	}
	o.Now = func() time.Duration { return n.now }
	o.Wall = func() time.Time { return n.wall }
	b, err := New(o)
	n.Books = b
	if err == nil {
		t.Cleanup(n.rollups.close)
	}
	return n, err
}

// wait lets seconds pass, each of which is counted.
func (n *node) wait(seconds int) {
	for range seconds {
		n.now += time.Second
		n.wall = n.wall.Add(time.Second)
		if n.tick(n.now, n.wall) {
			n.settle()
		}
	}
}

// jump lets time pass at once, in which nothing ran.
func (n *node) jump(d time.Duration) {
	n.now += d
	n.wall = n.wall.Add(d)
	if n.tick(n.now, n.wall) {
		n.settle()
	}
}

// to lets time pass at once up to the full minute.
func (n *node) to(wall time.Time) { n.jump(wall.Sub(n.wall)) }

// stop is what Run does at its end.
func (n *node) stop() {
	n.tick(n.now, n.wall)
	n.close(n.now, n.minuteNow())
	n.settle()
	n.rollups.close()
	n.check()
}

func (n *node) minuteNow() time.Time { return n.runningMinute() }

func (n *node) check() {
	n.t.Helper()
	if err := n.ConsistencyCheck(); err != nil {
		n.t.Error(err)
	}
}

// meterOf returns the meter of calls.
func (n *node) meterOf(caller, module, method string) governance.Meter {
	return n.Meter(governance.Subject{Caller: caller, Module: module, Method: method})
}

// call makes calls that end at once with a code.
func (n *node) call(caller, module, method string, calls int, code wire.Code, took time.Duration) {
	m := n.meterOf(caller, module, method)
	for range calls {
		m.Entered()
		m.Started()
		m.Finished(uint16(code), took)
	}
}

// one returns the only row.
func one(t *testing.T, rows []Row) Row {
	t.Helper()
	if len(rows) != 1 {
		t.Fatalf("there are %d rows, want 1: %+v", len(rows), rows)
	}
	return rows[0]
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !contains(err.Error(), part) {
			t.Errorf("the error is %q, must say %q", err, part)
		}
	}
}
