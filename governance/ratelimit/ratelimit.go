package ratelimit

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// limited is the status code RATE_LIMITED.
const limited = 21

// Over says what becomes of a call that the bucket does not let pass.
type Over uint8

// What may become of it.
const (
	Reject Over = iota // it is RATE_LIMITED
	Alarm              // it is counted and runs
	Pace               // it is held until its turn; if that is too far away, it is RATE_LIMITED
)

// String returns the name that rules use.
func (o Over) String() string {
	switch o {
	case Reject:
		return "reject"
	case Alarm:
		return "alarm"
	case Pace:
		return "pace"
	}
	return "unknown"
}

// Options say how a limit is kept. The zero value rejects.
type Options struct {
	// Over is what becomes of calls over the limit.
	Over Over

	// MaxWait is how long Pace holds a call at most; the call's own budget may be shorter. A call whose answer nobody awaits
	// is not held.
	MaxWait time.Duration
}

// Policy lets calls pass as its bucket does. Safe for concurrent use.
type Policy struct {
	// Static after construction.
	rule    governance.Rule
	options Options
	bucket  *Bucket
}

// New returns the policy of a rule that draws from b.
func New(rule governance.Rule, o Options, b *Bucket) *Policy {
	return &Policy{rule: rule, options: o, bucket: b}
}

// Admit implements governance.Policy.
func (p *Policy) Admit(now time.Duration, c *governance.Call) governance.Verdict {
	if p.rule.Over(now) {
		return governance.Verdict{}
	}
	var most time.Duration
	if p.options.Over == Pace && !c.OneWay {
		most = p.options.MaxWait
		if c.Budget > 0 {
			most = min(most, c.Budget)
		}
	}
	wait, ok := p.bucket.Reserve(now, most)
	switch {
	case ok && wait == 0:
		return governance.Verdict{}
	case ok:
		return p.hold(wait)
	case p.options.Over == Alarm:
		p.alarm()
		return governance.Verdict{}
	}
	return p.rule.Refuse(governance.Verdict{Code: limited, RetryAfter: wait})
}

// hold makes the verdict of a call whose turn comes later. In shadow it is counted, and starts now.
func (p *Policy) hold(wait time.Duration) governance.Verdict {
	if p.rule.Shadow {
		p.rule.Tally.Shadowed.Add(1)
		return governance.Verdict{}
	}
	p.rule.Tally.Paced.Add(1)
	return governance.Verdict{Wait: wait, RuleID: p.rule.ID, RuleVersion: p.rule.Version}
}

// alarm counts a call over the limit. A rule in shadow raises no alarm.
func (p *Policy) alarm() {
	if p.rule.Shadow {
		p.rule.Tally.Shadowed.Add(1)
		return
	}
	p.rule.Tally.Alarmed.Add(1)
}

// Settle implements governance.Policy. A call that never ran gives its token back.
func (p *Policy) Settle(now time.Duration, _ *governance.Call, o governance.Outcome) {
	switch {
	case o != governance.Local:
	case p.rule.Shadow, p.options.Over == Alarm: // it may have got none
	case p.rule.Over(now): // the same: it may have come after the end
	default:
		p.bucket.Return(now)
	}
}

var _ governance.Policy = (*Policy)(nil)
