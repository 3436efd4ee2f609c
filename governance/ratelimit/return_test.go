package ratelimit

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/twohop/twohop/governance"
)

func TestATokenThatIsGivenBackIsThereAgain(t *testing.T) {
	b := NewBucket(10, 5)
	want := func(now time.Duration, left float64) {
		t.Helper()
		if got := b.Left(now); math.Abs(got-left) > 1e-6 {
			t.Errorf("at %v: %v left, want %v", now, got, left)
		}
	}
	for range 3 {
		b.Take(0)
	}
	b.Return(0)
	want(0, 3)
	for range 9 {
		b.Return(0)
	}
	want(0, 5) // no more than the burst
	b.Return(time.Minute)
	b.Return(0)
	want(0, 5)
	want(time.Minute, 5)
	for range 155 {
		b.Reserve(time.Minute, time.Hour)
	}
	want(time.Minute, -150)
	for range 149 {
		b.Return(time.Minute + 50*time.Millisecond)
	}
	want(time.Minute, -1)
	if wait, _ := b.Reserve(time.Minute, time.Hour); (wait - 200*time.Millisecond).Abs() > 10 {
		t.Errorf("the next waits %v, want 200ms: one is before it", wait)
	}
	for range 1000 {
		b.Return(time.Minute)
	}
	want(50*time.Second, 5-10*10) // at a step back of now less has been earned, whatever was given back
	b.Set(2*time.Minute, 20, 2)   // other units
	b.Take(2 * time.Minute)
	b.Return(2 * time.Minute)
	want(2*time.Minute, 2)
	none := NewBucket(0, 10)
	none.Return(time.Hour)
	if ok, _ := none.Take(time.Hour); ok {
		t.Error("a token where there is no rate")
	}
	if asked := b.Asked(); asked != 160 {
		t.Errorf("%d asked for, want 160: what was given back was asked for", asked)
	}
}

// TestOnlyWhatWasTakenIsGivenBack settles as Local, or otherwise, what each kind of rule has admitted, one token into the burst and
// one or two over it.
func TestOnlyWhatWasTakenIsGivenBack(t *testing.T) {
	const ended = int64(time.Second)
	for _, c := range []struct {
		name  string
		o     Options
		rule  func(r *governance.Rule)
		at    time.Duration // of Admit
		calls int           // of which all must be admitted
		end   governance.Outcome
		left  float64 // of a burst of 2
	}{
		{"reject", Options{}, nil, 0, 2, governance.Local, 2},
		{"it ran", Options{}, nil, 0, 2, governance.Succeeded, 0},
		{"its handler failed", Options{}, nil, 0, 2, governance.Failed, 0},
		{"it may have run", Options{}, nil, 0, 2, governance.Unknown, 0},
		{"its instance refused it", Options{}, nil, 0, 2, governance.Refused, 0},
		{"pace", Options{Over: Pace, MaxWait: 24 * time.Hour}, nil, 0, 50, governance.Local, 2},
		{"pace, they ran", Options{Over: Pace, MaxWait: 24 * time.Hour}, nil, 0, 50, governance.Succeeded, -48},
		{"alarm: some had none", Options{Over: Alarm}, nil, 0, 50, governance.Local, 0},
		{"shadow: some had none", Options{}, func(r *governance.Rule) { r.Shadow = true }, 0, 50, governance.Local, 0},
		{"before the end", Options{}, func(r *governance.Rule) { r.Until = ended }, 0, 2, governance.Local, 2},
		{"after the end", Options{}, func(r *governance.Rule) { r.Until = ended }, time.Second, 50, governance.Local, 0},
	} {
		rule := ruleOf("r")
		if c.rule != nil {
			c.rule(&rule)
		}
		b := NewBucket(1e-3, 2)
		if c.at > 0 { // nothing is taken then: it shows what is given back
			b.Take(c.at)
			b.Take(c.at)
		}
		p, call := New(rule, c.o, b), &governance.Call{}
		for i := range c.calls {
			if v := p.Admit(c.at, call); !v.Admitted() {
				t.Fatalf("%s: call %d: %+v", c.name, i, v)
			}
		}
		for range c.calls {
			p.Settle(c.at, call, c.end)
		}
		if got := b.Left(c.at); math.Abs(got-c.left) > 1e-3 {
			t.Errorf("%s: %v left, want %v", c.name, got, c.left)
		}
	}
}

