package access

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// denied is the status code DENIED.
const denied = 14

// Options say who may call. Deny goes before allow, and each of the lists may refuse. The zero value refuses nobody.
type Options struct {
	// AllowCallers are the modules that may call; with none, every module that is not denied may.
	AllowCallers []string

	// DenyCallers are the modules that may not, even if they are allowed, too.
	DenyCallers []string

	// Addresses says from where calls may come; nil is from everywhere.
	Addresses *governance.Addresses
}

// Policy refuses, with DENIED, the callers that it was told to. Safe for concurrent use.
type Policy struct {
	// Static after construction.
	rule      governance.Rule
	allow     map[string]struct{}
	deny      map[string]struct{}
	addresses *Set
}

// New returns the policy of a rule. It keeps nothing of o.
func New(rule governance.Rule, o Options) *Policy {
	return &Policy{rule: rule, allow: names(o.AllowCallers), deny: names(o.DenyCallers), addresses: NewSet(o.Addresses)}
}

// names makes a set, nil for an empty list.
func names(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	set := make(map[string]struct{}, len(list))
	for _, name := range list {
		set[name] = struct{}{}
	}
	return set
}

// Admit implements governance.Policy.
func (p *Policy) Admit(now time.Duration, c *governance.Call) governance.Verdict {
	if p.rule.Over(now) || p.may(c) {
		return governance.Verdict{}
	}
	return p.rule.Refuse(governance.Verdict{Code: denied})
}

func (p *Policy) may(c *governance.Call) bool {
	if !p.addresses.Allows(c.CallerIP) {
		return false
	}
	if p.deny != nil {
		if _, listed := p.deny[c.Caller]; listed {
			return false
		}
	}
	if p.allow != nil {
		_, listed := p.allow[c.Caller]
		return listed
	}
	return true
}

// Settle implements governance.Policy.
func (p *Policy) Settle(time.Duration, *governance.Call, governance.Outcome) {}

var _ governance.Policy = (*Policy)(nil)
