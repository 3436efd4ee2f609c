package ratelimit

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// passed returns how many of the tries that come every step get a token, from start to end.
func passed(b *Bucket, start, end, step time.Duration) (n int) {
	for now := start; now < end; now += step {
		if ok, _ := b.Take(now); ok {
			n++
		}
	}
	return n
}

func TestTheRateIsExactOverWindows(t *testing.T) {
	for _, rate := range []float64{1, 3, 7.5, 10, 100, 999, 1_000, 33_333, 1e6} {
		for _, window := range []time.Duration{time.Second, 10 * time.Second, 100 * time.Second} {
			if rate*window.Seconds() > 2e7 {
				continue // TestNothingDrifts goes further, by fewer tries
			}
			// A burst of 2, so that what is earned between two tries is not lost. The demand is 1.7 times the limit, at no multiple of it,
			// and the bucket is emptied first.
			b := NewBucket(rate, 2)
			step := max(time.Duration(float64(time.Second)/(rate*1.7)), 1)
			start := 1234567 * time.Microsecond
			for range 5 {
				b.Take(start - 1)
			}
			got, want := float64(passed(b, start, start+window, step)), rate*window.Seconds()
			if math.Abs(got-want) > max(want/100, 1) {
				t.Errorf("%v/s over %v: %v passed, want %v ± 1 %%", rate, window, got, want)
			}
		}
	}
}

func TestHalfACallPerSecond(t *testing.T) {
	b := NewBucket(0.5, 1)
	b.Take(-time.Second) // empty
	if got := passed(b, 0, 100*time.Second+1, 100*time.Millisecond); got != 50 {
		t.Errorf("%d calls in 100 s, want 50", got)
	}
}

// TestNothingDrifts takes all that there is at times far apart: after years the sum is what the rate says, to the token.
func TestNothingDrifts(t *testing.T) {
	for _, rate := range []float64{1e-6, 0.1, 1.0 / 3, 1, 7, 1e3, 1e6 / 3, 1e6, 123_456.789} {
		b := NewBucket(rate, 2) // 2, so that what is earned while a try waits is not lost
		now, total := time.Duration(0), 0.0
		step := time.Duration(float64(time.Second) / rate)
		for range min(10_000, int(100*365*24*time.Hour/step)) {
			// A try before the token is there, and one after.
			now += step - step/8
			ok, retry := b.Take(now)
			if ok {
				total++
			} else if retry > 0 {
				now += retry
				if ok, _ := b.Take(now); !ok {
					t.Fatalf("%v/s: no token after the wait that was named", rate)
				}
				total++
			}
		}
		if want := rate * now.Seconds(); total > want+2 || total < want-1 {
			t.Errorf("%v/s: %v passed in %v, want %v", rate, total, now, want)
		}
	}
	// Ten years in which a million pass per second.
	b, year := NewBucket(1e6, 1e5), 365*24*time.Hour
	for now := time.Duration(0); now < 10*year; now += year / 7 {
		n := 0
		for ok := true; ok; n++ {
			ok, _ = b.Take(now)
		}
		if n-1 != 1e5 {
			t.Fatalf("%d passed at %v, want the burst", n-1, now)
		}
	}
}

func TestRetryIsWhenThereIsAToken(t *testing.T) {
	for _, rate := range []float64{1e-7, 0.3, 1, 10, 333, 1e4, 1e6, 7e6, 1e8} {
		b, now := NewBucket(rate, 3), 77*time.Hour
		for range 3 {
			b.Take(now)
		}
		for range 100 {
			ok, retry := b.Take(now)
			if ok || retry <= 0 {
				t.Fatalf("%v/s: took a token, or was told %v, when there was none", rate, retry)
			}
			if retry > 5 {
				if ok, _ := b.Take(now + retry - 5); ok {
					t.Fatalf("%v/s: there was a token 5 ns before the wait that was named", rate)
				}
			}
			now += retry
			if ok, _ := b.Take(now); !ok {
				t.Fatalf("%v/s: no token after %v, though that was named", rate, retry)
			}
			if rate == 1e-7 {
				break // a hundred days each
			}
		}
	}
}