// TestNoMoreRunThanTheRateAndTheBurst settles some calls as Local, soon or late. From the beginning on no more run than the burst and
// what was earned; between any two of them, than that and what was given back meanwhile.
func TestNoMoreRunThanTheRateAndTheBurst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]float64{0.5, 1, 10, 333.3, 1e6}).Draw(t, "rate")
		burst := rapid.SampledFrom([]float64{1, 2.5, 10}).Draw(t, "burst")
		o := Options{Over: rapid.SampledFrom([]Over{Reject, Pace}).Draw(t, "over"), MaxWait: time.Duration(20 / rate * float64(time.Second))}
		b := NewBucket(rate, burst)
		p, call := New(ruleOf("r"), o, b), &governance.Call{}
		var admitted []time.Duration // when they start, those that are not settled
		var ran, back []time.Duration
		now := time.Duration(0)
		settle := func(i int, o governance.Outcome) {
			if o == governance.Local {
				back = append(back, now)
			} else {
				ran = append(ran, admitted[i])
			}
			admitted = append(admitted[:i], admitted[i+1:]...)
			p.Settle(now, call, o)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.Float64Range(0, 3/rate).Draw(t, "step") * float64(time.Second))
			for range rapid.IntRange(0, 12).Draw(t, "calls") {
				if v := p.Admit(now, call); v.Admitted() {
					admitted = append(admitted, now+v.Wait)
				}
			}
			for range rapid.IntRange(0, len(admitted)).Draw(t, "settled") {
				i := rapid.IntRange(0, len(admitted)-1).Draw(t, "which")
				end := governance.Succeeded
				if rapid.Bool().Draw(t, "never ran") {
					end = governance.Local
				}
				settle(i, end)
			}
		}
		for len(admitted) > 0 {
			settle(0, governance.Succeeded)
		}
		count := func(all []time.Duration, from, to time.Duration) (n float64) {
			for _, at := range all {
				if at >= from && at <= to {
					n++
				}
			}
			return n
		}
		for _, to := range ran {
			if got, may := count(ran, 0, to), burst+rate*to.Seconds()+0.01; got > may {
				t.Fatalf("%v ran until %v, %v may", got, to, may)
			}
			for _, from := range ran {
				if from > to {
					continue
				}
				since := from // a call that is held is given back before its turn
				if o.Over == Pace {
					since -= o.MaxWait
				}
				if got, may := count(ran, from, to), burst+rate*(to-from).Seconds()+count(back, since, to)+0.01; got > may {
					t.Fatalf("%v ran from %v to %v, %v may", got, from, to, may)
				}
			}
		}
	})
}

// TestTheBooksBalance has everybody take, give back and set at once: what is left is what was not taken for good.
func TestTheBooksBalance(t *testing.T) {
	const burst, workers = 1e6, 4
	b := NewBucket(1e-6, burst)
	var kept atomic.Int64
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(worker)))
			owed := 0
			for range 50_000 {
				if rnd.IntN(2) == 0 {
					if ok, _ := b.Take(time.Hour); ok {
						owed++
					}
				} else if owed > 0 {
					b.Return(time.Hour)
					owed--
				}
			}
			kept.Add(int64(owed))
		})
	}
	all.Go(func() {
		for i := range 5_000 {
			b.Set(time.Hour, 1e-6*float64(1+i%2), burst)
		}
	})
	all.Wait()
	// Each Set may round by a part of a token, against the users.
	if got, want := b.Left(time.Hour), burst-float64(kept.Load()); got > want+1e-3 || got < want-1 {
		t.Errorf("%v tokens are left, want %v", got, want)
	}
}

func TestSettleDoesNotAllocate(t *testing.T) {
	p, call := New(ruleOf("r"), Options{Over: Pace, MaxWait: time.Second}, NewBucket(10, 1)), &governance.Call{Budget: time.Second}
	if n := testing.AllocsPerRun(100, func() { p.Admit(0, call); p.Settle(0, call, governance.Local) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkSettle(b *testing.B) {
	p, call := New(ruleOf("r"), Options{}, NewBucket(1e8, 100)), &governance.Call{Budget: time.Second}
	b.Run("a call that never ran", func(b *testing.B) {
		b.ReportAllocs()
		for now := time.Duration(0); b.Loop(); now += 20 {
			p.Admit(now, call)
			p.Settle(now, call, governance.Local)
		}
	})
	b.Run("a call that ran", func(b *testing.B) {
		b.ReportAllocs()
		for now := time.Duration(0); b.Loop(); now += 20 {
			p.Admit(now, call)
			p.Settle(now, call, governance.Succeeded)
		}
	})
}
