package rulestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

// switches makes changes at once, at the nodes in turn.
func switches(t *testing.T, count int, nodes ...*node) {
	t.Helper()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			for {
				_, err := nodes[i%len(nodes)].Switch(t.Context(), Edit{Insert: []rules.Rule{offRule(fmt.Sprint("M", i))}, Author: fmt.Sprint("operator ", i)})
				if err == nil {
					return
				}
				if !isConflict(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// made returns the intents that no later record takes back, by version and hash, and how many were taken back.
func made(records []Record) (open map[string]string, back int) {
	open = make(map[string]string)
	for _, r := range records {
		key := name(r.To) + " " + r.Hash
		if r.Result == "" {
			open[key] = r.Author
			continue
		}
		delete(open, key)
		back++
	}
	return open, back
}

func TestChangesThroughOneNodeAreRecordedOnce(t *testing.T) {
	n := newNode(t, Options{Store: newBolt(t)})
	const count = 8
	switches(t, count, n)
	if open, back := made(n.records); len(n.records) != count || len(open) != count || back != 0 {
		t.Errorf("%d records, %d of them intents, %d taken back; want %d", len(n.records), len(open), back, count)
	}
}

// TestWhatIsRecordedAndNotTakenBackWasMade, through nodes that are in each other's way at the store.
func TestWhatIsRecordedAndNotTakenBackWasMade(t *testing.T) {
	store := newBolt(t)
	nodes := []*node{newNode(t, Options{Store: store}), newNode(t, Options{Store: store}), newNode(t, Options{Store: store})}
	const count = 24
	switches(t, count, nodes...)
	found, err := store.History(t.Context(), governance.Mark{}, 0)
	if err != nil || len(found) != count {
		t.Fatalf("%d versions, %v", len(found), err)
	}
	claimed, taken := make(map[string]string), 0
	for _, n := range nodes {
		open, back := made(n.records)
		maps.Copy(claimed, open)
		taken += back
	}
	for _, e := range found {
		if key := name(e.Mark) + " " + e.Hash; claimed[key] != e.Author {
			t.Errorf("%s is recorded as one by %q", e, claimed[key])
		}
	}
	if len(claimed) != count {
		t.Errorf("%d changes are claimed, %d were made", len(claimed), count)
	}
	t.Logf("%d were taken back", taken)
}

func TestAChangeThatWasNotMadeIsRecordedAsSuch(t *testing.T) {
	store := &broken{Store: newBolt(t)}
	n := newNode(t, Options{Store: store})
	n.apply(offs("Pay"))
	for result, put := range map[string]func(governance.Mark, Entry) error{
		"failed: it is away":                        func(governance.Mark, Entry) error { return errAway },
		"failed: " + strings.Repeat("ü", 252) + "…": func(governance.Mark, Entry) error { return errors.New(strings.Repeat("ü", 1000)) },
		"unknown: rulestore: it is not known":       func(governance.Mark, Entry) error { return fmt.Errorf("%w: the link is lost", ErrUnknown) },
		"conflict: the newest is version 1.1 by alice": func(governance.Mark, Entry) error {
			return &ConflictError{Has: n.Current()}
		},
	} {
		n.records, store.put = nil, put
		from := version(1)
		ctx, cancel := context.WithCancel(t.Context())
		audit := n.o.Audit
		n.o.Audit = func(ctx context.Context, r Record) error {
			cancel() // the operator goes: the record of the end is written all the same
			if r.Result != "" && ctx.Err() != nil {
				t.Error("a record that nobody waits for any more is not written")
			}
			return audit(ctx, r)
		}
		if _, err := n.Apply(ctx, Change{Text: []byte(offs("Ask")), From: &from, Author: "bob", Reason: "ticket 1"}); err == nil {
			t.Fatalf("%s: it was made", result)
		}
		n.o.Audit = audit
		if len(n.records) != 2 {
			t.Fatalf("%s: recorded %+v", result, n.records)
		}
		intended, ended := n.records[0], n.records[1]
		if intended.Result != "" || len(intended.Changes) == 0 || !strings.HasPrefix(ended.Result, result) || len(ended.Changes) != 0 ||
			ended.From != intended.From || ended.To != version(2) || ended.Hash != intended.Hash || ended.Author != "bob" || ended.Reason != "ticket 1" {
			t.Errorf("%s: recorded %+v, then %+v", result, intended, ended)
		}
	}
}

// TestTheEndOfAChangeCannotBeRecorded: it is a trouble, until something is recorded again, and changes nothing.
func TestTheEndOfAChangeCannotBeRecorded(t *testing.T) {
	store := &broken{Store: newBolt(t)}
	n := newNode(t, Options{Store: store})
	audit := n.o.Audit
	n.o.Audit = func(ctx context.Context, r Record) error {
		if r.Result != "" {
			return errors.New("the disk is full")
		}
		return audit(ctx, r)
	}
	store.put = func(from governance.Mark, e Entry) error { // somebody is faster once
		store.put = nil
		must(t, store.Store.Put(t.Context(), from, told(e.Mark, offs("Book"))))
		return store.Store.Put(t.Context(), from, e)
	}
	applied, err := n.Switch(t.Context(), Edit{Insert: []rules.Rule{offRule("Pay")}, Author: "alice"})
	if err != nil || applied.Mark != version(2) || !n.off("Pay") {
		t.Errorf("%+v, %v", applied, err)
	}
	if n.trouble(TroubleAuditFailed) != "" {
		t.Error("the trouble lasts when something was recorded again")
	}
	store.put = func(governance.Mark, Entry) error { return errAway }
	if _, err := n.Apply(t.Context(), Change{Text: []byte(empty), Author: "bob"}); !errors.Is(err, errAway) {
		t.Errorf("got %v", err)
	}
	n.wantTrouble(TroubleAuditFailed, "version 1.3 by bob", "failed: it is away", "the disk is full")
	store.put = nil
	n.apply(offs("Ask"))
	n.wantNoTrouble(TroubleAuditFailed)
}

// TestWritingForwardIsRecordedOnce, however often it is tried.
func TestWritingForwardIsRecordedOnce(t *testing.T) {
	store := &broken{Store: newBolt(t)}
	n := newNode(t, Options{Store: store})
	if err := n.Adopt(told(version(7), offs("Pay"))); err != nil {
		t.Fatal(err)
	}
	store.put = func(governance.Mark, Entry) error { return errAway }
	for range 5 {
		if err := n.Load(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("got %v", err)
		}
	}
	store.put = nil
	must(t, n.Load(t.Context()))
	must(t, n.Load(t.Context()))
	var got []string
	for _, r := range n.records {
		got = append(got, fmt.Sprintf("%s %s %q", r.Action, name(r.To), r.Result))
	}
	if want := `forward 1.7 "", forward 1.7 "failed: it is away", forward 1.7 "done"`; strings.Join(got, ", ") != want {
		t.Errorf("recorded %s", got)
	}
}

// TestWhoWaitsForHisTurnMayGo: a store that does not answer one change holds up no other for longer than it wants.
func TestWhoWaitsForHisTurnMayGo(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	store := &broken{Store: newBolt(t), put: func(governance.Mark, Entry) error {
		close(inside)
		<-leave
		return errAway
	}}
	n := newNode(t, Options{Store: store})
	ended := make(chan error)
	go func() {
		_, err := n.Apply(t.Context(), Change{Text: []byte(offs("Pay")), Author: "alice"})
		ended <- err
	}()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := n.Apply(ctx, Change{Text: []byte(offs("Ask")), Author: "bob"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	if _, err := n.Apply(t.Context(), Change{Text: []byte(offs("Ask")), Author: "bob", DryRun: true}); err != nil {
		t.Errorf("a dry run waits: %v", err)
	}
	close(leave)
	if err := <-ended; !errors.Is(err, errAway) {
		t.Errorf("got %v", err)
	}
}