func TestOddSettings(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(-1)} {
		b := NewBucket(rate, 10)
		if ok, retry := b.Take(time.Hour); ok || retry != 0 {
			t.Errorf("a rate of %v: %v, retry %v; want nothing to pass, and no advice", rate, ok, retry)
		}
		if _, ok := b.Reserve(time.Hour, time.Hour); ok || b.Rate() != 0 {
			t.Errorf("a rate of %v: reserved; rate %v", rate, b.Rate())
		}
	}
	for _, burst := range []float64{0, -3, 0.2, 1, math.NaN()} {
		if got := passed(NewBucket(1, burst), 0, 10, 1); got != 1 {
			t.Errorf("a burst of %v: %d pass at once, want 1", burst, got)
		}
	}
	b := NewBucket(math.Inf(1), math.Inf(1))
	if ok, _ := b.Take(0); !ok || b.Rate() != MaxPerSecond {
		t.Errorf("a rate without end: %v at %v", ok, b.Rate())
	}
	if got := passed(NewBucket(2, 2.5), 0, time.Nanosecond*5, 1); got != 2 {
		t.Errorf("%d pass of a burst of 2.5, want 2", got)
	}
	// A long pause fills the burst and no more, however long.
	b = NewBucket(10, 5)
	for _, now := range []time.Duration{time.Hour, math.MaxInt64 - 1, math.MaxInt64} {
		if got := passed(b, now, now+1, 1); now < math.MaxInt64 && got != 1 {
			t.Errorf("%d at %v", got, now)
		}
	}
	if ok, _ := b.Take(-time.Hour); !ok && b.Asked() == 0 {
		t.Error("a time before the start is none")
	}
}

func TestReserve(t *testing.T) {
	b, now := NewBucket(10, 2), time.Second
	for i, want := range []int64{0, 0, 100, 200, 300} {
		wait, ok := b.Reserve(now, 300*time.Millisecond)
		if !ok || wait.Milliseconds() != want || wait%time.Millisecond != 0 {
			t.Errorf("reservation %d: wait %v %v, want %d ms", i, wait, ok, want)
		}
	}
	wait, ok := b.Reserve(now, 300*time.Millisecond)
	if ok || wait != 400*time.Millisecond {
		t.Errorf("past the longest wait: %v %v, want 400ms and a refusal", wait, ok)
	}
	if wait, ok = b.Reserve(now+100*time.Millisecond, 300*time.Millisecond); !ok || wait != 300*time.Millisecond {
		t.Errorf("a refusal has taken a token: wait %v %v, want 300ms", wait, ok)
	}
	if _, ok = b.Reserve(now, -time.Hour); ok {
		t.Error("less than no wait is given a token")
	}
	if b.Asked() != 8 {
		t.Errorf("asked %d times, want 8", b.Asked())
	}
}

func TestALongQueueDoesNotOverflow(t *testing.T) {
	b := NewBucket(1e-6, 1)
	for range 100_000 {
		wait, ok := b.Reserve(math.MaxInt64/2, math.MaxInt64)
		if wait < 0 {
			t.Fatalf("wait %v", wait)
		}
		if !ok {
			return
		}
	}
	t.Error("somebody is held for 3,000 years")
}

func TestSetHandsOutNoNewBurst(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		name        string
		taken       int
		rate, burst float64
		want        int // at once, after Set
	}{
		{"faster", 10, 1000, 10, 0},
		{"a greater burst", 10, 10, 100, 0},
		{"a greater burst of a full bucket", 0, 10, 100, 10},
		{"a smaller burst of a full bucket", 0, 10, 4, 4},
		{"a smaller burst of one that is half full", 5, 10, 8, 5},
		{"slower", 4, 0.001, 10, 6},
		{"off", 0, 0, 10, 0},
	} {
		b := NewBucket(10, 10)
		for range c.taken {
			b.Take(second)
		}
		b.Set(second, c.rate, c.burst)
		if got := passed(b, second, second+1000, 1); got != c.want {
			t.Errorf("%s: %d pass at once, want %d", c.name, got, c.want)
		}
		if b.Rate() != c.rate {
			t.Errorf("%s: rate %v, want %v", c.name, b.Rate(), c.rate)
		}
	}
}

