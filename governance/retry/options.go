package retry

import (
	"errors"
	"time"
)

// Options are the numbers of a Policy. 0 is the default; where none at all is meant, a negative number says so.
type Options struct {
	// MaxReroutes and MaxRetries are the extra attempts of one call, each kind counted by itself. Default 2 and 2.
	MaxReroutes int
	MaxRetries  int

	// BackoffMin and BackoffMax bound the wait before a retry. Default 20 ms and 200 ms.
	BackoffMin time.Duration
	BackoffMax time.Duration

	// BudgetPercent is how many retries a hundred calls earn, at most 100. Default 10.
	BudgetPercent int

	// BudgetFloor is how many retries a new pair of caller and target has before it has earned any, so that one with few
	// calls may retry at all. Default 3.
	BudgetFloor int

	// BudgetCap is how many a pair may save up, at most 1,000,000 and at least the floor. Default 10.
	BudgetCap int
}

// Validate lists everything that is wrong with o.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.BackoffMax < o.BackoffMin {
		errs = append(errs, errors.New("retry: BackoffMax is less than BackoffMin"))
	}
	if o.BudgetPercent > 100 {
		errs = append(errs, errors.New("retry: BudgetPercent is more than 100"))
	}
	if o.BudgetCap < o.BudgetFloor {
		errs = append(errs, errors.New("retry: BudgetCap is less than BudgetFloor"))
	}
	if o.BudgetCap > 1_000_000 {
		errs = append(errs, errors.New("retry: BudgetCap is more than 1,000,000"))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.MaxReroutes = orDefault(o.MaxReroutes, 2)
	o.MaxRetries = orDefault(o.MaxRetries, 2)
	o.BackoffMin = orDefault(o.BackoffMin, 20*time.Millisecond)
	o.BackoffMax = orDefault(o.BackoffMax, 200*time.Millisecond)
	o.BudgetPercent = orDefault(o.BudgetPercent, 10)
	o.BudgetFloor = orDefault(o.BudgetFloor, 3)
	o.BudgetCap = orDefault(o.BudgetCap, 10)
	return o
}

// orDefault returns what n stands for: 0 the default, less none.
func orDefault[N int | time.Duration](n, byDefault N) N {
	if n == 0 {
		return byDefault
	}
	return max(n, 0)
}
