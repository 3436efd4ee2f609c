package rules

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// RuleState is a rule with what it has done at this node.
type RuleState struct {
	ID     string    `json:"id"`
	Kind   Kind      `json:"kind"`
	Scope  Scope     `json:"scope"`
	Line   int       `json:"line"`
	Until  time.Time `json:"until,omitzero"`
	Shadow bool      `json:"shadow,omitempty"`
	Ended  bool      `json:"ended,omitempty"`
	Note   string    `json:"note,omitempty"`

	// Since the first document of this node that has had a rule of this id without a break.
	Refused  uint64 `json:"refused"`
	Shadowed uint64 `json:"shadowed"` // would have been refused
	Alarmed  uint64 `json:"alarmed"`
	Paced    uint64 `json:"paced"`

	// Of a rate with one bucket: what it gives at this node, and what is in it.
	PerSecond *float64 `json:"per_second,omitempty"`
	Left      *float64 `json:"left,omitempty"`
	// Of concurrency with one count.
	InFlight *int `json:"in_flight,omitempty"`
	// Of a rule with each: how many callers have a count.
	Callers *int `json:"callers,omitempty"`
}

// Tally returns what counts the rule of an id, nil if there is none.
func (s *Set) Tally(id string) *governance.Tally {
	if c := s.counts[id]; c != nil {
		return c.tally
	}
	return nil
}

// Describe returns every rule as it is at now, in the order of the document.
func (s *Set) Describe(now time.Duration) []RuleState {
	all := make([]RuleState, 0, len(s.rules))
	for _, c := range s.rules {
		d := RuleState{
			ID: c.ID, Kind: c.kind, Scope: c.Scope, Line: c.Line, Until: c.Until, Shadow: c.Shadow, Ended: c.rule.Over(now), Note: c.Note,
			Refused: c.counts.tally.Refused.Load(), Shadowed: c.counts.tally.Shadowed.Load(),
			Alarmed: c.counts.tally.Alarmed.Load(), Paced: c.counts.tally.Paced.Load(),
		}
		switch n := c.counts; {
		case n.bucket != nil:
			d.PerSecond, d.Left = new(n.bucket.Rate()), new(n.bucket.Left(now))
		case n.gauge != nil:
			d.InFlight = new(n.gauge.Held())
		case n.buckets != nil:
			d.Callers = new(len(n.buckets.all()))
		case n.gauges != nil:
			d.Callers = new(len(n.gauges.all()))
		}
		all = append(all, d)
	}
	return all
}
