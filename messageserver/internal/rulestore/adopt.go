package rulestore

import (
	"fmt"
	"strings"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

// Adopt puts an entry in force that another node has told of, if it is newer than the one that is; an older one, or the same again,
// changes nothing. It is an error, and a trouble, if there is another text of the same mark, or if this program does not understand
// the text.
func (r *Rules) Adopt(e Entry) error { return r.adopt(e, sourcePeer) }

func (r *Rules) adopt(e Entry, source string) error {
	if known, err := r.compare(e); known || err != nil {
		return err
	}
	if hash := rules.Hash(e.Text); hash != e.Hash {
		return fmt.Errorf("rulestore: %s is damaged: its text has the hash %.12s, and should have %.12s", e, hash, e.Hash)
	}
	doc, err := rules.Parse(e.Text)
	if err != nil {
		err = fmt.Errorf("rulestore: this node does not understand %s, and goes on with %s: %w", e, r.Current(), err)
		r.troubles.begin(TroubleNotUnderstood, err.Error())
		return err
	}
	r.mu.Lock()
	was := r.force.Load()
	if !was.entry.Less(e.Mark) { // somebody was faster
		r.mu.Unlock()
		_, err := r.compare(e)
		return err
	}
	is := r.compile(e, doc, source, was)
	r.swapLocked(is)
	r.mu.Unlock()

	r.o.Log.Info("rules changed", "from", name(was.entry.Mark), "to", name(e.Mark), "rules", len(doc.Rules), "source", source,
		"author", e.Author, "reason", e.Reason)
	r.troubles.end(TroubleDiffer)
	r.troubles.end(TroubleNotUnderstood)
	if source != sourceCache {
		notify(r.dirty)
	}
	r.tell()
	return nil
}

// compare reports whether there is nothing to do about an entry. An error says that it and the one in force cannot both be right.
func (r *Rules) compare(e Entry) (known bool, err error) {
	current := r.Current()
	switch {
	case current.Less(e.Mark):
		return false, nil
	case e.Less(current.Mark) || e.Hash == current.Hash:
		return true, nil
	}
	err = fmt.Errorf("rulestore: version %s is there twice: here by %s, hash %.12s, and elsewhere by %s, hash %.12s; change the rules to end this",
		name(e.Mark), current.Author, current.Hash, e.Author, e.Hash)
	r.troubles.begin(TroubleDiffer, err.Error())
	return true, err
}

// swapLocked puts something in force. The set goes first: who sees the new generation sees the new set.
func (r *Rules) swapLocked(f *force) {
	r.force.Store(f)
	r.generation.Add(1)
}

// tell says that other rules are in force than before.
func (r *Rules) tell() {
	r.judgeLifts()
	notify(r.ends)
	r.o.Changed()
}

// endRules notices that rules have ended, or that with a wall clock that went back some have not ended after all. It compiles the
// document anew, because settings that have ended give way to wider ones.
func (r *Rules) endRules() {
	at := r.o.Calendar.At(r.o.Now())
	r.mu.Lock()
	was := r.force.Load()
	if nextEnd(was.doc, at) == was.end {
		r.mu.Unlock()
		return
	}
	is := r.compile(was.entry, was.doc, was.source, was)
	is.since = was.since
	r.swapLocked(is)
	r.mu.Unlock()
	r.tell()
}

// judgeLifts begins or ends TroubleChecksLifted.
func (r *Rules) judgeLifts() {
	now := r.wall()
	var lifted []string
	for _, rule := range r.force.Load().doc.Rules {
		if rule.Lift == nil || rule.Shadow || !rule.Until.IsZero() && !now.Before(rule.Until) {
			continue
		}
		var checks []string
		for _, check := range rule.Lift.Checks {
			checks = append(checks, string(check))
		}
		what := fmt.Sprintf("rule %s takes off %s of %s", rule.ID, strings.Join(checks, ", "), scope(rule.Scope))
		if !rule.Until.IsZero() {
			what += " until " + rule.Until.UTC().Format("2006-01-02T15:04:05Z")
		}
		lifted = append(lifted, what)
	}
	if len(lifted) == 0 {
		r.troubles.end(TroubleChecksLifted)
		return
	}
	r.troubles.begin(TroubleChecksLifted, strings.Join(lifted, "; "))
}

func scope(s rules.Scope) string {
	var parts []string
	for _, p := range [][2]string{{"module", s.Module}, {"method", s.Method}, {"group", s.Group}, {"caller", s.Caller}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "all calls"
	}
	return strings.Join(parts, ", ")
}

// isZero reports whether there is no document.
func isZero(m governance.Mark) bool { return m == governance.Mark{} }
