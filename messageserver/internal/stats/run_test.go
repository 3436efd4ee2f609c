package stats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// TestRun: seconds and minutes are counted as they pass, the minute is written when it is over, and the rest at the end.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12*time.Second + 300*time.Millisecond) // the bubble's clock begins at a full hour
		start := time.Now()
		o := Options{Node: "a", Dir: dir, Now: func() time.Duration { return time.Since(start) }, Wall: time.Now}
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		m := b.Meter(governance.Subject{Caller: "web", Module: "pay", Method: "Charge"})
		for range 200 { // 10 a second
			time.Sleep(100 * time.Millisecond)
			m.Entered()
			m.Started()
			m.Finished(0, time.Millisecond)
		}
		time.Sleep(time.Second)
		r := one(t, b.Now(Query{}))
		if r.Rate10 < 8 || r.Rate10 > 10 || r.Rate60 < 3.3 || r.Rate60 > 3.4 || r.Peak < 10 || r.Peak > 11 {
			t.Errorf("rates %v, %v, %v, peak %d", r.Rate1, r.Rate10, r.Rate60, r.Peak)
		}
		if rows, err := b.Past(t.Context(), Query{From: start}); err == nil && len(rows) > 0 {
			t.Errorf("before the minute is over: %+v, %v", rows, err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		rows, err := b.Past(t.Context(), Query{From: start})
		if r := one(t, rows); r.Entered != 200 || r.Peak < 10 || err != nil {
			t.Errorf("of the past: %+v, %v", r, err)
		}
		for range 5 {
			m.Entered()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := b.ConsistencyCheck(); err != nil {
			t.Error(err)
		}
		if _, err := b.Past(t.Context(), Query{From: start}); err == nil || !strings.Contains(err.Error(), "not open") {
			t.Errorf("after the end: %v", err)
		}
		again, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.rollups.close()
		time.Sleep(time.Minute)
		rows, err = again.Past(t.Context(), Query{From: start})
		if r := one(t, rows); r.Entered != 205 || err != nil {
			t.Errorf("after the next start: %+v, %v", r, err)
		}
	})
}

// TestRunEndsAtOnce, in whatever it waits.
func TestRunEndsAtOnce(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b, err := New(Options{Now: func() time.Duration { return 0 }, Wall: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- b.Run(ctx) }()
			time.Sleep(after)
			stop()
			before := time.Now()
			<-ended
			if took := time.Since(before); took != 0 {
				t.Errorf("after %v it took %v", after, took)
			}
		})
	}
}

func TestExport(t *testing.T) {
	n := at(t, noon.Add(59*time.Minute), Options{Dir: t.TempDir()})
	n.call("web", "pay", "Charge", 2, wire.OK, 18*time.Microsecond)
	n.call("app", "pay", "Charge", 1, wire.Timeout, 200*time.Second)
	n.wait(60)
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond) // the running minute
	var out bytes.Buffer
	if err := n.Export(t.Context(), &out, noon, time.Time{}); err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"minute":"2026-03-14T12:59:00Z","node":"a","caller":"app","module":"pay","method":"Charge","entered":1,"started":1,"peak":1,"codes":{"TIMEOUT":1},"classes":{"unknown":1},"sum_us":200000000,"hist":[[93,1]]}
{"v":1,"minute":"2026-03-14T12:59:00Z","node":"a","caller":"web","module":"pay","method":"Charge","entered":2,"started":2,"peak":2,"codes":{"OK":2},"classes":{"success":2},"sum_us":36,"hist":[[1,2]]}
{"v":1,"minute":"2026-03-14T13:00:00Z","node":"a","caller":"web","module":"pay","method":"Charge","entered":1,"started":1,"peak":1,"codes":{"OK":1},"classes":{"success":1},"sum_us":1000,"hist":[[24,1]]}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(out.String()) {
		var l Line
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Version != LineVersion {
			t.Errorf("%v: %s", err, line)
		}
	}
	full := errors.New("full")
	if err := n.Export(t.Context(), failing{full}, noon, time.Time{}); !errors.Is(err, full) {
		t.Errorf("into a writer that fails: %v", err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := n.Export(ctx, &out, noon, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestAConsistencyCheckFinds what it is there for.
func TestAConsistencyCheckFinds(t *testing.T) {
	for what, breaks := range map[string]func(n *node, s *subject){
		"by code and":              func(_ *node, s *subject) { s.counters.first.codes[0].Add(1) },
		"have entered":             func(_ *node, s *subject) { s.taken.entered += 5 },
		"in all there are":         func(n *node, _ *subject) { n.closed = nil },
		"has 1 subjects, and says": func(_ *node, s *subject) { s.method.live++ },
		"is counted for":           func(_ *node, s *subject) { s.caller = &callerBook{name: "x", live: 1} },
		"is found as":              func(n *node, s *subject) { n.subjects[name{"x", "y", "z"}] = s },
		"said are":                 func(n *node, _ *subject) { n.others++ },
	} {
		n := at(t, noon, Options{})
		n.call("web", "pay", "Charge", 3, wire.OK, time.Millisecond)
		n.wait(60)
		n.call("web", "pay", "Charge", 3, wire.OK, time.Millisecond)
		n.check()
		breaks(n, n.subjects[name{"web", "pay", "Charge"}])
		wantText(t, n.ConsistencyCheck(), what)
	}
}
