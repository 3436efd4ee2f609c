package rules

import (
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

	kept   *subjects
	shared shared
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
		if r.Rate != nil && (r.Rate.Per == PerCluster || r.Rate.Per == "") {
			s.shared.rules = append(s.shared.rules, c)
		}
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
