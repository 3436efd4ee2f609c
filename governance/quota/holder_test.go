package quota

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

// counter makes calls at a rate, evenly or by chance, and lets a Demand look.
type counter struct {
	d     Demand
	now   time.Duration
	count float64
	rnd   *rand.Rand
}

// run returns how many times the rate was said to have changed.
func (c *counter) run(rate float64, d time.Duration) (changes int) {
	for end := c.now + d; c.now < end; {
		c.now += Every
		if c.rnd == nil {
			c.count += rate * Every.Seconds()
		} else {
			// Calls come by chance: exponential gaps.
			for at := c.rnd.ExpFloat64() / rate; at < Every.Seconds(); at += c.rnd.ExpFloat64() / rate {
				c.count++
			}
		}
		if c.d.Look(c.now, uint64(c.count)) {
			changes++
		}
	}
	return changes
}

func TestASteadyDemandIsMeasuredOverASecond(t *testing.T) {
	for _, rate := range []float64{1, 10, 100, 1e4, 1e6} {
		c := counter{}
		if changes := c.run(rate, 10*time.Second); changes != 0 {
			t.Errorf("%v/s: said to change %d times", rate, changes)
		}
		if got := c.d.PerSecond(); math.Abs(got-rate) > rate/50+1 {
			t.Errorf("%v/s: measured as %v", rate, got)
		}
	}
}

func TestChanceIsHardlyEverAChange(t *testing.T) {
	for _, rate := range []float64{5, 100, 2_000, 50_000} {
		c := counter{rnd: rand.New(rand.NewPCG(1, 1))}
		c.run(rate, 2*time.Second)
		if changes := c.run(rate, 60*time.Second); changes > 60 {
			t.Errorf("%v/s by chance: said to change %d times in a minute", rate, changes)
		}
		if got := c.d.PerSecond(); math.Abs(got-rate) > 5*math.Sqrt(rate)+rate/4 {
			t.Errorf("%v/s by chance: measured as %v", rate, got)
		}
	}
}

func TestAShiftIsSeenSoon(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		within   time.Duration
	}{
		{2_000, 0, 20 * ms}, {500, 0, 40 * ms}, {100, 0, 120 * ms}, {10, 0, time.Second},
		{0, 2_000, 20 * ms}, {0, 100, 80 * ms}, {100, 10_000, 20 * ms}, {1_000, 500, 120 * ms},
	} {
		n := counter{}
		n.run(c.from, 5*time.Second)
		n.run(c.to, c.within)
		n.run(c.to, 40*ms) // one look more, as the first may be old in part
		if got := n.d.PerSecond(); math.Abs(got-c.to) > c.to/4+c.from/20 {
			t.Errorf("%v/s → %v/s: measured as %v after %v", c.from, c.to, got, c.within)
		}
	}
}

func TestLooksAtNoLaterTimeAreNotTaken(t *testing.T) {
	var d Demand
	if d.PerSecond() != 0 {
		t.Error("a rate before any look")
	}
	d.Look(ms, 10)
	if d.PerSecond() != 0 {
		t.Error("a rate after one look")
	}
	d.Look(ms, 20)
	d.Look(0, 30)
	d.Look(11*ms, 20)
	if got := d.PerSecond(); math.Abs(got-1000) > 1e-6 {
		t.Errorf("%v, want 10 calls in 10 ms", got)
	}
	d.Look(time.Hour, 20)
	d.Look(time.Hour+ms, 20)
	if got := d.PerSecond(); got > 0.1 {
		t.Errorf("%v after an hour without looks", got)
	}
}

func TestRate(t *testing.T) {
	held := func(change func(h *Holder)) *Holder {
		h := &Holder{}
		h.Asks(time.Second)
		h.Granted(80, Valid)
		if change != nil {
			change(h)
		}
		return h
	}
	for _, c := range []struct {
		name     string
		h        *Holder
		now      time.Duration
		members  int
		linked   bool
		want     float64
		fallback bool
	}{
		{"alone", &Holder{}, 0, 1, false, 90, false},
		{"before the first answer", &Holder{}, 0, 3, true, 0.3, false},
		{"no link", &Holder{}, 0, 3, false, 30, true},
		{"a lease", held(nil), 1500 * ms, 3, true, 80, false},
		{"a lease, the link lost", held(nil), 1500 * ms, 3, false, 80, false},
		{"a lease that has run out, the link lost", held(nil), 2 * time.Second, 3, false, 30, true},
		{"a lease that has run out, nothing asked since", held(nil), 2 * time.Second, 3, true, 0.3, false},
		{"a lease that may have been given away", held(func(h *Holder) { h.Failed() }), 1500 * ms, 3, true, 30, true},
		{"a small one that may have been given away", held(func(h *Holder) { h.Granted(5, Valid); h.Failed() }), 1500 * ms, 3, true, 5, true},
		{"no answer, and the lease has run out", held(func(h *Holder) { h.Failed() }), 2 * time.Second, 3, true, 30, true},
		{"no answer to the first question", held(func(h *Holder) { *h = Holder{}; h.Asks(0); h.Failed() }), 0, 3, true, 30, true},
		{"an answer again", held(func(h *Holder) { h.Failed(); h.Asks(3 * time.Second); h.Granted(70, Valid) }), 3500 * ms, 3, true, 70, false},
		{"a lease of more than the limit is now", held(func(h *Holder) { h.Granted(500, Valid) }), 1500 * ms, 3, true, 90, false},
		{"a lease that is said to be too long", held(func(h *Holder) { h.Granted(80, time.Hour) }), 2 * time.Second, 3, true, 0.3, false},
	} {
		got, fallback := c.h.Rate(c.now, 90, c.members, c.linked)
		if math.Abs(got-c.want) > 1e-9 || fallback != c.fallback {
			t.Errorf("%s: %v, fallback %v; want %v, %v", c.name, got, fallback, c.want, c.fallback)
		}
	}
}

