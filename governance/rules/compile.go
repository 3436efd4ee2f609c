package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/access"
	"github.com/twohop/twohop/governance/concurrency"
	"github.com/twohop/twohop/governance/degrade"
	"github.com/twohop/twohop/governance/ratelimit"
	"github.com/twohop/twohop/governance/visibility"
)

// Options say beside what a document is compiled.
type Options struct {
	// Mark orders the document among others. Its version is in every verdict.
	Mark governance.Mark

	// Calendar says when rules end. nil is one that begins at 1970 with the process: no rule ends.
	Calendar *governance.Calendar

	// Now is the time on the process's clock. Settings that have ended by then are left out: when the next rule ends (NextEnd) the
	// document is compiled again. Everything else looks at the time itself.
	Now time.Duration

	// Previous is the set that this one replaces, nil for the first: what its rules have counted goes over.
	Previous *Set

	// MaxSubjects is how many subjects' regimes are kept. Default 65,536.
	MaxSubjects int
}

// Set is a document in the form in which calls ask it. Safe for concurrent use.
type Set struct {
	// Static after construction.
	mark     governance.Mark
	calendar *governance.Calendar
	now      time.Duration
	rules    []*compiled // in the order of the document
	byScope  map[Scope][]*compiled
	counts   map[string]*counts // by id

	kept *subjects
}

// compiled is one rule of a set.
type compiled struct {
	// Static after construction.
	*Rule
	kind   Kind
	rank   int // of the kind in the order of checks
	score  int // of the scope
	place  int // in the document
	rule   governance.Rule
	counts *counts
	policy governance.Policy // nil where each caller has its own, and where it is enforced elsewhere
}

// ranks are the places of the kinds in the order of checks.
var ranks = func() map[Kind]int {
	m := map[Kind]int{}
	for i, kind := range kindKeys {
		m[Kind(kind)] = i
	}
	return m
}()

// Compile makes a set of a document, which Parse has returned; nil is an empty one.
func Compile(d *Document, o Options) *Set {
	if d == nil {
		d = &Document{}
	}
	if o.Calendar == nil {
		o.Calendar = &governance.Calendar{}
	}
	s := &Set{
		mark: o.Mark, calendar: o.Calendar, now: o.Now,
		byScope: make(map[Scope][]*compiled), counts: make(map[string]*counts, len(d.Rules)),
		kept: newSubjects(orDefault(o.MaxSubjects, 65_536)),
	}
	for i := range d.Rules {
		r := &d.Rules[i]
		var before *counts
		if o.Previous != nil {
			before = o.Previous.counts[r.ID]
		}
		c := &compiled{Rule: r, kind: r.Kind(), score: r.specificity(), place: i, counts: countsOf(r, before, o.Now)}
		c.rank = ranks[c.kind]
		c.rule = governance.Rule{ID: r.ID, Version: o.Mark.Version, Shadow: r.Shadow, Calendar: o.Calendar, Tally: c.counts.tally}
		if !r.Until.IsZero() {
			c.rule.Until = r.Until.UnixNano()
		}
		c.policy = c.newPolicy(c.rule)
		s.counts[r.ID] = c.counts
		s.rules = append(s.rules, c)
		s.byScope[r.Scope] = append(s.byScope[r.Scope], c)
	}
	return s
}

// newPolicy makes what all callers of the rule ask, with rule for its name and its tally.
func (c *compiled) newPolicy(rule governance.Rule) governance.Policy {
	switch {
	case c.Addresses != nil:
		return access.New(rule, access.Options{Addresses: c.Addresses.governed()})
	case c.Callers != nil:
		return access.New(rule, access.Options{AllowCallers: c.Callers.Allow, DenyCallers: c.Callers.Deny})
	case c.Visibility != nil:
		return visibility.New(rule, c.Visibility.level())
	case c.Off != nil:
		if c.counts.draw == nil {
			c.counts.draw = degrade.New(rule, c.Off.governed())
		} else {
			c.counts.draw = c.counts.draw.Next(rule, c.Off.governed())
		}
		return c.counts.draw
	case c.counts.bucket != nil:
		return ratelimit.New(rule, c.Rate.options(), c.counts.bucket)
	case c.counts.gauge != nil:
		return concurrency.New(rule, c.Concurrency.Max, c.counts.gauge)
	}
	return nil
}

// policyOf returns what the calls of one caller ask, nil for a rule that is enforced elsewhere.
func (c *compiled) policyOf(caller string) governance.Policy {
	switch {
	case c.counts.buckets != nil:
		return ratelimit.New(c.rule, c.Rate.options(), c.counts.buckets.get(caller))
	case c.counts.gauges != nil:
		return concurrency.New(c.rule, c.Concurrency.Max, c.counts.gauges.get(caller))
	}
	return c.policy
}

func (a *Addresses) governed() *governance.Addresses {
	return &governance.Addresses{Allow: a.Allow, Deny: a.Deny}
}

func (v *Visibility) level() visibility.Level {
	switch v.For {
	case "internal":
		return visibility.Internal
	case "external":
		return visibility.External
	}
	return visibility.Admin
}

func (o *Off) governed() governance.Off {
	return governance.Off{Share: orDefault(o.Share, 100) / 100, Fallback: []byte(o.Fallback), FallbackType: o.FallbackType}
}

func (l *Rate) options() ratelimit.Options {
	o := ratelimit.Options{MaxWait: time.Duration(l.MaxWait)}
	switch l.Over {
	case OverAlarm:
		o.Over = ratelimit.Alarm
	case OverPace:
		o.Over = ratelimit.Pace
	}
	return o
}

// Mark returns the mark of the document.
func (s *Set) Mark() governance.Mark { return s.mark }

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

// Shared is a limit of the whole mesh that has a bucket at this node.
type Shared struct {
	Key       string // RuleID, or RuleID/Caller where each caller has a bucket
	RuleID    string
	Caller    string  // empty where all share it; * for those that have none of their own
	PerSecond float64 // of the mesh
	Burst     float64 // of the mesh
	Bucket    *ratelimit.Bucket
}

// Shared returns the limits of the whole mesh that have a bucket now, in the order of the document. What a node may let through of
// them is for its caller to say, with Bucket.Set; until then a new bucket has all of it.
func (s *Set) Shared() []Shared {
	var all []Shared
	for _, c := range s.rules {
		if c.Rate == nil || c.Rate.Per != PerCluster && c.Rate.Per != "" {
			continue
		}
		one := Shared{Key: c.ID, RuleID: c.ID, PerSecond: c.Rate.PerSecond, Burst: c.Rate.burst(), Bucket: c.counts.bucket}
		if c.counts.buckets == nil {
			all = append(all, one)
			continue
		}
		for _, n := range c.counts.buckets.all() {
			one.Key, one.Caller, one.Bucket = c.ID+"/"+n.caller, n.caller, n.t
			all = append(all, one)
		}
	}
	return all
}
