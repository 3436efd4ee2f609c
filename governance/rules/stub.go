package rules

import (
	"time"

	"github.com/twohop/twohop/governance"
)

// Parse reads a document. The error is *Invalid.
func Parse(text []byte) (*Document, error) { panic("soon") }

// Check names what depends on the time.
func (d *Document) Check(previous *Document, now time.Time) error { panic("soon") }

// Known says what is registered.
type Known interface {
	Modules() []string
	Methods(module string) []string
}

// Warnings names what looks wrong and is not refused.
func (d *Document) Warnings(k Known) []Problem { panic("soon") }

// Change is one difference between two documents.
type Change struct {
	Op   string      `json:"op"` // added, removed, changed
	ID   string      `json:"id"`
	Keys []KeyChange `json:"keys,omitempty"`
}

// KeyChange is one key of a changed rule.
type KeyChange struct {
	Key string `json:"key"`
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// String returns the change in a line.
func (c Change) String() string { panic("soon") }

// Diff compares two documents; nil is an empty one.
func Diff(old, new *Document) []Change { panic("soon") }

// Insert adds a rule to a text, or replaces the one of its id.
func Insert(text []byte, r Rule) ([]byte, error) { panic("soon") }

// Remove takes rules out of a text.
func Remove(text []byte, ids ...string) ([]byte, error) { panic("soon") }

// PruneEnded takes out the rules that have ended, and returns their ids.
func PruneEnded(text []byte, now time.Time) ([]byte, []string, error) { panic("soon") }

// Options are what a document is compiled with.
type Options struct {
	Mark     governance.Mark
	Calendar *governance.Calendar
	// Now is the process's time; settings that have ended by then are left out.
	Now         time.Duration
	Previous    *Set
	MaxSubjects int
}

// Set is a compiled document.
type Set struct{}

// Compile makes a set.
func Compile(d *Document, o Options) *Set { panic("soon") }

// Mark returns the mark of the document.
func (s *Set) Mark() governance.Mark { panic("soon") }

// Regime returns what holds for a subject, nil if nothing does.
func (s *Set) Regime(sub governance.Subject) *governance.Regime { panic("soon") }

// Restrictions returns what servers of a module enforce.
func (s *Set) Restrictions(module string, now time.Duration) []governance.Restriction { panic("soon") }

// NextEnd returns when the next rule ends, on the process's clock.
func (s *Set) NextEnd(now time.Duration) (time.Duration, bool) { panic("soon") }

// Shared is a limit of the whole mesh that has a bucket here.
type Shared struct {
	Key       string // id of the rule, or id/caller where each caller has a bucket
	RuleID    string
	Caller    string
	PerSecond float64 // of the mesh
	Burst     float64
	// Bucket *ratelimit.Bucket comes with that room.
}

// Shared returns the limits of the whole mesh that have a bucket now.
func (s *Set) Shared() []Shared { panic("soon") }

// Explanation says what the rules say of a call.
type Explanation struct{}

// String explains it to people.
func (e Explanation) String() string { panic("soon") }

// Explain says what would become of a call, and changes no counter.
func (s *Set) Explain(now time.Duration, c *governance.Call) Explanation { panic("soon") }

// RuleState is what a rule does at this node.
type RuleState struct{}

// Describe returns every rule with its numbers.
func (s *Set) Describe(now time.Duration) []RuleState { panic("soon") }
