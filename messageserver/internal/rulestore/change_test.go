package rulestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/internal/testkit"
)

func TestAChangeIsInForceWhenApplyReturns(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	if s := n.Standing(); s.Mark != (governance.Mark{}) || s.Rules != 0 || s.Source != "none" || n.off("Pay") || n.Set() == nil {
		t.Errorf("before: %+v", s)
	}
	before := n.Generation()
	applied := n.apply(offs("Pay", "Refund"))
	if !n.off("Pay") || !n.off("Refund") || n.off("Ask") {
		t.Error("the rules are not in force")
	}
	text := []byte(offs("Pay", "Refund"))
	if s := n.Standing(); s.Mark != version(1) || s.Hash != rules.Hash(text) || s.Rules != 2 || s.Source != "change" || time.Since(s.Since) > time.Minute {
		t.Errorf("standing %+v", s)
	}
	if e := n.Current(); string(e.Text) != string(text) || e.Author != "alice" || e.Reason != "because" || time.Since(e.At) > time.Minute {
		t.Errorf("current %+v", e)
	}
	if n.Generation() == before || n.changed.Load() != 1 {
		t.Errorf("generation %d after %d, Changed called %d times, want once", n.Generation(), before, n.changed.Load())
	}
	if m, restrictions := n.Restrictions("m"); m != version(1) || len(restrictions) != 2 || n.Set().Mark() != version(1) {
		t.Errorf("restrictions of %s: %v", name(m), restrictions)
	}
	if applied.Mark != version(1) || applied.Hash != rules.Hash(text) || len(applied.Changes) != 2 || applied.Changes[0].Op != rules.Added {
		t.Errorf("applied %+v", applied)
	}
	again := n.apply(offs("Pay", "Refund"))
	if again.Mark != version(1) || len(again.Changes) != 0 || len(n.records) != 1 || n.changed.Load() != 1 {
		t.Errorf("the same again: %+v, %d records", again, len(n.records))
	}
	n.apply(offs("Refund"))
	if found, err := n.History(t.Context(), governance.Mark{}, 0); err != nil || len(found) != 2 || found[0].Mark != version(2) || found[0].Text != nil {
		t.Errorf("history %v, %v", found, err)
	}
	if e, err := n.EntryAt(t.Context(), version(1)); err != nil || string(e.Text) != string(text) {
		t.Errorf("the first: %v, %v", e, err)
	}
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	n.apply(offs("Pay"))
	records, stale := len(n.records), governance.Mark{}
	for what, c := range map[string]struct {
		Change
		want string
	}{
		"no YAML":    {Change{Text: []byte("format: 1\nrules:\n  - {id: x"), Author: "bob"}, "line "},
		"invalid":    {Change{Text: []byte("format: 1\nrules:\n  - id: x\n    of: {}\n"), Author: "bob"}, "line 4, column "},
		"ended":      {Change{Text: []byte(offs("Ask 2020-01-01T00:00:00Z")), Author: "bob"}, "is in the past"},
		"no author":  {Change{Text: []byte(offs("Ask")), Author: " "}, "the author is missing"},
		"a file's":   {Change{Text: []byte(offs("Ask")), Author: "file:/x"}, "for what a file of rules changes"},
		"too long":   {Change{Text: []byte(offs("Ask")), Author: strings.Repeat("x", 257)}, "must have at most 256"},
		"long words": {Change{Text: []byte(offs("Ask")), Author: "bob", Reason: strings.Repeat("x", 4097)}, "must have at most 4096"},
		"late":       {Change{Text: []byte(offs("Ask")), Author: "bob", From: &stale}, "the newest is version 1.1 by alice"},
	} {
		applied, err := n.Apply(t.Context(), c.Change)
		if err == nil || !strings.Contains(err.Error(), c.want) || applied.Mark != (governance.Mark{}) {
			t.Errorf("%s: %+v, %v, want %s", what, applied, err, c.want)
		}
		if _, invalid := errors.AsType[*rules.Invalid](err); invalid != (what == "no YAML" || what == "invalid" || what == "ended") {
			t.Errorf("%s: %T", what, err)
		}
	}
	dry, err := n.Apply(t.Context(), Change{Text: []byte(offs("Ask")), Author: "bob", DryRun: true})
	if err != nil || dry.Mark != version(2) || len(dry.Changes) != 2 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	dry, err = n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Ask")}, Author: "bob", DryRun: true})
	if err != nil || dry.Mark != version(2) || len(dry.Changes) != 1 {
		t.Errorf("a dry switch: %+v, %v", dry, err)
	}
	if len(n.records) != records {
		t.Errorf("recorded: %+v", n.records[records:])
	}
	n.deaf = errors.New("the disk is full")
	if _, err := n.Apply(t.Context(), Change{Text: []byte(offs("Ask")), Author: "bob"}); !errors.Is(err, n.deaf) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("without a record: %v", err)
	}
	if e, err := n.o.Store.Newest(t.Context()); err != nil || e.Mark != version(1) || n.Current().Mark != version(1) || n.off("Ask") || !n.off("Pay") {
		t.Errorf("something changed: %v, %v", e, err)
	}
}

