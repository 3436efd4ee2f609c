package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/access"
)

// Regime returns what holds for a subject, nil if nothing does. Its Policy is a governance.Chain in the order of checks, within a kind
// from the most specific rule to the least. It allocates when the subject is new, and for each call when there are too many.
func (s *Set) Regime(sub governance.Subject) *governance.Regime {
	if r, ok := s.kept.load(sub); ok {
		return r
	}
	return s.kept.store(sub, s.build(sub))
}

// matching returns the rules whose scope the subject is in, in the order of checks, within a kind from the most specific to the
// least, and of one scope in the order of the document.
func (s *Set) matching(sub governance.Subject) []*compiled {
	var found []*compiled
	for names := range 16 {
		var scope Scope
		take := func(bit int, name string, to *string) bool {
			if names&bit == 0 {
				return true
			}
			*to = name
			return name != ""
		}
		// Method and group need the module; a name that the subject does not have is not looked for.
		if !take(8, sub.Method, &scope.Method) || !take(4, sub.Group, &scope.Group) || !take(2, sub.Module, &scope.Module) ||
			!take(1, sub.Caller, &scope.Caller) || names&(8|4) != 0 && names&2 == 0 {
			continue
		}
		found = append(found, s.byScope[scope]...)
	}
	slices.SortFunc(found, inOrderOfChecks)
	return found
}

func inOrderOfChecks(a, b *compiled) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.score, a.score), cmp.Compare(a.place, b.place))
}

func (s *Set) build(sub governance.Subject) *governance.Regime {
	matching := s.matching(sub)
	var chain governance.Chain
	for _, c := range matching {
		policy := c.policyOf(sub.Caller)
		if policy == nil {
			continue
		}
		for _, l := range matching {
			if l.Lift != nil && !l.Shadow && l.Lift.lifts(c.kind) {
				policy = access.Unless(l.rule, policy)
			}
		}
		chain = append(chain, policy)
	}
	settings, from := s.settings(matching)
	if len(chain) == 0 && len(from) == 0 {
		return nil
	}
	r := &governance.Regime{Settings: settings}
	if len(chain) > 0 {
		r.Policy = chain
	}
	return r
}

// settings returns the settings that hold, and the rules that they are from.
func (s *Set) settings(matching []*compiled) (set governance.Settings, from []*compiled) {
	var last Kind
	for _, c := range matching {
		if c.rank < ranks[KindTimeout] || c.kind == last || c.Shadow || c.rule.Over(s.now) {
			continue
		}
		last = c.kind
		from = append(from, c)
		switch {
		case c.Timeout != nil:
			set.DefaultTimeout, set.MaxTimeout = time.Duration(c.Timeout.Default), time.Duration(c.Timeout.Max)
		case c.Retry != nil:
			set.MaxAttempts = c.Retry.MaxAttempts
		case c.Balance != nil:
			set.Balance = balancings[c.Balance.By]
		case c.Late != nil:
			set.Late = lates[c.Late.Do]
		}
	}
	return set, from
}

var (
	balancings = map[string]governance.Balancing{
		"random": governance.BalanceRandom, "round_robin": governance.BalanceRoundRobin,
		"hash": governance.BalanceHash, "least_active": governance.BalanceLeastActive,
	}
	lates = map[string]governance.Late{"discard": governance.LateDiscard, "run": governance.LateRun}
)

// NextEnd returns when the next rule ends, on the process's clock, and whether one does.
func (s *Set) NextEnd(now time.Duration) (time.Duration, bool) {
	at, next := s.calendar.At(now), int64(0)
	for _, c := range s.rules {
		if until := c.rule.Until; until > at && (next == 0 || until < next) {
			next = until
		}
	}
	return now + time.Duration(next-at), next != 0
}
