package governance

import (
	"sync/atomic"
	"time"
)

// Rule is what a policy carries of the rule that it was made from. It does not change; a policy copies it.
type Rule struct {
	ID      string // as the document names it
	Version uint64 // of the document
	Shadow  bool   // what it would refuse is counted, and admitted

	// Until is when the rule ends, Unix time in ns; 0 is never. Calendar says when that is.
	Until    int64
	Calendar *Calendar

	// Tally counts what the rule does, over all documents that have a rule of this id. It is never nil in a compiled set.
	Tally *Tally
}

// Over reports whether the rule has ended.
func (r *Rule) Over(now time.Duration) bool { return r.Until != 0 && r.Calendar.At(now) >= r.Until }

// Refuse makes the verdict of a rule that says no: v with the rule's id and version, or in shadow the zero Verdict, which
// admits. Either is counted.
func (r *Rule) Refuse(v Verdict) Verdict {
	if r.Shadow {
		r.Tally.Shadowed.Add(1)
		return Verdict{}
	}
	r.Tally.Refused.Add(1)
	v.RuleID, v.RuleVersion = r.ID, r.Version
	return v
}

// Tally counts what a rule has done on this node.
type Tally struct {
	Refused  atomic.Uint64 // calls
	Shadowed atomic.Uint64 // calls that would have been refused
	Alarmed  atomic.Uint64 // calls over a limit that only alarms
	Paced    atomic.Uint64 // calls that were held
}

// Calendar turns the process's clock into Unix time. Its owner sets it once a second, so that a wall clock that is set moves
// the ends of rules within a second. Safe for concurrent use. The zero value begins at 1970.
type Calendar struct{ offset atomic.Int64 }

// Set says that it is unix, in ns, at now.
func (c *Calendar) Set(now time.Duration, unix int64) { c.offset.Store(unix - int64(now)) }

// At returns the Unix time, in ns, at now.
func (c *Calendar) At(now time.Duration) int64 { return c.offset.Load() + int64(now) }
