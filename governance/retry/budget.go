package retry

import "sync/atomic"

// Budget is what one caller may spend on retries at one target: a bucket to which each call adds a part of a token and from
// which each retry takes a whole one, after the throttle of gRPC (gRFC A6, 0.1 tokens a call, at most 10). Unlike there a call
// adds its part when it enters and not when it succeeds: retries never exceed floor + percent of all calls, whatever happens.
//
// The zero value is a bucket that stands at the policy's floor. Safe for concurrent use; must not be copied after use.
type Budget struct {
	// Updated by Deposit and withdraw.
	earned atomic.Int64 // above or below the floor, in 1/100 of a token: the zero value is right for every policy
}

// A token in the units of Budget.
const token = 100

// Deposit counts a call: once for each, before its first attempt.
func (p *Policy) Deposit(b *Budget) {
	most := int64(p.options.BudgetCap-p.options.BudgetFloor) * token
	for {
		before := b.earned.Load()
		if before >= most {
			return
		}
		if b.earned.CompareAndSwap(before, min(before+int64(p.options.BudgetPercent), most)) {
			return
		}
	}
}

// Tokens returns how many retries b allows at this moment.
func (p *Policy) Tokens(b *Budget) float64 {
	return float64(int64(p.options.BudgetFloor)*token+b.earned.Load()) / token
}

// withdraw takes one token and reports whether there was one.
func (p *Policy) withdraw(b *Budget) bool {
	least := token - int64(p.options.BudgetFloor)*token
	for {
		before := b.earned.Load()
		if before < least {
			return false
		}
		if b.earned.CompareAndSwap(before, before-token) {
			return true
		}
	}
}
