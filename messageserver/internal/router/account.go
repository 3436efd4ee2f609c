package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/retry"
	"github.com/twohop/twohop/proto/wire"
)

// account is what the ingress keeps of one caller's calls to one method, addressed to one group or to none: what has been
// counted, what may be retried, and what the rules say. Safe for concurrent use.
type account struct {
	// Static after construction.
	subject governance.Subject
	meter   governance.Meter
	budget  *retry.Budget // of the caller at the module
	shared  bool          // it stands for many subjects, because the caller has too many
	free    bool          // of a method that every server answers by itself: not ruled, and not counted

	ruling atomic.Pointer[ruling]
}

// ruling is what the rules of one generation say.
type ruling struct {
	generation uint64
	regime     *governance.Regime
}

// regime returns what the rules in force say of the account's calls, or nil. In the common case that is one load of the
// generation and one of the ruling.
func (a *account) regime(g governance.Governor) *governance.Regime {
	if a.free {
		return nil
	}
	now := g.Generation() // before the rules are asked, so that what they say is never taken for newer than it is
	if has := a.ruling.Load(); has != nil && has.generation == now {
		return has.regime
	}
	regime := g.Regime(a.subject)
	a.ruling.Store(&ruling{now, regime})
	return regime
}

// accountKey finds an account of one caller.
type accountKey struct{ module, method, group string }

// maxAccounts bounds the accounts of one caller. Further subjects share one account, which counts what they do together; what
// the rules say is still asked for each of them.
const maxAccounts = 4096

// forgetEvery is how often a caller that has too many accounts looks for those of methods that nobody has.
const forgetEvery = time.Second

// accounts are those of one caller. Safe for concurrent use.
type accounts struct {
	// Guarded by mu.
	mu      sync.RWMutex
	all     map[accountKey]*account
	budgets map[string]*retry.Budget // by module
	other   *account                 // for what does not fit any more
	looked  time.Duration            // when it was last looked for what can be forgotten
}

// account returns the account that a request belongs to.
func (r *Router) account(now time.Duration, c *Caller, q *wire.Request) *account {
	b := &c.accounts
	b.mu.RLock()
	a := b.all[accountKey{string(q.Module), string(q.Method), string(q.Group)}]
	b.mu.RUnlock()
	if a != nil {
		return a
	}
	return r.openAccount(now, c, q)
}

// openAccount makes an account for a subject that has none.
func (r *Router) openAccount(now time.Duration, c *Caller, q *wire.Request) *account {
	key := accountKey{string(q.Module), string(q.Method), string(q.Group)}
	subject := governance.Subject{Caller: c.Module, Module: key.module, Method: key.method, Group: key.group}
	b := &c.accounts
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.all[key]; a != nil {
		return a
	}
	free := key.method[0] == '_'
	if len(b.all) >= maxAccounts && now-b.looked >= forgetEvery {
		b.looked = now
		b.forgetLocked(r.table.Load())
	}
	if len(b.all) >= maxAccounts {
		if b.other == nil {
			b.other = &account{meter: r.opts.Meters.Meter(governance.Subject{Caller: c.Module}), budget: new(retry.Budget), shared: true}
		}
		a := &account{subject: subject, meter: b.other.meter, budget: b.other.budget, shared: true, free: free}
		if free {
			a.meter = unmetered{}
		}
		return a
	}
	budget := b.budgets[key.module]
	if budget == nil {
		budget = new(retry.Budget)
		b.budgets[key.module] = budget
	}
	a := &account{subject: subject, budget: budget, free: free}
	if a.meter = governance.Meter(unmetered{}); !a.free {
		a.meter = r.opts.Meters.Meter(subject)
	}
	b.all[key] = a
	return a
}

// forgetLocked drops the accounts of methods that no instance has: whoever calls names that do not exist fills the room of
// those that do.
func (b *accounts) forgetLocked(t *table) {
	clear(b.budgets)
	for key, a := range b.all {
		if m := t.modules[key.module]; m == nil || m.methods[key.method] == nil || key.group != "" && m.methods[key.method].groups[key.group] == nil {
			delete(b.all, key)
			continue
		}
		b.budgets[key.module] = a.budget
	}
}
