package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

func load(node string, uptime float64, edit func(*adminclient.Load)) adminclient.Load {
	l := adminclient.Load{Heard: adminclient.Heard{Node: node}, Uptime: uptime, State: "ready", Settled: map[string]uint64{}}
	if edit != nil {
		edit(&l)
	}
	return l
}

func TestRatesAreDifferences(t *testing.T) {
	before := adminclient.Loads{Nodes: []adminclient.Load{
		load("a", 10, func(l *adminclient.Load) {
			l.Settled = map[string]uint64{"SUCCESS": 100, "EXECUTED": 10}
			l.OneHop, l.TwoHop, l.CPU = 50, 60, 1
		}),
		load("b", 100, func(l *adminclient.Load) { l.Settled["SUCCESS"] = 5 }),
		load("f", 90, func(l *adminclient.Load) { l.Started = time.Unix(1000, 0); l.Settled["SUCCESS"] = 5 }),
		{Heard: adminclient.Heard{Node: "c", Error: "late"}},
	}}
	now := adminclient.Loads{Node: "a", Mesh: "m", Nodes: []adminclient.Load{
		load("a", 12, func(l *adminclient.Load) {
			l.Settled = map[string]uint64{"SUCCESS": 300, "EXECUTED": 14, "NOT_EXECUTED": 2, "UNKNOWN": 1}
			l.OneHop, l.TwoHop, l.CPU = 200, 110, 2.5
			l.InFlight, l.Links, l.LinksUp, l.Troubles, l.Memory = 7, 2, 1, 1, 3<<20
		}),
		load("b", 1, func(l *adminclient.Load) { l.Settled["SUCCESS"] = 7 }),                                   // started anew
		load("f", 100, func(l *adminclient.Load) { l.Started = time.Unix(2000, 0); l.Settled["SUCCESS"] = 7 }), // started anew some time ago
		load("c", 50, nil), // is heard for the first time
		load("d", 50, nil), // is new
		{Heard: adminclient.Heard{Node: "e", Error: "it did not answer\nin time"}},
	}}
	r := rates(before, now)
	a := r.Nodes[0]
	if a.Interval != 2 || a.Calls != 103.5 || *a.OneHop != 0.75 || *a.TwoHop != 0.25 || a.CPU != 75 || a.Errors != (failures{1, 2, 0.5}) {
		t.Errorf("a: %+v", a)
	}
	for _, n := range r.Nodes[1:] {
		if n.Interval != 0 || n.Calls != 0 || n.OneHop != nil {
			t.Errorf("%s has rates of one reading: %+v", n.Node, n)
		}
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	wantLines(t, text.String(),
		"a ready 12s 104 75% 25% 1.0 2.0 0.5 7 0 0 1/2 ! 75% 3.0 MiB",
		"b ready 1s - - - - - - 0 0 0 0/0 - 0 B",
		"e not heard - - - - - - - - - - - - -",
		"e was not heard: it did not answer; in time",
	)
}

// reads is a source that knows one key, which shows nothing else.
type reads func() (page, error)

func (r reads) read() (page, error) { return r() }
func (r reads) key(key byte) bool   { return key == 'm' }

// watched is a top whose readings, ticks and keys are the test's.
type watched struct {
	*top
	ticks     chan time.Time
	keys      chan byte
	out, errs bytes.Buffer
	ended     chan error
	restarts  int // of the interval, as readings
	readings  int // until it has ended, its own
}

func watch(ctx context.Context, edit func(*top), readings ...error) *watched {
	w := &watched{ticks: make(chan time.Time), keys: make(chan byte), ended: make(chan error, 1)}
	var before *adminclient.Loads
	w.top = &top{out: &w.out, errors: &w.errs, keys: w.keys, source: reads(func() (page, error) {
		w.readings++
		n := w.readings
		if n <= len(readings) && readings[n-1] != nil {
			return nil, readings[n-1]
		}
		now := adminclient.Loads{Node: "a", Nodes: []adminclient.Load{load("a", float64(n), nil)}}
		if before == nil {
			before = &now
			return nil, nil //nolint:nilnil // rates need two readings
		}
		r := rates(*before, now)
		before = &now
		return &r, nil
	})}
	w.again = func() { w.restarts++ }
	edit(w.top)
	go func() { w.ended <- w.run(ctx, w.ticks) }()
	return w
}

var errAway = errors.New("no node answers")

func TestTopEnds(t *testing.T) {
	first := watch(t.Context(), func(*top) {}, errAway)
	if err := <-first.ended; !errors.Is(err, errAway) {
		t.Errorf("no first reading: %v", err)
	}

	once := watch(t.Context(), func(t *top) { t.once, t.asJSON = true, true })
	once.ticks <- time.Time{}
	var r reading
	if err := errors.Join(<-once.ended, json.Unmarshal(once.out.Bytes(), &r)); err != nil || len(r.Nodes) != 1 || r.Nodes[0].Interval != 1 {
		t.Errorf("once: %v, %s", err, once.out.String())
	}

	fails := watch(t.Context(), func(t *top) { t.once = true }, nil, errAway)
	fails.ticks <- time.Time{}
	if err := <-fails.ended; !errors.Is(err, errAway) {
		t.Errorf("once, and the node went away: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	lines := watch(ctx, func(t *top) { t.asJSON = true }, nil, nil, errAway)
	for range 3 {
		lines.ticks <- time.Time{}
	}
	cancel()
	if err := <-lines.ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	if n := strings.Count(lines.out.String(), "\n"); n < 1 || !strings.Contains(lines.errs.String(), "twohop: no node answers") {
		t.Errorf("%d lines, stderr %q", n, lines.errs.String())
	}

	live := watch(t.Context(), func(t *top) { t.live = true }, nil, errAway)
	live.keys <- 'x'
	live.ticks <- time.Time{}
	live.ticks <- time.Time{}
	live.keys <- 'm' // is read for at once; x was not
	live.keys <- 'q'
	if err := <-live.ended; err != nil {
		t.Errorf("q: %v", err)
	}
	if live.readings != 4 || live.restarts != 1 {
		t.Errorf("%d readings, the interval began again %d times", live.readings, live.restarts)
	}
	text := live.out.String()
	if !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) || !strings.Contains(text, "no node answers") ||
		!strings.Contains(text, "q or Ctrl-C ends") || live.errs.Len() != 0 {
		t.Errorf("the terminal got %q, stderr %q", text, live.errs.String())
	}
}
