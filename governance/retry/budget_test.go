package retry

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestBudgetStartsAtTheFloorAndStopsAtTheCap(t *testing.T) {
	p, b := New(Options{BudgetPercent: 33}), new(Budget) // 700 is no multiple of 33
	if got := p.Tokens(b); got != 3 {
		t.Errorf("%v tokens at first, want 3", got)
	}
	for range 1_000 {
		p.Deposit(b)
	}
	if got := p.Tokens(b); got != 10 {
		t.Errorf("%v tokens after a quiet time, want 10", got)
	}
	taken := 0
	for p.withdraw(b) {
		taken++
	}
	if taken != 10 || p.Tokens(b) != 0 {
		t.Errorf("took %d and left %v, want 10 and 0", taken, p.Tokens(b))
	}
}

func TestRetriesAreATenthOfTheCalls(t *testing.T) {
	for _, o := range []Options{{}, {BudgetPercent: 25, BudgetFloor: 5}, {BudgetFloor: -1}, {BudgetPercent: -1}} {
		p, b := New(o), new(Budget)
		retries := 0
		const calls = 10_000
		for range calls {
			p.Deposit(b)
			for range 2 { // everything fails, each call would retry twice
				if p.withdraw(b) {
					retries++
				}
			}
		}
		if want := p.options.BudgetFloor + calls*p.options.BudgetPercent/100; retries != want {
			t.Errorf("%+v: %d retries of %d calls, want %d", o, retries, calls, want)
		}
	}
}

func TestConcurrentBudget(t *testing.T) {
	p, b := New(Options{}), new(Budget)
	var retries atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20_000 {
				p.Deposit(b)
				if p.withdraw(b) {
					retries.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got := float64(retries.Load()) + p.Tokens(b); got != 3+8_000 {
		t.Errorf("retries and tokens left are %v, want all that was earned: 8,003", got)
	}
}