func TestSetKeepsDebtsAndGoesOnFromNow(t *testing.T) {
	b := NewBucket(10, 1)
	for range 6 {
		b.Reserve(0, time.Hour) // five are owed
	}
	b.Set(0, 100, 1)
	if wait, _ := b.Reserve(0, time.Hour); (wait - 60*time.Millisecond).Abs() > 10 {
		t.Errorf("the sixth waits %v after the rate was set to 100/s, want 60ms", wait)
	}
	b = NewBucket(10, 10)
	passed(b, 0, 100, 1) // empty
	b.Set(time.Second/2, 100, 10)
	if got := passed(b, time.Second/2, time.Second/2+10, 1); got != 5 {
		t.Errorf("%d were earned at the old rate, want 5", got)
	}
	b.Set(time.Second, 0, 10)
	b.Set(time.Minute, 100, 10)
	if got := passed(b, time.Minute, time.Minute+10, 1); got != 10 {
		t.Errorf("%d of the earned ones are left after a time without any rate, want 10", got)
	}
	b.Set(2*time.Minute, 0, 10)
	b.Set(3*time.Minute, 1, 10)
	passed(b, 3*time.Minute, 3*time.Minute+20, 1)
	b.Set(4*time.Minute, 0, 10) // 10 again
	if left := b.Left(9 * time.Minute); left > 10 || left < 9.99 {
		t.Errorf("%v are left, want 10", left)
	}
}

func TestFromTheGreatestBurstToTheLeast(t *testing.T) {
	b := NewBucket(1e-6, MaxBurst)
	b.Set(time.Second, 1e-6, 1)
	if got := passed(b, time.Second, time.Second+10, 1); got != 1 {
		t.Errorf("%d pass at once, want 1", got)
	}
	b.Set(2*time.Second, MaxPerSecond, MaxBurst)
	if got := passed(b, 2*time.Second, 2*time.Second+1, 1); got != 0 {
		t.Errorf("%d pass at once, want none: the token was taken", got)
	}
}

func TestSetWhereNothingChangesDoesNothing(t *testing.T) {
	b := NewBucket(10, 3)
	before := b.state.Load()
	if n := testing.AllocsPerRun(100, func() { b.Set(time.Second, 10, 3) }); n != 0 || b.state.Load() != before {
		t.Errorf("%v allocations, and the schedule is the same: %v", n, b.state.Load() == before)
	}
}

