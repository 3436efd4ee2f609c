package rulestore

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// The kinds of Trouble.
const (
	// TroubleStoreDown: the store cannot be read. The last rules stay in force and cannot be changed.
	TroubleStoreDown = "rules_store_down"
	// TroubleStoreOlder: the store came back older than what was in force. What is in force was written into it; the trouble stays
	// for ten minutes after that.
	TroubleStoreOlder = "rules_store_older"
	// TroubleDiffer: somebody has another document of the same mark. The next change ends it.
	TroubleDiffer = "rules_differ"
	// TroubleNotUnderstood: this node cannot read the newest document, which a newer program may have written.
	TroubleNotUnderstood = "rules_not_understood"
	// TroubleInvalidFile: the file of rules is missing or has problems. What it last was stays in force.
	TroubleInvalidFile = "rules_invalid_file"
	// TroubleFileWaits: the file of rules has changed and is right, and could not be put in force yet.
	TroubleFileWaits = "rules_file_waits"
	// TroubleChecksLifted: a rule takes checks off.
	TroubleChecksLifted = "checks_lifted"
	// TroubleCache: the cache cannot be read or written. A restart may find older rules, or none, until the store answers.
	TroubleCache = "rules_cache"
	// TroubleAuditFailed: what became of a change could not be recorded, after the change itself was. The next record ends it.
	TroubleAuditFailed = "audit_failed"
)

// Trouble is something that an operator should know as long as it lasts. There is at most one of a kind.
type Trouble struct {
	Kind  string    `json:"kind"`
	Cause string    `json:"cause"`
	Since time.Time `json:"since"`
}

// troubles are those that last. Safe for concurrent use.
type troubles struct {
	// Static after construction.
	log *slog.Logger
	now func() time.Duration

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]*trouble
}

type trouble struct {
	Trouble

	over time.Duration // when it ends by itself; 0 is never
}

// begin says that there is one, or that it has another cause.
func (t *troubles) begin(kind, cause string) { t.put(kind, cause, 0) }

// beginFor is begin for one that ends by itself.
func (t *troubles) beginFor(kind, cause string, lasts time.Duration) {
	t.put(kind, cause, t.now()+lasts)
}

func (t *troubles) put(kind, cause string, over time.Duration) {
	t.mu.Lock()
	was := t.last[kind]
	news := was == nil || was.Cause != cause
	if was == nil {
		if t.last == nil {
			t.last = make(map[string]*trouble)
		}
		was = &trouble{Trouble: Trouble{Kind: kind, Since: time.Now().UTC()}}
		t.last[kind] = was
	}
	was.Cause, was.over = cause, over
	t.mu.Unlock()
	if news {
		t.log.Warn("rules trouble", "kind", kind, "cause", cause)
	}
}

// end says that there is none any more.
func (t *troubles) end(kind string) {
	t.mu.Lock()
	_, was := t.last[kind]
	delete(t.last, kind)
	t.mu.Unlock()
	if was {
		t.log.Info("rules trouble is over", "kind", kind)
	}
}

func (t *troubles) list() []Trouble {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Trouble
	for kind, one := range t.last {
		if one.over != 0 && now >= one.over {
			delete(t.last, kind)
			continue
		}
		all = append(all, one.Trouble)
	}
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}

// Troubles returns what lasts, by kind.
func (r *Rules) Troubles() []Trouble { return r.troubles.list() }
