package rulestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

// Options are what New makes Rules from.
type Options struct {
	// Node names this node in records.
	Node string

	// Store is where the versions are kept. With nil there are no rules but those of the cache and of Adopt, and they cannot be
	// changed here. Its owner closes it after Run has returned.
	Store Store

	// Cache is a file in the node's data folder for the newest document; empty: none, and a node that starts while the store is
	// away has no rules. It is for this node alone: it holds the secrets of rules.
	Cache string

	// File is a document that operators keep elsewhere, as in git; empty: none. The keeper watches it; with a store that all nodes
	// use, several may watch their copies of one file.
	File string

	// FileWaits is for how long after New a file does not begin an empty store: in a mesh, other nodes may have rules that the store
	// has lost. Default 0.
	FileWaits time.Duration

	// Epoch is that of the first document of an empty store, at a node that has no rules in force. Default: the seconds since 2026
	// began, UTC, by the wall clock; at least 1. Tests fix it.
	Epoch func() uint64

	// Calendar is what the compiled rules look at for their ends. Rules sets it. Default one of its own.
	Calendar *governance.Calendar

	// Now is the process's clock, which the calls are admitted by. Required.
	Now func() time.Duration

	// Known says what is registered, for warnings; nil: there are none.
	Known rules.Known

	// Audit is called before each write, with what is to be written, and its error refuses the write; and again, with a Result, if
	// the write was not made. nil: nothing is recorded.
	Audit func(ctx context.Context, r Record) error

	// Changed is called when other rules are in force than before: another set, or a rule of it has ended. It must not block.
	Changed func()

	Log *slog.Logger // default: none
}

// Rules are the rules in force at this node. They implement governance.Governor and governance.Refusals. Safe for concurrent use.
type Rules struct {
	// Static after construction.
	o     Options
	dirty chan struct{} // the cache is not what is in force
	ends  chan struct{} // the next end is another one
	look  chan struct{} // the store is to be looked at
	turn  chan struct{} // whoever has its one value changes the rules through this node
	began time.Duration // when New was called

	// Swapped by mu's holder, read by everybody.
	force      atomic.Pointer[force]
	generation atomic.Uint64

	refusals refusals
	troubles troubles

	mu       sync.Mutex // held to swap force
	intended intent     // guarded by mu: written forward is what could not be
}

// force is a document in force. It does not change.
type force struct {
	entry  Entry
	doc    *rules.Document
	set    *rules.Set
	since  time.Time
	source string
	end    int64 // when the next of its rules ends, Unix time in ns; 0 is never
}

// Where rules come from, as Standing names it.
const (
	sourceNone   = "none"
	sourceCache  = "cache"
	sourceStore  = "store"
	sourcePeer   = "peer"
	sourceChange = "change" // made at this node, by an operator or its file
)

// empty is the document of who has none.
const empty = "format: 1\nrules: []\n"

// New returns the rules that the cache has, or none. A cache that cannot be read is a trouble and no error: the node serves, and gets
// the rules from the store or another node.
func New(o Options) (*Rules, error) {
	if o.Now == nil {
		return nil, errors.New("rulestore: Options.Now is missing: rules need the clock that calls are admitted by")
	}
	if o.Calendar == nil {
		o.Calendar = &governance.Calendar{}
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, Record) error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Rules{
		o: o, dirty: make(chan struct{}, 1), ends: make(chan struct{}, 1), look: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		began:    o.Now(),
		troubles: troubles{log: o.Log, now: o.Now},
	}
	r.turn <- struct{}{}
	r.setCalendar()
	doc, err := rules.Parse([]byte(empty))
	if err != nil {
		return nil, fmt.Errorf("rulestore: %w", err)
	}
	r.force.Store(r.compile(Entry{}, doc, sourceNone, nil))
	if o.Cache != "" {
		r.o.Changed = func() {} // its owner does not have r yet
		r.loadCache()
		r.o.Changed = o.Changed
	}
	return r, nil
}

// compile makes what is in force of a document. previous is what was, or nil.
func (r *Rules) compile(e Entry, doc *rules.Document, source string, previous *force) *force {
	now := r.o.Now()
	o := rules.Options{Mark: e.Mark, Calendar: r.o.Calendar, Now: now}
	if previous != nil {
		o.Previous = previous.set
	}
	return &force{
		entry: e, doc: doc, set: rules.Compile(doc, o), source: source,
		since: r.wall(), end: nextEnd(doc, r.o.Calendar.At(now)),
	}
}

// Generation implements governance.Governor.
func (r *Rules) Generation() uint64 { return r.generation.Load() }

// Regime implements governance.Governor.
func (r *Rules) Regime(s governance.Subject) *governance.Regime { return r.force.Load().set.Regime(s) }

// Restrictions implements governance.Governor.
func (r *Rules) Restrictions(module string) (governance.Mark, []governance.Restriction) {
	set := r.force.Load().set
	return set.Mark(), set.Restrictions(module, r.o.Now())
}

// Set returns the set in force, which is never nil.
func (r *Rules) Set() *rules.Set { return r.force.Load().set }

// Current returns the entry in force, with its text; the zero Entry if there is none.
func (r *Rules) Current() Entry { return r.force.Load().entry }

// Standing says which rules are in force.
type Standing struct {
	governance.Mark

	Hash   string    `json:"hash"`
	Rules  int       `json:"rules"`
	Since  time.Time `json:"since"`  // at this node
	Source string    `json:"source"` // none, cache, store, peer, change
}

// Standing says which rules are in force.
func (r *Rules) Standing() Standing {
	f := r.force.Load()
	return Standing{Mark: f.entry.Mark, Hash: f.entry.Hash, Rules: len(f.doc.Rules), Since: f.since, Source: f.source}
}

// setCalendar reads the wall clock.
func (r *Rules) setCalendar() {
	now := r.o.Now()
	r.o.Calendar.Set(now, time.Now().UnixNano())
}

// epochBegan is when epochs are counted from: the numbers that operators see and type are shorter than with Unix time.
var epochBegan = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// next is the mark of what is written on top of base.
func (r *Rules) next(base governance.Mark) governance.Mark {
	switch {
	case !isZero(base):
		return governance.Mark{Epoch: base.Epoch, Version: base.Version + 1}
	case r.o.Epoch != nil:
		return governance.Mark{Epoch: r.o.Epoch(), Version: 1}
	}
	seconds := r.wall().Unix() - epochBegan.Unix()
	return governance.Mark{Epoch: uint64(max(seconds, 1)), Version: 1}
}

// wall is the time that the rules go by.
func (r *Rules) wall() time.Time { return time.Unix(0, r.o.Calendar.At(r.o.Now())).UTC() }

// nextEnd returns when the first of the rules ends that have not ended, Unix time in ns; 0 is never.
func nextEnd(doc *rules.Document, now int64) (end int64) {
	for i := range doc.Rules {
		until := doc.Rules[i].Until
		if until.IsZero() {
			continue
		}
		if at := until.UnixNano(); at > now && (end == 0 || at < end) {
			end = at
		}
	}
	return end
}

var (
	_ governance.Governor = (*Rules)(nil)
	_ governance.Refusals = (*Rules)(nil)
)
