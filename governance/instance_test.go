package governance

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRamp(t *testing.T) {
	i := NewInstance("pay-1", "u", 0, 10*time.Second)
	for _, c := range []struct {
		now  time.Duration
		want float64
	}{{0, 0.1}, {10 * time.Second, 0.1}, {25 * time.Second, 0.55}, {40 * time.Second, 1}, {math.MaxInt64, 1}} {
		if got := i.Ramp(c.now); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("at %v: %v, want %v", c.now, got, c.want)
		}
	}
	if i.Weight != DefaultWeight {
		t.Errorf("weight %d, want the default", i.Weight)
	}
}

func TestAnInstanceIsAsOldAsItsOldestSession(t *testing.T) {
	i := NewInstance("pay-1", "u", 0, 10*time.Second)
	i.LoggedIn(20 * time.Second)
	if i.Since() != 10*time.Second {
		t.Errorf("since %v after a later login, want 10 s", i.Since())
	}
	i.LoggedIn(-time.Second)
	if i.Since() != -time.Second || i.Ramp(29*time.Second) != 1 {
		t.Errorf("since %v and a ramp of %v after an earlier login, want -1 s and 1", i.Since(), i.Ramp(29*time.Second))
	}
}

func TestFailingRisesFallsAndFades(t *testing.T) {
	i := NewInstance("pay-1", "u", 0, 0)
	end := func(now time.Duration, o Outcome, times int) {
		for range times {
			i.Begin()
			i.End(now, o)
		}
	}
	end(0, Local, 100)
	end(0, Succeeded, 100)
	if got := i.Failing(0); got != 0 {
		t.Fatalf("%v before any failure", got)
	}
	end(time.Second, Failed, 1)
	if got := i.Failing(time.Second); math.Abs(got-1.0/16) > 0.001 {
		t.Errorf("%v after one failure, want 1/16", got)
	}
	end(time.Second, Unknown, 100)
	full := i.Failing(time.Second)
	if full < 0.99 || full > 1 {
		t.Errorf("%v after 100 failures, want about 1", full)
	}
	if got := i.Failing(2 * time.Second); got != full {
		t.Errorf("%v after a quiet second, want %v still", got, full)
	}
	if got := i.Failing(12 * time.Second); math.Abs(got-full/math.E) > 0.001 {
		t.Errorf("%v after ten seconds more, want 1/e", got)
	}
	if got := i.Failing(0); got != full {
		t.Errorf("%v at an earlier time, want %v as if no time had passed", got, full)
	}
	end(0, Succeeded, 1)
	if got := i.Failing(time.Second); math.Abs(got-full*15/16) > 0.001 {
		t.Errorf("%v after a success that brings an earlier time, want 15/16", got)
	}
	end(time.Second, Succeeded, 500)
	if got := i.Failing(time.Second); got != 0 {
		t.Errorf("%v after 500 successes, want exactly 0", got)
	}
}

func TestConcurrentOutcomesAreAllCounted(t *testing.T) {
	instances := make([]*Instance, 20_000)
	for n := range instances {
		instances[n] = NewInstance("pay-1", "u", 0, 0)
	}
	var arrived atomic.Int64
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for n, i := range instances {
				// Until both are here, so that they end at the same moment; yielding at once would take turns on one core.
				arrived.Add(1)
				for spins := 0; arrived.Load() < int64(2*n+2); spins++ {
					if spins > 10_000 {
						runtime.Gosched()
					}
				}
				i.Begin()
				i.End(0, Refused)
			}
		})
	}
	all.Wait()
	for n, i := range instances {
		if want := 1 - 15.0/16*15.0/16; math.Abs(i.Failing(0)-want) > 0.001 || i.Outstanding() != 0 {
			t.Fatalf("instance %d: %v after two failures, want %v; %d outstanding", n, i.Failing(0), want, i.Outstanding())
		}
	}
}