func TestWithoutAStoreNothingChanges(t *testing.T) {
	n := newNode(t, Options{})
	for what, try := range map[string]func() error{
		"apply":    func() error { _, err := n.Apply(t.Context(), Change{Text: []byte(empty), Author: "bob"}); return err },
		"switch":   func() error { _, err := n.Switch(t.Context(), Edit{Author: "bob"}); return err },
		"rollback": func() error { _, err := n.Rollback(t.Context(), version(1), nil, "bob", ""); return err },
		"history":  func() error { _, err := n.History(t.Context(), governance.Mark{}, 0); return err },
		"entry":    func() error { _, err := n.EntryAt(t.Context(), version(1)); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "configure one") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := n.Load(t.Context()); err != nil {
		t.Errorf("load: %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("rules without a clock")
	}
}

// TestAChangeIsRecordedFirst: before anybody can see it, and without secrets.
func TestAChangeIsRecordedFirst(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	n.apply(offs("Pay"))
	audit, seen := n.o.Audit, 0
	n.o.Audit = func(ctx context.Context, r Record) error {
		seen++
		if e, err := n.o.Store.Newest(ctx); err != nil || e.Mark != version(1) {
			t.Errorf("the store has %v already, %v", e, err)
		}
		return audit(ctx, r)
	}
	text := offs("Pay") + "  - id: key\n    module: m\n    method: Ask\n    password: {keys: [{key_id: 1, secret: " + secret + "}]}\n"
	applied, err := n.Apply(t.Context(), Change{Text: []byte(text), Author: "bob", Reason: "ticket 4711"})
	if err != nil || seen != 1 {
		t.Fatalf("%v, recorded %d times", err, seen)
	}
	r := n.records[1]
	if r.Action != ActionApply || r.Node != "a" || r.Author != "bob" || r.Reason != "ticket 4711" || r.From != version(1) ||
		r.To != version(2) || r.Hash != applied.Hash || len(r.Changes) != 1 || r.Changes[0].ID != "key" {
		t.Errorf("recorded %+v", r)
	}
	conflict := &ConflictError{Has: n.Current()} // its Has is data, with all of the text
	for _, shown := range []any{r, applied, n.Standing(), n.Current().String(), conflict.Error()} {
		written, err := json.Marshal(shown)
		if said := fmt.Sprintf("%s %+v", written, shown); err != nil || strings.Contains(said, secret) {
			t.Errorf("a secret is shown: %s, %v", said, err)
		}
	}
}

func TestOfTwoOperatorsTheSecondIsTold(t *testing.T) {
	server := testkit.Redis(t)
	a, b := newNode(t, Options{Store: newRedis(t, server)}), newNode(t, Options{Store: newRedis(t, server)})
	from := a.apply(offs("Pay")).Mark
	if _, err := a.Apply(t.Context(), Change{Text: []byte(offs("Pay", "Ask")), From: &from, Author: "alice"}); err != nil {
		t.Fatal(err)
	}
	_, err := b.Apply(t.Context(), Change{Text: []byte(offs("Pay", "Refund")), From: &from, Author: "bob"})
	conflict, ok := errors.AsType[*ConflictError](err)
	if !ok || conflict.Has.Mark != version(2) || conflict.Has.Author != "alice" || string(conflict.Has.Text) != offs("Pay", "Ask") {
		t.Fatalf("got %v, want a conflict with what alice has written", err)
	}
	if _, err := b.Apply(t.Context(), Change{Text: []byte(offs("Pay", "Ask", "Refund")), From: &conflict.Has.Mark, Author: "bob"}); err != nil {
		t.Fatalf("made from what is there: %v", err)
	}
	// Who repeats a change because the answer was lost changes nothing twice.
	again, err := b.Apply(t.Context(), Change{Text: []byte(offs("Pay", "Ask", "Refund")), From: &conflict.Has.Mark, Author: "bob"})
	if err != nil || again.Mark != version(3) || len(again.Changes) != 0 {
		t.Errorf("repeated: %+v, %v", again, err)
	}
}

func TestSwitchesAtOnceAreAllMade(t *testing.T) {
	server := testkit.Redis(t)
	nodes := []*node{newNode(t, Options{Store: newRedis(t, server)}), newNode(t, Options{Store: newRedis(t, server)})}
	var all sync.WaitGroup
	const each = 10
	for i, n := range nodes {
		all.Go(func() {
			for k := range each {
				edit := Edit{Insert: []rules.Rule{offRule(fmt.Sprintf("M%d-%d", i, k))}, Author: fmt.Sprint("operator ", i)}
				for {
					_, err := n.Switch(t.Context(), edit)
					if err == nil {
						break
					}
					if _, conflict := errors.AsType[*ConflictError](err); !conflict { // six times too late: an operator tries again
						t.Errorf("operator %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	for _, n := range nodes {
		if err := n.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := n.Standing(); s.Mark != version(2*each) || s.Rules != 2*each {
			t.Errorf("%+v, want %d versions and as many rules", s, 2*each)
		}
	}
}

func TestSwitch(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	applied, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Pay"), offRule("Ask")}, Author: "alice"})
	if err != nil || applied.Mark != version(1) || !n.off("Pay") || !n.off("Ask") {
		t.Fatalf("the first of all: %+v, %v", applied, err)
	}
	if r := n.records[0]; r.Action != ActionSwitch {
		t.Errorf("recorded %+v", r)
	}
	applied, err = n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Refund")}, Remove: []string{"Pay-off"}, Author: "alice"})
	if err != nil || len(applied.Changes) != 2 || n.off("Pay") || !n.off("Ask") || !n.off("Refund") {
		t.Errorf("one in and one out: %+v, %v", applied, err)
	}
	if _, err := n.Switch(t.Context(), Edit{Remove: []string{"Refnud-off"}, Author: "alice"}); err == nil || !strings.Contains(err.Error(), "did you mean Refund-off?") {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{{ID: "x"}}, Author: "alice"}); err == nil {
		t.Error("a rule without a kind was taken")
	}
	if _, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Pay")}}); err == nil {
		t.Error("a switch without an author was taken")
	}
	if n.Standing().Mark != version(2) {
		t.Errorf("it is version %s", name(n.Standing().Mark))
	}

	tries := 0
	store := &broken{Store: n.o.Store, put: func(governance.Mark, Entry) error {
		tries++
		return &ConflictError{Has: n.Current()}
	}}
	late := newNode(t, Options{Store: store})
	_, err = late.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Pay")}, Author: "bob"})
	if _, conflict := errors.AsType[*ConflictError](err); !conflict || tries != 6 {
		t.Errorf("always late: %v after %d tries, want a conflict after six", err, tries)
	}
}

func TestEndedRulesAreTakenOut(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	n.apply(offs("Pay "+in(time.Hour), "Ask"))
	n.apply(offs("Ask"))
	n.apply(offs("Refund "+in(time.Hour), "Ask"))
	// Two hours later.
	n.o.Calendar.Set(n.o.Now(), time.Now().Add(2*time.Hour).UnixNano())
	n.endRules()
	applied, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("New")}, Remove: []string{"Refund-off"}, Author: "alice"})
	if err != nil || n.Standing().Rules != 2 || n.off("Refund") || !n.off("Ask") || !n.off("New") {
		t.Errorf("a switch that removes what has ended: %+v, %v, %+v", applied, err, n.Standing())
	}
	applied, err = n.Rollback(t.Context(), version(1), nil, "bob", "")
	if err != nil || applied.Mark != version(5) || string(n.Current().Text) != offs("Ask") || n.Current().Reason != "back to 1.1" || n.Current().Author != "bob" {
		t.Errorf("a rollback: %+v, %v, %s", applied, err, n.Current().Text)
	}
	if r := n.records[len(n.records)-1]; r.Action != ActionRollback || r.To != version(5) {
		t.Errorf("recorded %+v", r)
	}
	if again, err := n.Rollback(t.Context(), version(2), nil, "bob", ""); err != nil || again.Mark != version(5) {
		t.Errorf("back to what is in force: %+v, %v", again, err)
	}
	if _, err := n.Rollback(t.Context(), version(9), nil, "bob", ""); !errors.Is(err, ErrNoEntry) {
		t.Errorf("back to what never was: %v", err)
	}
}

// TestAnEditForAnotherVersionIsNotMade: also where it would do nothing, or does not fit what others have made meanwhile.
func TestAnEditForAnotherVersionIsNotMade(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	n.apply(offs("Pay"))
	seen := n.apply(offs("Pay", "Ask")).Mark
	if bob := n.apply(offs("Refund")); bob.From != seen {
		t.Errorf("it was made from %s, want %s", name(bob.From), name(seen))
	}
	edit := func(from *governance.Mark, dry bool) error {
		_, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Pay")}, From: from, Author: "alice", DryRun: dry})
		return err
	}
	for what, err := range map[string]error{
		"a switch":  edit(&seen, false),
		"a dry run": edit(&seen, true),
		"what is not here": func() error {
			_, err := n.Switch(t.Context(), Edit{Remove: []string{"Ask-off"}, From: &seen, Author: "alice"})
			return err
		}(),
		"a rollback":       func() error { _, err := n.Rollback(t.Context(), version(1), &seen, "alice", ""); return err }(),
		"one to no change": func() error { _, err := n.Rollback(t.Context(), version(3), &seen, "alice", ""); return err }(),
	} {
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok || conflict.Has.Mark != version(3) || n.Standing().Mark != version(3) {
			t.Errorf("%s: %v, in force %s", what, err, name(n.Standing().Mark))
		}
	}
	now := version(3)
	if err := edit(&now, false); err != nil || !n.off("Pay") || !n.off("Refund") {
		t.Errorf("from the newest: %v", err)
	}
	now = version(4)
	if back, err := n.Rollback(t.Context(), version(1), &now, "alice", ""); err != nil || back.From != now || n.off("Refund") {
		t.Errorf("back from the newest: %+v, %v", back, err)
	}
}

// TestAPutWithoutAnAnswerIsAskedFor: what is known is said.
func TestAPutWithoutAnAnswerIsAskedFor(t *testing.T) {
	store := &broken{Store: newBolt(t)}
	n := newNode(t, Options{Store: store})
	unknown := fmt.Errorf("%w: the link is lost", ErrUnknown)
	change := Change{Text: []byte(offs("Pay")), Author: "alice"}

	store.put = func(governance.Mark, Entry) error { return unknown }
	if _, err := n.Apply(t.Context(), change); !errors.Is(err, ErrUnknown) || n.off("Pay") {
		t.Errorf("it may still come: %v, want ErrUnknown", err)
	}
	store.put = func(from governance.Mark, e Entry) error {
		put(t, store.Store, from, e.Mark)
		return unknown
	}
	from := governance.Mark{}
	change.From = &from
	if _, err := n.Apply(t.Context(), change); !isConflict(err) || n.off("Pay") {
		t.Errorf("somebody else was faster: %v, want a conflict", err)
	}
	store.Store = newBolt(t)
	store.put = func(from governance.Mark, e Entry) error {
		if err := store.Store.Put(t.Context(), from, e); err != nil {
			t.Error(err)
		}
		return unknown
	}
	if applied, err := n.Apply(t.Context(), change); err != nil || applied.Mark != version(1) || !n.off("Pay") {
		t.Errorf("it is stored: %+v, %v", applied, err)
	}
}

func isConflict(err error) bool {
	_, ok := errors.AsType[*ConflictError](err)
	return ok
}

// registered knows one method.
type registered struct{}

func (registered) Modules() []string       { return []string{"m"} }
func (registered) Methods(string) []string { return []string{"Pay"} }

func TestNamesThatNobodyHasAreWarnedOf(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t), Known: registered{}})
	applied := n.apply(offs("Pay", "Pya"))
	if len(applied.Warnings) != 1 || !strings.Contains(applied.Warnings[0].String(), "did you mean Pay?") {
		t.Errorf("warnings %v", applied.Warnings)
	}
}
