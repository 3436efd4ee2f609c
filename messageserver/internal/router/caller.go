package router

import "github.com/twohop/twohop/governance/retry"

// Caller is a module that calls: what all its sessions on this node have in common. Safe for concurrent use.
type Caller struct {
	// Static after construction.
	Module string

	// Guarded by Router.mu.
	sessions int

	accounts accounts
}

// OpenCaller returns the Caller of a module, for one more session.
func (r *Router) OpenCaller(module string) *Caller {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.callers[module]
	if c == nil {
		c = &Caller{Module: module, accounts: accounts{
			all: make(map[accountKey]*account), budgets: make(map[string]*retry.Budget),
		}}
		r.callers[module] = c
	}
	c.sessions++
	return c
}

// CloseCaller gives one session's share back.
func (r *Router) CloseCaller(c *Caller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.sessions--
	if c.sessions == 0 {
		delete(r.callers, c.Module)
	}
}
