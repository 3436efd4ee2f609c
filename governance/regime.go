package governance

import (
	"net/netip"
	"time"
)

// Subject says which calls are meant: those of one caller to one method, addressed to one group, or to none.
type Subject struct {
	Caller string // module
	Module string
	Method string
	Group  string // empty: the caller names none
}

// Regime is what the rules say of the calls of one subject. It does not change; what its policies count does.
type Regime struct {
	// Policy is what such a call must pass, nil if no restriction matches.
	Policy Policy
	// Settings are what holds for it.
	Settings Settings
}

// Settings are the numbers that rules give to calls. The zero value sets nothing.
type Settings struct {
	DefaultTimeout time.Duration // of calls that bring no budget; 0: the contract's
	MaxTimeout     time.Duration // budgets are cut to it; 0: they are not
	MaxAttempts    int           // starts in all; 0: what the caller and the node's own caps allow
	Balance        Balancing     // where the caller names none; 0: the node's default
	Late           Late          // what becomes of calls whose budget is spent
}

// Balancing names a balancer. The numbers are those of the frame's field.
type Balancing uint8

// The balancers.
const (
	BalanceUnset Balancing = iota
	BalanceRandom
	BalanceRoundRobin
	BalanceHash
	BalanceLeastActive
)

// Late says what becomes of a call whose budget is spent before its handler starts.
type Late uint8

// What may become of it.
const (
	LateUnset   Late = iota // the contract and the caller say it
	LateDiscard             // it is not run, whatever they say
	LateRun                 // it is run
)

// Governor has the rules in force. Safe for concurrent use.
type Governor interface {
	// Generation changes whenever Regime may return something else than before. It costs one atomic load.
	Generation() uint64
	// Regime returns what holds for a subject, nil if nothing does. A call that was admitted keeps its Regime to its end. It may
	// allocate for a subject that is new to the set: who asks per call keeps what it got, with the Generation before it asked.
	Regime(s Subject) *Regime
	// Restrictions returns what must be enforced next to the handlers of a module, with the mark of the document.
	Restrictions(module string) (Mark, []Restriction)
}

// NoRules is the Governor of who has none.
type NoRules struct{}

// Generation implements Governor.
func (NoRules) Generation() uint64 { return 0 }

// Regime implements Governor.
func (NoRules) Regime(Subject) *Regime { return nil }

// Restrictions implements Governor.
func (NoRules) Restrictions(string) (Mark, []Restriction) { return Mark{}, nil }

// Mark orders documents of rules: the greater epoch wins, then the greater version.
type Mark struct {
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`
}

// Less reports whether m is older than o.
func (m Mark) Less(o Mark) bool {
	return m.Epoch < o.Epoch || m.Epoch == o.Epoch && m.Version < o.Version
}

// Restriction is one rule as it is enforced next to the handler. A handler's process applies all that fit the method; the first
// that refuses, in the order of checks, is named. Exactly one of the kinds is set.
type Restriction struct {
	RuleID string
	Method string // empty: all methods of the module
	Caller string // empty: all callers
	Shadow bool   // what it would refuse is counted and logged, and runs

	Off       *Off // of Share 1 only: shares are drawn once, at the ingress
	Addresses *Addresses
	Password  []Key
	Rate      *Rate // of this instance
	Late      Late
}

// Off switches calls off.
type Off struct {
	// Share of the calls that are off, 0 < Share ≤ 1.
	Share float64
	// Fallback is the body of the DEGRADED answer, and FallbackType its content type; both may be empty.
	Fallback     []byte
	FallbackType string
}

// Addresses says from where calls may come. Deny goes before Allow; with no Allow every address that is not denied may.
type Addresses struct {
	Allow []netip.Prefix
	Deny  []netip.Prefix
}

// Key is one of the passwords of a method.
type Key struct {
	ID     uint32
	Secret []byte
}

// Rate is a limit of calls over time.
type Rate struct {
	PerSecond float64
	Burst     float64
}
