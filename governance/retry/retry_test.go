package retry

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// timeout is an attempt that nothing but the case's own change keeps from a retry.
var timeout = Facts{End: MayHaveRun, Idempotent: true, Remaining: time.Second}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name   string
		facts  Facts
		change func(*Facts)
		want   Action
		tokens float64 // taken
	}{
		{"answered", Facts{End: Final, Idempotent: true, Remaining: time.Second}, nil, GiveUp, 0},

		{"stale route", Facts{End: NotStarted, Remaining: time.Second}, nil, Reroute, 0},
		{"stale route, late", Facts{End: NotStarted, Remaining: time.Nanosecond}, nil, Reroute, 0},
		{"stale route of somebody's retry", Facts{End: NotStarted, Remaining: time.Second, Arrived: 1}, nil, Reroute, 0},
		{"stale route of the only attempt", Facts{End: NotStarted, Remaining: time.Second, MaxAttempts: 1}, nil, Reroute, 0},
		{"second reroute", Facts{End: NotStarted, Remaining: time.Second, Reroutes: 1, Retries: 2}, nil, Reroute, 0},
		{"third reroute", Facts{End: NotStarted, Remaining: time.Second, Reroutes: 2}, nil, GiveUp, 0},
		{"stale route, nothing remains", Facts{End: NotStarted}, nil, GiveUp, 0},

		{"overloaded", Facts{End: Overloaded, Remaining: time.Second}, nil, Reroute, 1},
		{"overloaded after two reroutes", Facts{End: Overloaded, Remaining: time.Second, Reroutes: 2}, nil, GiveUp, 0},

		{"timeout", timeout, nil, Retry, 1},
		{"timeout, second retry", timeout, func(f *Facts) { f.Retries, f.Reroutes = 1, 2 }, Retry, 1},
		{"timeout, third retry", timeout, func(f *Facts) { f.Retries = 2 }, GiveUp, 0},
		{"timeout, not idempotent", timeout, func(f *Facts) { f.Idempotent = false }, GiveUp, 0},
		{"timeout, somebody retries already", timeout, func(f *Facts) { f.Arrived = 1 }, GiveUp, 0},
		{"timeout, one attempt allowed", timeout, func(f *Facts) { f.MaxAttempts = 1 }, GiveUp, 0},
		{"timeout, two attempts allowed", timeout, func(f *Facts) { f.MaxAttempts = 2 }, Retry, 1},
		{"timeout, two attempts allowed and had", timeout, func(f *Facts) { f.MaxAttempts, f.Retries = 2, 1 }, GiveUp, 0},
		{"timeout, ten attempts allowed", timeout, func(f *Facts) { f.MaxAttempts, f.Retries = 10, 2 }, GiveUp, 0},
		{"timeout, no time for a wait", timeout, func(f *Facts) { f.Remaining = 39 * time.Millisecond }, GiveUp, 0},
		{"timeout, just time for a wait", timeout, func(f *Facts) { f.Remaining = 40 * time.Millisecond }, Retry, 1},
	} {
		if c.change != nil {
			c.change(&c.facts)
		}
		p, b := New(Options{}), new(Budget)
		got, wait := p.Next(b, c.facts, math.MaxUint64)
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if taken := 3 - p.Tokens(b); taken != c.tokens {
			t.Errorf("%s: took %v tokens, want %v", c.name, taken, c.tokens)
		}
		if (wait != 0) != (got == Retry) {
			t.Errorf("%s: wait %v", c.name, wait)
		}
	}
}

func TestWithoutTokensNothingIsRetried(t *testing.T) {
	p, b := New(Options{}), new(Budget)
	for range 3 {
		p.withdraw(b)
	}
	for _, end := range []End{Overloaded, MayHaveRun} {
		f := timeout
		f.End = end
		if got, _ := p.Next(b, f, 0); got != GiveUp {
			t.Errorf("end %d: %d without a token", end, got)
		}
	}
	if got, _ := p.Next(b, Facts{End: NotStarted, Remaining: time.Second}, 0); got != Reroute {
		t.Error("a reroute that is free was refused")
	}
}

func TestBackoff(t *testing.T) {
	p, rnd := New(Options{}), rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct{ remaining, most time.Duration }{
		{time.Hour, 200 * time.Millisecond}, {400 * time.Millisecond, 200 * time.Millisecond},
		{100 * time.Millisecond, 50 * time.Millisecond}, {40 * time.Millisecond, 20 * time.Millisecond},
	} {
		least := 20 * time.Millisecond
		if got, ok := p.Backoff(0, c.remaining); !ok || got != least {
			t.Errorf("%v remain: at least %v, want %v", c.remaining, got, least)
		}
		if got, ok := p.Backoff(math.MaxUint64, c.remaining); !ok || got != c.most {
			t.Errorf("%v remain: at most %v, want %v", c.remaining, got, c.most)
		}
		var sum time.Duration
		const draws = 10_000
		for range draws {
			wait, _ := p.Backoff(rnd.Uint64(), c.remaining)
			sum += wait
		}
		if mean, want := sum/draws, (least+c.most)/2; (mean - want).Abs() > 2*time.Millisecond {
			t.Errorf("%v remain: %v on average, want %v", c.remaining, mean, want)
		}
	}
	for _, remaining := range []time.Duration{39 * time.Millisecond, 0, -time.Second} {
		if got, ok := p.Backoff(0, remaining); ok {
			t.Errorf("%v remain: waits %v", remaining, got)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {MaxRetries: -1, BudgetFloor: -1}, {BudgetPercent: 100, BudgetCap: 3}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []Options{{BackoffMin: time.Second}, {BudgetPercent: 101}, {BudgetFloor: 11}, {BudgetCap: 1_000_001}} {
		if o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	p, b := New(Options{MaxReroutes: -1, MaxRetries: -1}), new(Budget)
	for _, end := range []End{NotStarted, Overloaded, MayHaveRun} {
		f := timeout
		f.End = end
		if got, _ := p.Next(b, f, 0); got != GiveUp {
			t.Errorf("end %d: %d, though there are to be no extra attempts", end, got)
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	p, b := New(Options{}), new(Budget)
	if n := testing.AllocsPerRun(100, func() {
		p.Deposit(b)
		p.Next(b, timeout, 1)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkDepositNext(b *testing.B) {
	p, budget := New(Options{}), new(Budget)
	b.ReportAllocs()
	for b.Loop() {
		p.Deposit(budget)
		p.Next(budget, timeout, 1)
	}
}
