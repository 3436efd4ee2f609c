package stats

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twohop/twohop/proto/wire"
)

func TestMetrics(t *testing.T) {
	n := at(t, noon, Options{})
	m := n.meterOf("web", "pay", "Charge")
	m.Entered()
	m.Started()
	n.call("web", "pay", "Charge", 3, wire.OK, 5*time.Millisecond)
	n.call("app", "pay", "Charge", 1, wire.Timeout, 200*time.Second)
	n.call("app", "pay", "Charge", 1, wire.OK, 63*time.Microsecond)
	none := n.meterOf("app", "none", "Such") // nothing was started: nobody has it
	none.Entered()
	none.Finished(uint16(wire.NoModule), time.Microsecond)
	n.wait(1)
	families, err := gather(n)
	if err != nil {
		t.Fatal(err)
	}
	for series, value := range map[string]float64{
		"twohop_method_calls_total pay Charge EXECUTED":        0,
		"twohop_method_calls_total _other _other EXECUTED":     0,
		"twohop_method_calls_total pay Charge NOT_EXECUTED":    0,
		"twohop_method_calls_total _other _other NOT_EXECUTED": 1,
		"twohop_method_calls_total pay Charge SUCCESS":         4,
		"twohop_method_calls_total _other _other SUCCESS":      0,
		"twohop_method_calls_total pay Charge UNKNOWN":         1,
		"twohop_method_calls_total _other _other UNKNOWN":      0,
		"twohop_method_in_flight pay Charge":                   1,
		"twohop_method_in_flight _other _other":                0,
		"twohop_caller_calls_total _other":                     0,
		"twohop_caller_calls_total app":                        3,
		"twohop_caller_calls_total web":                        4,
	} {
		if got, there := families[series]; !there || got != value {
			t.Errorf("%s is %v (%v), want %v", series, got, there, value)
		}
	}
	want := map[string]float64{
		"le=6.4e-05": 1, "le=0.000256": 1, "le=0.004096": 1, "le=0.016384": 4, "le=67.108864": 4, "count": 5, "sum": 0.015 + 200 + 0.000063,
	}
	for key, value := range want {
		if got := families["twohop_method_duration_seconds pay Charge "+key]; got < value-1e-9 || got > value+1e-9 {
			t.Errorf("%s is %v, want %v", key, got, value)
		}
	}
}

// gather returns every number by its series. A registry that is pedantic refuses what is wrong.
func gather(n *node) (map[string]float64, error) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(n.Collector())
	families, err := r.Gather()
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, want := range []string{"module", "method", "caller", "class"} {
				for _, l := range m.GetLabel() {
					if l.GetName() == want {
						name += " " + l.GetValue()
					}
				}
			}
			switch {
			case m.GetCounter() != nil:
				all[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				all[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				all[name+" count"], all[name+" sum"] = float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
				for _, b := range m.GetHistogram().GetBucket() {
					all[fmt.Sprintf("%s le=%v", name, b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			}
		}
	}
	return all, err
}

// TestCountersNeverGoBack, while methods come to be known, callers lose their place, and subjects are dropped; and nothing that was
// counted is in no series, as long as no series ends.
func TestCountersNeverGoBack(t *testing.T) {
	n := at(t, noon, Options{})
	before := map[string]float64{}
	entered := 0.0
	for minute := range 200 {
		for caller := range 130 {
			calls := 1 + caller*(minute+1)%50
			module := fmt.Sprint("m", caller%7)
			switch {
			case minute < 3 && caller%7 == 0: // nobody serves it yet
				m := n.meterOf(fmt.Sprint("c", caller), module, "x")
				for range calls {
					m.Entered()
					m.Finished(uint16(wire.NoModule), 0)
				}
			case minute < 100 || caller%7 > 3: // then some are not called any more
				n.call(fmt.Sprint("c", caller), module, "x", calls, wire.OK, time.Millisecond)
			default:
				continue
			}
			entered += float64(calls)
		}
		n.jump(time.Minute)
		now, err := gather(n)
		if err != nil {
			t.Fatal(err)
		}
		callers, methods := 0, 0.0
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if strings.HasPrefix(name, "twohop_caller_calls_total") {
				callers++
			}
			if strings.HasPrefix(name, "twohop_method_calls_total") {
				methods += now[name]
			}
			// A caller that has lost its place begins anew.
			if value, was := before[name]; was && now[name] < value && strings.Contains(name, "_total") && !strings.HasPrefix(name, "twohop_caller_calls_total c") {
				t.Errorf("minute %d: %s was %v and is %v", minute, name, value, now[name])
			}
		}
		if callers > maxShownCallers+1 {
			t.Errorf("%d callers are shown", callers)
		}
		if minute < 100 && methods != entered {
			t.Errorf("minute %d: methods have %v calls, want %v", minute, methods, entered)
		}
		before = now
		n.check()
	}
}

func TestTheMostActiveCallersAreShown(t *testing.T) {
	n := at(t, noon, Options{})
	for i := range maxShownCallers {
		n.call(fmt.Sprint("c", i), "pay", "Charge", 2, wire.OK, 0)
	}
	n.wait(60)
	n.call("much", "pay", "Charge", 100, wire.OK, 0)
	n.call("little", "pay", "Charge", 3, wire.OK, 0)
	for i := range maxShownCallers {
		n.call(fmt.Sprint("c", i), "pay", "Charge", 2, wire.OK, 0)
	}
	n.wait(60)
	n.call("much", "pay", "Charge", 5, wire.OK, 0)
	n.wait(1)
	for _, c := range n.callers {
		if !c.shown && c.entered != 0 {
			t.Errorf("%s has lost its place, and keeps %d calls for when it is back", c.name, c.entered)
		}
	}
	all, err := gather(n)
	if _, shown := all["twohop_caller_calls_total little"]; shown || err != nil {
		t.Errorf("little is shown (%v)", err)
	}
	if all["twohop_caller_calls_total much"] != 5 || all["twohop_caller_calls_total _other"] != 103 {
		t.Errorf("much has %v, %s %v; want 5 and 103", all["twohop_caller_calls_total much"], Other, all["twohop_caller_calls_total _other"])
	}
}
