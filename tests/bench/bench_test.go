package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestPointsHoldThoseOfTheGoals(t *testing.T) {
	known := map[point]bool{}
	for _, p := range points() {
		if known[p] {
			t.Errorf("%s is there twice", p)
		}
		known[p] = true
	}
	if points()[0] != quickPoint {
		t.Errorf("the first point is %s, want the quick one", points()[0])
	}
	names := map[string]bool{}
	for _, c := range contenders {
		names[c.name] = true
		if _, err := find(c.peer); err != nil || rigs[c.rig] == nil {
			t.Errorf("%s has no library %q or no rig %q", c.name, c.peer, c.rig)
		}
	}
	for _, g := range goals() {
		if !known[g.point] || !names[g.contender] || !names[g.beside] {
			t.Errorf("goal %s at %s of %s beside %s is about something that is not measured", g.name, g.point, g.contender, g.beside)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		all  []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(test.all); got != test.want {
			t.Errorf("the median of %v is %v, want %v", test.all, got, test.want)
		}
	}
}

// measured returns results of two contenders with known medians.
func measured() results {
	one := func(name string, rates ...float64) *result {
		r := &result{point: quickPoint}
		for _, c := range contenders {
			if c.name == name {
				r.contender = c
			}
		}
		for _, rate := range rates {
			r.rounds = append(r.rounds, round{figures{rate, 1, 1e6 / rate, 3}, map[string]float64{"node_a": 1e5 / rate, "caller": 1}})
		}
		r.settle()
		return r
	}
	return results{one(twohop1, 100, 900, 300), one(nats1, 100, 50, 200)}
}

func TestRatiosAreOfMedians(t *testing.T) {
	all := measured()
	for name, figure := range map[string]func(*result) float64{"calls/s": callsPerSecond, "p99": p99, "CPU": nodeCPU} {
		want := 3.0
		if name != "calls/s" {
			want = 1.0 / 3
		}
		if got, ok := all.ratio(quickPoint, figure, twohop1, nats1); !ok || got < want-1e-9 || got > want+1e-9 {
			t.Errorf("the ratio of %s is %v (%v), want %v", name, got, ok, want)
		}
	}
	if _, ok := all.ratio(quickPoint, p99, twohop1, direct); ok {
		t.Error("there is a ratio to a contender that was not measured")
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		is         float64
		least      bool
		met, atAim bool
	}{{2, true, false, false}, {2.5, true, true, false}, {3, true, true, true}, {3, false, false, false}, {0.5, false, true, true}} {
		must, aim := 2.3, 3.0
		if !test.least {
			must, aim = 0.55, 0.55
		}
		if j := judge("x", test.is, must, aim, test.least); j.Met != test.met || j.AtAim != test.atAim {
			t.Errorf("%v (at least: %v) is judged %v, at the aim %v", test.is, test.least, j.Met, j.AtAim)
		}
	}
}

func TestReportIsOneObjectPerLine(t *testing.T) {
	all, out := measured(), new(bytes.Buffer)
	r := &report{json: true, out: out}
	r.point(all, all)
	r.memory(twohop1, "idle", 20<<20, 1024)
	r.goals(all)
	var lines []map[string]any
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		lines = append(lines, line)
	}
	if got := lines[0]; got["peer"] != "twohop" || got["hops"] != 1.0 || got["payload"] != 128.0 || got["inflight"] != 64.0 || got["conns"] != 1.0 ||
		got["calls_per_s"] != 300.0 || got["ratio_vs_nats"] != 3.0 || got["ratio_vs_floor"] != nil {
		t.Errorf("the first line is %v", got)
	}
	met := map[any]any{}
	for _, line := range lines {
		if line["goal"] != nil {
			met[line["goal"]] = line["met"]
		}
	}
	for goal, want := range map[string]bool{
		"128B-64x1 calls/s: twohop-1 vs nats-1": true, "128B-64x1 p99: twohop-1 vs nats-1": true, "memory idle, B per connection": false,
	} {
		if met[goal] != want {
			t.Errorf("goal %q is met: %v, want %v; all are %v", goal, met[goal], want, met)
		}
	}
}

func TestLoopMeasuresTheWindow(t *testing.T) {
	calls := 0
	body := []byte("hello")
	f, err := loop(t.Context(), []echo{func(context.Context, []byte) ([]byte, error) {
		calls++
		time.Sleep(time.Millisecond)
		return body, nil
	}}, 1, body, 50*time.Millisecond, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if f.CallsPerSecond <= 0 || f.CallsPerSecond*0.1 >= float64(calls) || f.P50 < 1000 || f.P99 < f.P50 || f.P999 < f.P99 {
		t.Errorf("%d calls of 1 ms were measured as %+v", calls, f)
	}
}

func TestLoopFailsWithItsCalls(t *testing.T) {
	for name, call := range map[string]echo{
		"an error":       func(context.Context, []byte) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
		"a wrong answer": func(context.Context, []byte) ([]byte, error) { return []byte("no"), nil },
	} {
		if _, err := loop(t.Context(), []echo{call}, 2, []byte("yes"), 0, 10*time.Millisecond); err == nil {
			t.Errorf("%s is no failure", name)
		}
	}
}

// TestFloor takes calls through two relays in this process.
func TestFloor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	at, err := addresses(3)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 3)
	go func() { ended <- serveFloor(ctx, at[0]) }()
	go func() { ended <- relayFrames(ctx, at[1], at[0]) }()
	go func() { ended <- relayFrames(ctx, at[2], at[1]) }()
	call, hangUp, err := dialFloor(at[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 128, 16 << 10} {
		if err := once(ctx, call, bytes.Repeat([]byte{7}, size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	hangUp()
	cancel()
	for range 3 {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