func TestWhenToAsk(t *testing.T) {
	// play asks as the room does, and returns the times of the questions.
	play := func(h *Holder, from, to time.Duration, rate float64, answer func(h *Holder)) (times []time.Duration) {
		count := float64(h.asked)
		for now := from; now < to; now += Every {
			h.Look(now, uint64(count))
			if h.Due(now) {
				h.Asks(now)
				times = append(times, now)
				answer(h)
			}
			count += rate * Every.Seconds()
		}
		return times
	}
	enough := func(h *Holder) { h.Granted(1e9, Valid) }
	little := func(h *Holder) { h.Granted(1, Valid) }
	silence := func(h *Holder) { h.Failed() }

	h := &Holder{}
	if got := play(h, 0, 10*ms, 0, enough); len(got) != 1 {
		t.Error("a new limit is not asked for at once")
	}
	h = &Holder{}
	play(h, 0, time.Second, 1000, enough)
	if got := play(h, time.Second, 2*time.Second, 1000, enough); len(got) < 10 || len(got) > 11 {
		t.Errorf("asks %d times a second under a steady demand, want 10", len(got))
	}
	if got := play(h, 2*time.Second, 2060*ms, 50_000, little); len(got) < 2 {
		t.Errorf("asks at %v when the demand jumps and the share does not, want at each look", got)
	}
	if got := play(h, 3*time.Second, 4*time.Second, 50_000, little); len(got) > 45 { // at each look for 300 ms
		t.Errorf("asks %d times a second though the demand is steady, if too great", len(got))
	}
	if got := play(h, 4*time.Second, 5*time.Second, 50_000, silence); len(got) > 10 {
		t.Errorf("asks %d times a second one who does not answer, want 10", len(got))
	}
	play(h, 5*time.Second, 16*time.Second, 0, enough)
	if got := play(h, 16*time.Second, 30*time.Second, 0, enough); len(got) != 0 {
		t.Errorf("asks at %v when it has been idle for 11 s", got)
	}
	if got := play(h, 30*time.Second, 30100*ms, 2000, enough); len(got) == 0 || got[0] > 30040*ms {
		t.Errorf("asks at %v when calls come again at 30 s", got)
	}
	h = &Holder{}
	play(h, 0, 100*ms, 0, silence)
	if got := play(h, 20*time.Second, 21*time.Second, 0, silence); len(got) != 10 {
		t.Errorf("asks %d times a second one who has not answered, want 10 until it does", len(got))
	}
}

// TestWhoRestsMissesNothing compares a holder that is looked at all the time with one that is not while it rests.
func TestWhoRestsMissesNothing(t *testing.T) {
	for _, members := range []int{1, 3} {
		awake, sleeper := &Holder{}, &Holder{}
		count, rests, rested := 0.0, false, 0
		play := func(from, to time.Duration, rate float64) {
			for now := from; now < to; now += Every {
				for _, h := range []*Holder{awake, sleeper} {
					if h == sleeper && rests {
						if uint64(count) == h.asked {
							rested++
							continue
						}
						h.Wake(now - Every)
					}
					h.Look(now, uint64(count))
					if members > 1 && h.Due(now) {
						h.Asks(now)
						h.Granted(20, Valid)
					}
				}
				rests = sleeper.Rests(now, members)
				a, af := awake.Rate(now, 90, members, true)
				s, sf := sleeper.Rate(now, 90, members, true)
				if a != s || af != sf || (awake.shift-sleeper.shift).Abs() > Every || math.Abs(awake.Demand()-sleeper.Demand()) > awake.Demand()/8+1e-9 {
					t.Fatalf("%d members, at %v: a rate of %v for a demand of %v with a shift at %v, and of %v for %v with one at %v where it rests",
						members, now, a, awake.Demand(), awake.shift, s, sleeper.Demand(), sleeper.shift)
				}
				count += rate * Every.Seconds()
			}
		}
		play(0, 3*time.Second, 500)
		play(3*time.Second, 20*time.Second, 0)
		play(20*time.Second, 21*time.Second, 2_000)
		play(21*time.Second, 60*time.Second, 0)
		play(60*time.Second, 62*time.Second, 100)
		if rested < 3_000 {
			t.Errorf("%d members: it rested for %d looks of 6,200, want more than half of them", members, rested)
		}
	}
	lost := &Holder{}
	lost.Look(0, 0)
	lost.Asks(0)
	lost.Failed()
	if lost.Rests(time.Minute, 3) {
		t.Error("one that has had no answer rests")
	}
}

func TestALookDoesNotAllocate(t *testing.T) {
	h, now, n := &Holder{}, time.Duration(0), uint64(0)
	if allocs := testing.AllocsPerRun(200, func() {
		now, n = now+Every, n+100
		h.Look(now, n)
		h.Due(now)
		h.Rate(now, 100, 3, true)
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func BenchmarkLook(b *testing.B) {
	h, now, n := &Holder{}, time.Duration(0), uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		now, n = now+Every, n+100
		h.Look(now, n)
		h.Due(now)
	}
}
