package stats

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

func TestOptionsThatAreWrong(t *testing.T) {
	_, err := New(Options{})
	wantText(t, err, "Now and Wall are needed")
	_, err = try(t, noon, Options{MaxCallers: -1})
	wantText(t, err, "MaxCallers", "-1")
	_, err = try(t, noon, Options{Baseline: Baseline{Weight: 2, Begin: -1}})
	wantText(t, err, "Baseline.Weight is 2", "at most 1", "Baseline.Begin is -1")
}

// TestMoreCallersThanAreKept: calls beyond the bound are counted, and an operator hears of it.
func TestMoreCallersThanAreKept(t *testing.T) {
	const callers = 10500
	n := at(t, noon, Options{})
	meters := make([]governance.Meter, callers)
	for i := range meters {
		meters[i] = n.meterOf(fmt.Sprint("caller", i), "pay", fmt.Sprint("M", i%3))
		meters[i].Entered()
		meters[i].Finished(0, time.Millisecond)
	}
	if len(n.Troubles()) > 0 {
		t.Errorf("before the minute is over: %v", n.Troubles())
	}
	n.wait(60)
	if r := one(t, n.Now(Query{By: ByNothing, Total: true})); r.Entered != callers || r.Finished != callers {
		t.Errorf("counted %d and %d, want %d", r.Entered, r.Finished, callers)
	}
	if r := one(t, n.Now(Query{By: ByCaller, Caller: Other})); r.Entered != callers-DefaultMaxCallers {
		t.Errorf("%s has %d calls, want %d", Other, r.Entered, callers-DefaultMaxCallers)
	}
	if rows := n.Now(Query{By: ByCallerMethod, Caller: Other}); len(rows) != 3 {
		t.Errorf("%s has %d methods, want 3", Other, len(rows))
	}
	troubles := n.Troubles()
	if len(troubles) != 1 || troubles[0].Kind != StatsOverflow || !troubles[0].Since.Equal(noon) || !contains(troubles[0].Cause, "500 times") {
		t.Errorf("troubles: %+v", troubles)
	}
	n.check()
	n.jump(61 * time.Minute)
	n.wait(120)
	for range ring {
		n.jump(time.Minute)
	}
	if troubles := n.Troubles(); len(troubles) != 0 {
		t.Errorf("an hour after the last such call: %+v", troubles)
	}
	runtime.KeepAlive(meters)
}

// TestBucketsOfManyAreBounded: whoever makes up names fills neither memory nor the room of others.
func TestBucketsOfManyAreBounded(t *testing.T) {
	n := at(t, noon, Options{MaxCallers: 40})
	var held []governance.Meter
	for i := range 1000 { // one caller has a quarter of the room, and one bucket
		held = append(held, n.meterOf("fuzz", fmt.Sprint("m", i), "x"))
		held[i].Entered()
	}
	n.wait(1)
	if got := len(n.Now(Query{By: ByCallerMethod, Caller: "fuzz"})); got != 11 {
		t.Errorf("one caller has %d subjects, want 11", got)
	}
	if r := one(t, n.Now(Query{By: ByCallerMethod, Module: Other})); r.Caller != "fuzz" || r.Entered != 990 {
		t.Errorf("got %+v", r)
	}
	for i := range 1000 {
		held = append(held, n.meterOf(fmt.Sprint("c", i), fmt.Sprint("m", i), "x"))
		held[len(held)-1].Entered()
	}
	n.wait(1)
	if r := one(t, n.Now(Query{By: ByCallerMethod, Caller: Other, Module: Other})); r.Entered != 1000-30-3 {
		t.Errorf("the last bucket has %d calls, want %d", r.Entered, 1000-30-3)
	}
	if r := one(t, n.Now(Query{By: ByNothing})); r.Entered != 2000 {
		t.Errorf("counted %d, want 2000", r.Entered)
	}
	if got := len(n.list); got > 40+4+1 {
		t.Errorf("%d subjects are kept", got)
	}
	n.check()
	runtime.KeepAlive(held)
}

func TestSubjectsWithoutCallsAreDropped(t *testing.T) {
	n := at(t, noon, Options{})
	held := n.meterOf("held", "pay", "Charge")
	held.Entered()
	held.Started()
	held.Finished(0, time.Millisecond)
	n.call("gone", "pay", "Charge", 5, wire.OK, time.Millisecond)
	n.call("gone", "old", "Way", 2, wire.AppError, time.Millisecond)
	n.wait(60)
	runtime.GC() // nobody holds the other meters
	runtime.GC()
	n.jump(58 * time.Minute)
	n.wait(60)
	if got := len(n.Now(Query{By: ByCallerMethod})); got != 3 {
		t.Fatalf("before the hour is over: %d subjects, want 3", got)
	}
	n.wait(120)
	n.check()
	row := one(t, n.Now(Query{By: ByCallerMethod, Total: true}))
	if row.Caller != "held" {
		t.Errorf("left is %+v", row)
	}
	if len(n.subjects) != 1 || len(n.callers) != 1 || len(n.methods) != 1 || len(n.ofCaller) != 1 {
		t.Errorf("left are %d subjects, %d callers, %d methods", len(n.subjects), len(n.callers), len(n.methods))
	}
	// The holder comes back: what it counts is seen, and the name is no other subject.
	held.Entered()
	if n.meterOf("held", "pay", "Charge") != held {
		t.Error("who asks again gets another meter")
	}
	n.wait(1)
	if row := one(t, n.Now(Query{By: ByCallerMethod, Total: true})); row.Entered != 2 || row.InFlight != 1 {
		t.Errorf("entered %d, in flight %d, want 2 and 1", row.Entered, row.InFlight)
	}
	n.call("gone", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	if row := one(t, n.Now(Query{By: ByCallerMethod, Caller: "gone", Total: true})); row.Entered != 1 {
		t.Errorf("a subject that was dropped begins anew: entered %d, want 1", row.Entered)
	}
	n.check()
	runtime.KeepAlive(held)
}

// TestMemoryOfASubject measures what stands in doc.go.
func TestMemoryOfASubject(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const subjects = 10000
	n := at(t, noon, Options{})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	meters := make([]governance.Meter, subjects)
	for i := range meters {
		meters[i] = n.meterOf(fmt.Sprintf("caller-%05d", i), "payments", "Charge")
	}
	for range 2 {
		for i, m := range meters { // calls as they are: of several times and codes
			for k := range 20 {
				m.Entered()
				m.Started()
				m.Finished([]uint16{0, 0, 0, 0, 96}[k%5], time.Duration(100<<(k%8)+i%50)*time.Microsecond)
			}
		}
		n.jump(time.Minute)
	}
	n.rollups.pending = nil
	each := (heap() - before) / subjects
	t.Logf("%d bytes a subject", each)
	if each > 3000 {
		t.Errorf("a subject takes %d bytes, doc.go says 2.6 KB", each)
	}
	runtime.KeepAlive(meters)
}