// TestNeverMoreThanTheRateAndTheBurst tries a bucket with steps of time forth and a bit back, and with other settings: between any two
// calls that pass, no more do than the greatest burst and what was earned between them, at the rates that were in force.
func TestNeverMoreThanTheRateAndTheBurst(t *testing.T) {
	rates := rapid.OneOf(rapid.SampledFrom([]float64{0, 0.5, 1, 10, 1e3, 1e6}), rapid.Float64Range(0.01, 1e6))
	bursts := rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 2.5, 10}), rapid.Float64Range(1, 30))
	rapid.Check(t, func(t *rapid.T) {
		type setting struct {
			from, rate float64
		}
		start := time.Duration(rapid.Int64Range(0, 1e17).Draw(t, "start"))
		seconds := func(now time.Duration) float64 { return (now - start).Seconds() }
		rate, burst := rates.Draw(t, "rate"), bursts.Draw(t, "burst")
		settings := []setting{{-1e9, rate}}
		// earned returns what comes between two times.
		earned := func(from, to float64) (sum float64) {
			for i, s := range settings {
				end := math.Inf(1)
				if i+1 < len(settings) {
					end = settings[i+1].from
				}
				sum += s.rate * max(min(to, end)-max(from, s.from), 0)
			}
			return sum
		}
		b, most := NewBucket(rate, burst), max(burst, 1)
		latest := start
		var took []float64 // when
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			latest += time.Duration(rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, 1e6), rapid.Int64Range(0, 1e11)).Draw(t, "step"))
			if rapid.IntRange(0, 4).Draw(t, "set") == 0 {
				rate, burst = rates.Draw(t, "rate"), bursts.Draw(t, "burst")
				b.Set(latest, rate, burst)
				settings, most = append(settings, setting{seconds(latest), rate}), max(most, burst)
			}
			now := latest
			if rapid.IntRange(0, 3).Draw(t, "back") == 0 {
				now -= time.Duration(rapid.Int64Range(0, 1e7).Draw(t, "by"))
			}
			for range rapid.IntRange(0, 15).Draw(t, "tries") {
				if ok, _ := b.Take(now); ok {
					took = append(took, seconds(now))
				}
			}
		}
		slack := 0.01 * float64(len(settings)) // a few nanoseconds of a million per second
		for i, first := range took {
			last := first
			for j, at := range took[i:] {
				last = max(last, at)
				if may := most + earned(first, last) + slack; float64(j+1) > may {
					t.Fatalf("%d passed from %v s to %v s, %v may", j+1, first, last, may)
				}
			}
		}
	})
}

// TestConcurrentCallsNeverTakeMore has everybody take at once, at times that are a bit apart, while the setting changes.
func TestConcurrentCallsNeverTakeMore(t *testing.T) {
	for _, set := range []bool{false, true} {
		const rate, burst = 1000.0, 50.0
		b := NewBucket(rate, burst)
		var clock, taken, tries atomic.Int64
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(worker)))
				for range 50_000 {
					now := time.Duration(clock.Add(1000)) - time.Duration(rnd.Int64N(int64(10*time.Microsecond)))
					tries.Add(1)
					if ok, _ := b.Take(now); ok {
						taken.Add(1)
					}
				}
			})
		}
		if set {
			all.Go(func() {
				for i := range 20_000 {
					b.Set(time.Duration(clock.Load()), rate-float64(i%2), burst-float64(i%3))
				}
			})
		}
		all.Wait()
		most := burst + rate*time.Duration(clock.Load()).Seconds()
		got := float64(taken.Load())
		if got > most {
			t.Errorf("%v were taken, at most %v may be (set %v)", got, most, set)
		}
		if !set && got < most-1-rate*1e-5 {
			t.Errorf("%v were taken of %v: some were lost", got, most)
		}
		if b.Asked() != uint64(tries.Load()) {
			t.Errorf("asked %d times, want %d", b.Asked(), tries.Load())
		}
	}
}

// TestNoTokenIsTakenTwice has everybody take from one burst at once: a token that two got would be one too many in the end. The
// detector of races makes it sharp.
func TestNoTokenIsTakenTwice(t *testing.T) {
	const tokens = 150_000
	b := NewBucket(1e-3, tokens)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range tokens / 2 {
				if ok, _ := b.Take(time.Hour); ok {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != tokens {
		t.Errorf("%d were taken of %d tokens", taken.Load(), tokens)
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	b, now := NewBucket(1000, 10), time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		b.Take(now)
		b.Reserve(now, time.Second)
		now += time.Microsecond
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name string
		rate float64
	}{{"passes", 1e8}, {"does not", 1}} {
		bucket := NewBucket(c.rate, 1)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for now := time.Duration(0); b.Loop(); now += 10 {
				bucket.Take(now)
			}
		})
		b.Run(c.name+"/parallel", func(b *testing.B) {
			var workers atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(each *testing.PB) {
				for now := time.Hour * time.Duration(workers.Add(1)); each.Next(); now += 10 {
					bucket.Take(now)
				}
			})
		})
	}
}
