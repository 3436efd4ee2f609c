package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
)

// Restrictions returns what servers of a module enforce at now, from the most specific scope to the least, and within a scope in the
// order of checks: what is wholly off, address lists, passwords, limits of an instance, and what becomes of late calls. Rules of a group
// are not among them: a server does not know which group the caller named.
//
// Lists of addresses are looked at twice, so one that is lifted for some of its calls only is left out here: the node still knows of
// which.
func (s *Set) Restrictions(module string, now time.Duration) []governance.Restriction {
	var found []*compiled
	for _, scope := range s.scopesOf(module) {
		found = append(found, s.byScope[scope]...)
	}
	var lifts []*compiled
	for _, c := range s.rules {
		if c.Lift != nil && !c.Shadow && !c.rule.Over(now) {
			lifts = append(lifts, c)
		}
	}
	slices.SortFunc(found, func(a, b *compiled) int {
		return cmp.Or(cmp.Compare(b.score, a.score), inOrderOfChecks(a, b))
	})
	var all []governance.Restriction
	for _, c := range found {
		lifted := func(l *compiled) bool {
			if !l.Lift.lifts(c.kind) {
				return false
			}
			return l.covers(c.Scope) || c.kind == KindAddresses && l.meets(c.Scope)
		}
		if c.rule.Over(now) || slices.ContainsFunc(lifts, lifted) {
			continue
		}
		r := governance.Restriction{RuleID: c.ID, Method: c.Method, Caller: c.Caller, Shadow: c.Shadow}
		if c.restricts(&r) {
			all = append(all, r)
		}
	}
	return all
}

// scopesOf returns the scopes without a group that calls to a module can be in.
func (s *Set) scopesOf(module string) []Scope {
	var scopes []Scope
	for scope := range s.byScope {
		if scope.Group == "" && (scope.Module == "" || scope.Module == module) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// restricts fills in what the rule restricts next to the handler, and reports whether that is anything.
func (c *compiled) restricts(r *governance.Restriction) bool {
	switch {
	case c.Off != nil:
		off := c.Off.governed()
		r.Off = &off
		return off.Share >= 1
	case c.Addresses != nil:
		r.Addresses = c.Addresses.governed()
		return true
	case c.Password != nil:
		for _, k := range c.Password.Keys {
			r.Password = append(r.Password, governance.Key{ID: k.ID, Secret: []byte(k.Secret)})
		}
		return true
	case c.Rate != nil && c.Rate.Per == PerInstance:
		r.Rate = &governance.Rate{PerSecond: c.Rate.PerSecond, Burst: c.Rate.burst()}
		return true
	case c.Late != nil && !c.Shadow:
		r.Late = lates[c.Late.Do]
		return true
	}
	return false
}
