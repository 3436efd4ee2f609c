package stats

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

func TestCountingAllocatesNothing(t *testing.T) {
	n := at(t, noon, Options{})
	m := n.meterOf("web", "pay", "Charge")
	count := func() {
		m.Entered()
		m.Started()
		m.Finished(uint16(wire.Timeout), 3*time.Millisecond)
	}
	if allocs := testing.AllocsPerRun(1000, count); allocs != 0 {
		t.Errorf("counting a call takes %v allocations", allocs)
	}
	n.subjects[name{"web", "pay", "Charge"}].counters.stripe()
	if allocs := testing.AllocsPerRun(1000, count); allocs != 0 {
		t.Errorf("counting a call in stripes takes %v allocations", allocs)
	}
	if allocs := testing.AllocsPerRun(1000, func() { n.meterOf("web", "pay", "Charge") }); allocs > 1 {
		t.Errorf("asking for a meter that is there takes %v allocations", allocs)
	}
}

func TestAMeterIsTheSameWhileItIsUsed(t *testing.T) {
	n := at(t, noon, Options{})
	a, b := n.meterOf("web", "pay", "Charge"), n.Meter(governance.Subject{Caller: "web", Module: "pay", Method: "Charge", Group: "eu"})
	if a != b {
		t.Error("two meters of one subject: the group counts")
	}
	if a == n.meterOf("web", "pay", "Refund") || a == n.meterOf("app", "pay", "Charge") {
		t.Error("one meter of two subjects")
	}
	runtime.KeepAlive(a)
}

// TestSumsAreExact counts from many goroutines while minutes end, subjects get stripes and are dropped, as their time flies, and somebody
// looks.
func TestSumsAreExact(t *testing.T) {
	n := at(t, noon, Options{})
	const counting, calls = 8, 20000
	codes := []wire.Code{wire.OK, wire.RateLimited, wire.AppError, wire.Timeout}
	var want struct {
		sync.Mutex
		us    uint64
		codes map[string]uint64
	}
	want.codes = make(map[string]uint64)
	var counters, others sync.WaitGroup
	done := make(chan struct{})
	for i := range counting {
		counters.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			var us uint64
			by := make(map[string]uint64)
			for range calls {
				m := n.meterOf(fmt.Sprint("caller", random.IntN(3)), "pay", "Charge")
				m.Entered()
				m.Started()
				took := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
				code := codes[random.IntN(len(codes))]
				m.Finished(uint16(code), took)
				us += uint64(took.Microseconds())
				by[code.String()]++
			}
			want.Lock()
			defer want.Unlock()
			want.us += us
			for code, n := range by {
				want.codes[code] += n
			}
		})
	}
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			for _, r := range n.Now(Query{Total: true}) {
				if r.InFlight < 0 || r.Finished > r.Entered {
					t.Errorf("seen: %d in flight, %d finished of %d", r.InFlight, r.Finished, r.Entered)
				}
			}
			if i == 3 {
				n.mu.Lock()
				for _, s := range n.list {
					s.counters.stripe()
				}
				n.mu.Unlock()
			}
			n.check()
			runtime.Gosched()
		}
	})
	others.Go(func() {
		now, minute := n.now, noon
		for {
			select {
			case <-done:
				return
			default:
			}
			now += time.Minute
			minute = minute.Add(time.Minute)
			n.sample(now)
			n.close(now, minute)
			runtime.Gosched()
		}
	})
	counters.Wait()
	close(done)
	others.Wait()
	n.close(n.now, noon)
	n.mu.Lock()
	all := n.closed
	n.mu.Unlock()
	if all.entered != counting*calls || all.started != all.entered || all.codes.all() != all.entered || all.times.Count() != all.entered {
		t.Errorf("entered %d, started %d, finished %d, timed %d: want %d of each",
			all.entered, all.started, all.codes.all(), all.times.Count(), counting*calls)
	}
	if all.sumUS != want.us {
		t.Errorf("times add up to %d µs, want %d", all.sumUS, want.us)
	}
	for code, n := range want.codes {
		if all.codes.byName()[code] != n {
			t.Errorf("%s: %d, want %d", code, all.codes.byName()[code], n)
		}
	}
	n.check()
}

func TestABusySubjectGetsStripes(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("there is one core")
	}
	n := at(t, noon, Options{})
	n.call("web", "pay", "Charge", stripedFrom-1, wire.OK, time.Millisecond)
	n.wait(1)
	c := n.subjects[name{"web", "pay", "Charge"}].counters
	if c.stripes.Load() != nil {
		t.Error("it has stripes, and was not busy")
	}
	n.call("web", "pay", "Charge", stripedFrom, wire.OK, time.Millisecond)
	n.wait(1)
	if c.stripes.Load() == nil {
		t.Fatal("it was busy, and has no stripes")
	}
	n.call("web", "pay", "Charge", 7, wire.OK, time.Millisecond)
	n.wait(60)
	if r := one(t, n.Now(Query{Total: true})); r.Entered != 2*stripedFrom+6 || r.Finished != r.Entered {
		t.Errorf("entered %d, finished %d, want %d", r.Entered, r.Finished, 2*stripedFrom+6)
	}
	n.check()
}

func TestCodesWithoutAClassCountAsTheLast(t *testing.T) {
	n := at(t, noon, Options{})
	m := n.meterOf("web", "pay", "Charge")
	for _, code := range []uint16{127, 128, 65535} {
		m.Entered()
		m.Finished(code, -time.Second)
	}
	if r := one(t, n.Now(Query{})); r.Codes["CODE(127)"] != 3 || r.Classes["unknown"] != 3 || r.SumUS != 0 {
		t.Errorf("got %v, %v, %d µs", r.Codes, r.Classes, r.SumUS)
	}
}

func benchBooks(b *testing.B) (governance.Meter, *counters) {
	start := time.Now()
	books, err := New(Options{Now: func() time.Duration { return time.Since(start) }, Wall: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	m := books.Meter(governance.Subject{Caller: "web", Module: "pay", Method: "Charge"})
	return m, m.(*meter).to
}

func count(m governance.Meter, i int) {
	m.Entered()
	m.Started()
	m.Finished(0, time.Duration(i&(1<<20-1)))
}

// BenchmarkCount is a whole call: Entered, Started and Finished.
func BenchmarkCount(b *testing.B) {
	alone := func(b *testing.B, m governance.Meter) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			count(m, i)
		}
	}
	all := func(b *testing.B, m governance.Meter) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				count(m, i)
			}
		})
	}
	b.Run("alone", func(b *testing.B) { m, _ := benchBooks(b); alone(b, m) })
	b.Run("alone/stripes", func(b *testing.B) { m, c := benchBooks(b); c.stripe(); alone(b, m) })
	b.Run("parallel", func(b *testing.B) { m, _ := benchBooks(b); all(b, m) })
	b.Run("parallel/stripes", func(b *testing.B) { m, c := benchBooks(b); c.stripe(); all(b, m) })
}

func BenchmarkMeter(b *testing.B) {
	m, _ := benchBooks(b)
	books, err := New(Options{Now: func() time.Duration { return 0 }, Wall: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	held := books.Meter(governance.Subject{Caller: "web", Module: "pay", Method: "Charge"})
	for b.Loop() {
		books.Meter(governance.Subject{Caller: "web", Module: "pay", Method: "Charge"})
	}
	runtime.KeepAlive(held)
	runtime.KeepAlive(m)
}
