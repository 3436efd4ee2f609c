package visibility

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// denied is the status code DENIED.
const denied = 14

// Level says who may call a method. The zero value is what holds where nothing is said.
type Level uint8

// The levels.
const (
	Internal Level = iota // modules of the house, not external sessions
	External              // every session
	Admin                 // no session: operators reach it through the admin interface
)

// String returns the name that rules use.
func (l Level) String() string {
	switch l {
	case Internal:
		return "internal"
	case External:
		return "external"
	case Admin:
		return "admin"
	}
	return "unknown"
}

// Policy refuses, with DENIED, calls from sessions that may not see a method. Safe for concurrent use.
type Policy struct {
	// Static after construction.
	rule  governance.Rule
	level Level
}

// New returns the policy of a rule.
func New(rule governance.Rule, level Level) *Policy { return &Policy{rule: rule, level: level} }

// Admit implements governance.Policy.
func (p *Policy) Admit(now time.Duration, c *governance.Call) governance.Verdict {
	if p.level == External || p.level == Internal && !c.External || p.rule.Over(now) {
		return governance.Verdict{}
	}
	return p.rule.Refuse(governance.Verdict{Code: denied})
}

// Settle implements governance.Policy.
func (p *Policy) Settle(time.Duration, *governance.Call, governance.Outcome) {}

var _ governance.Policy = (*Policy)(nil)
