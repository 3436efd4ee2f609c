package rules

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/concurrency"
	"github.com/twohop/twohop/governance/degrade"
	"github.com/twohop/twohop/governance/ratelimit"
)

// maxCallers is how many callers of a rule have a count of their own; the others share one.
const maxCallers = 10_000

// everybodyElse names what they share. No module can be called so.
const everybodyElse = "*"

// counts are what a rule counts. They go over to the next Set that has a rule of this id: the tally always, the rest to a rule of
// the same kind, because each kind has its own fields.
type counts struct {
	// Static after construction.
	tally *governance.Tally
	// Of a rate: one of the two, and buckets with each.
	bucket  *ratelimit.Bucket
	buckets *perCaller[ratelimit.Bucket]
	// Of concurrency, the same.
	gauge  *concurrency.Gauge
	gauges *perCaller[concurrency.Gauge]
	// Of off: the policy whose draws go on.
	draw *degrade.Policy

	// What the buckets were made for, in the whole mesh.
	perSecond, burst float64
}

// countsOf returns what r counts in a new set, after what it counted in the one before; before may be nil.
func countsOf(r *Rule, before *counts, now time.Duration) *counts {
	if before == nil {
		before = &counts{tally: &governance.Tally{}}
	}
	c := &counts{tally: before.tally}
	switch {
	case r.Rate != nil && r.Rate.Per != PerInstance:
		c.limit(r.Rate, before, now)
	case r.Concurrency != nil && r.Concurrency.Each != "":
		if c.gauges = before.gauges; c.gauges == nil {
			c.gauges = &perCaller[concurrency.Gauge]{make: concurrency.NewGauge}
		}
	case r.Concurrency != nil:
		if c.gauge = before.gauge; c.gauge == nil {
			c.gauge = concurrency.NewGauge()
		}
	case r.Off != nil:
		c.draw = before.draw
	}
	return c
}

// limit takes over the buckets of a rate. Where the limit of the mesh has changed, a bucket that has a share of it has the same share of
// the new one, until whoever shares it out says otherwise.
func (c *counts) limit(l *Rate, before *counts, now time.Duration) {
	c.perSecond, c.burst = l.PerSecond, l.burst()
	// A limit of the mesh begins whole at each node, until whoever shares it out says how much is whose, a moment later: a caller
	// that is new must not earn its first calls.
	fresh := func() *ratelimit.Bucket { return ratelimit.NewBucket(c.perSecond, c.burst) }
	change := func(b *ratelimit.Bucket) {
		switch {
		case l.Per == PerNode:
			b.Set(now, c.perSecond, c.burst) // which does nothing if nothing changes
		case before.perSecond != c.perSecond || before.burst != c.burst:
			share := b.Rate() / before.perSecond
			b.Set(now, c.perSecond*share, c.burst*share)
		}
	}
	if l.Each != "" {
		if c.buckets = before.buckets; c.buckets == nil {
			c.buckets = &perCaller[ratelimit.Bucket]{}
		}
		c.buckets.change(fresh, change)
		return
	}
	if c.bucket = before.bucket; c.bucket == nil {
		c.bucket = fresh()
		return
	}
	change(c.bucket)
}

// perCaller has one T for each of the first callers that it is asked for, and one for the rest. Safe for concurrent use. It is shared
// by the sets that one rule was in.
type perCaller[T any] struct {
	mu sync.Mutex
	// Guarded by mu.
	make func() *T
	of   map[string]*T
	rest *T
}

// get returns the T of a caller.
func (p *perCaller[T]) get(caller string) *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.of[caller]; t != nil {
		return t
	}
	if len(p.of) >= maxCallers {
		if p.rest == nil {
			p.rest = p.make()
		}
		return p.rest
	}
	if p.of == nil {
		p.of = make(map[string]*T)
	}
	t := p.make()
	p.of[strings.Clone(caller)] = t
	return t
}

// peek returns the T that a caller has now, nil if it would be a new one.
func (p *perCaller[T]) peek(caller string) *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.of[caller]; t != nil || len(p.of) < maxCallers {
		return t
	}
	return p.rest
}

// change changes what is made from now on, and what was made.
func (p *perCaller[T]) change(fresh func() *T, change func(*T)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.make = fresh
	for _, t := range p.of {
		change(t)
	}
	if p.rest != nil {
		change(p.rest)
	}
}

// size returns how many there are. There are never fewer than before.
func (p *perCaller[T]) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.of)
	if p.rest != nil {
		n++
	}
	return n
}

type named[T any] struct {
	caller string
	t      *T
}

// all returns what there is now, by caller, and the rest last.
func (p *perCaller[T]) all() []named[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]named[T], 0, len(p.of)+1)
	for caller, t := range p.of {
		list = append(list, named[T]{caller, t})
	}
	slices.SortFunc(list, func(a, b named[T]) int { return cmp.Compare(a.caller, b.caller) })
	if p.rest != nil {
		list = append(list, named[T]{everybodyElse, p.rest})
	}
	return list
}
