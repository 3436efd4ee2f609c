package rulestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

// Change is a whole new document.
type Change struct {
	Text   []byte
	From   *governance.Mark // the version that it was made from; nil: whichever is the newest
	Author string           // required; not "file:…", which is the file's
	Reason string
	DryRun bool // says what would change, and writes nothing
}

// Edit changes some rules of the newest document.
type Edit struct {
	Insert []rules.Rule     // in the places of those of their ids, or below the others
	Remove []string         // ids; one that is not there is an error
	From   *governance.Mark // the version that it was made for; nil: whichever is the newest
	Author string           // required
	Reason string
	DryRun bool
}

// Applied is what a change did, or would do. Mark is that of the new version; where the text was the newest already, that of the
// newest, and there are no Changes.
type Applied struct {
	governance.Mark

	From     governance.Mark `json:"from"` // the version that it was made from
	Hash     string          `json:"hash"`
	Changes  []rules.Change  `json:"changes"`
	Warnings []rules.Problem `json:"warnings,omitempty"`
}

// What a Record may be of.
const (
	ActionApply    = "apply"
	ActionSwitch   = "switch"
	ActionRollback = "rollback"
	ActionFile     = "file"
	ActionForward  = "forward" // a store that came back older
)

// Record is what is written down before rules are changed, and, where the change was not made after all, once more. It shows no
// secrets.
type Record struct {
	Action  string          `json:"action"`
	Node    string          `json:"node"`
	Author  string          `json:"author"`
	Reason  string          `json:"reason,omitempty"`
	From    governance.Mark `json:"from"`
	To      governance.Mark `json:"to"`
	Hash    string          `json:"hash"`
	Changes []rules.Change  `json:"changes,omitempty"`

	// Result is empty in an intent. In a second record of the same From, To and Hash it says how the intent ended, where it did not end
	// as intended: "conflict: …" (others were faster, nothing was written), "failed: …", "unknown: …" (the store gave no answer; the
	// history tells). "done" is there only after such a record, for what was written forward at a later try.
	Result string `json:"result,omitempty"`
}

const (
	maxTries  = 6 // of a change that others got ahead of
	maxAuthor = 256
	maxReason = 4 << 10 // bytes
	fileMark  = "file:" // begins the Author of what a file has changed
)

// errNoStore is the answer to every change at a node without a store.
var errNoStore = errors.New("rulestore: rules cannot be changed: this node has no store of them; configure one " +
	"(the keeper's own file, a redis, or which node is the keeper)")

// Apply makes a document the newest one and puts it in force. What is wrong with it is *rules.Invalid; that there is another version
// than From is *ConflictError. ErrUnknown says that the store gave no answer. With any error nothing is in force that was not.
func (r *Rules) Apply(ctx context.Context, c Change) (Applied, error) {
	if err := checkAuthor(c.Author, c.Reason); err != nil {
		return Applied{}, err
	}
	return r.change(ctx, change{
		action: ActionApply, author: c.Author, reason: c.Reason, from: c.From, dryRun: c.DryRun,
		text: func(Entry) ([]byte, error) { return c.Text, nil },
	})
}

// Switch edits the newest document: rules that have ended are taken out, then those to be removed, then the others are inserted. Errors
// are those of Apply; without From, ConflictError only if others were faster six times.
func (r *Rules) Switch(ctx context.Context, e Edit) (Applied, error) {
	if err := checkAuthor(e.Author, e.Reason); err != nil {
		return Applied{}, err
	}
	return r.change(ctx, change{
		action: ActionSwitch, author: e.Author, reason: e.Reason, from: e.From, dryRun: e.DryRun,
		text: func(base Entry) ([]byte, error) {
			if err := madeFrom(e.From, base); err != nil {
				return nil, err
			}
			text, ended, err := rules.PruneEnded(base.Text, r.wall())
			if err != nil {
				return nil, err
			}
			remove := slices.DeleteFunc(slices.Clone(e.Remove), func(id string) bool { return slices.Contains(ended, id) })
			if len(remove) > 0 {
				if text, err = rules.Remove(text, remove...); err != nil {
					return nil, err
				}
			}
			for _, rule := range e.Insert {
				if text, err = rules.Insert(text, rule); err != nil {
					return nil, err
				}
			}
			return text, nil
		},
	})
}

// Rollback makes a new version with the text of an old one, but for rules that have ended. From is the newest one as the author has seen
// it: with any other it is a *ConflictError; nil: whichever is the newest. An empty reason names the old one.
func (r *Rules) Rollback(ctx context.Context, to governance.Mark, from *governance.Mark, author, reason string) (Applied, error) {
	if err := checkAuthor(author, reason); err != nil {
		return Applied{}, err
	}
	if reason == "" {
		reason = "back to " + name(to)
	}
	old, err := r.EntryAt(ctx, to)
	if err != nil {
		return Applied{}, notChanged(err)
	}
	return r.change(ctx, change{
		action: ActionRollback, author: author, reason: reason, from: from,
		text: func(base Entry) ([]byte, error) {
			if err := madeFrom(from, base); err != nil {
				return nil, err
			}
			text, _, err := rules.PruneEnded(old.Text, r.wall())
			return text, err
		},
	})
}

// madeFrom says of an edit that was made for another version that it is not made: it need not even fit this one.
func madeFrom(from *governance.Mark, newest Entry) error {
	if from != nil && *from != newest.Mark {
		return &ConflictError{Has: newest}
	}
	return nil
}

// History returns versions without their texts, the newest first: those older than before, or all with the zero Mark; at most limit, or
// all with 0.
func (r *Rules) History(ctx context.Context, before governance.Mark, limit int) ([]Entry, error) {
	if r.o.Store == nil {
		return nil, errNoStore
	}
	return r.o.Store.History(ctx, before, limit)
}

// EntryAt returns a version with its text, or ErrNoEntry.
func (r *Rules) EntryAt(ctx context.Context, m governance.Mark) (Entry, error) {
	if r.o.Store == nil {
		return Entry{}, errNoStore
	}
	return r.o.Store.Entry(ctx, m)
}

func checkAuthor(author, reason string) error {
	switch {
	case strings.TrimSpace(author) == "":
		return errors.New("rulestore: the author is missing: every change names who makes it")
	case strings.HasPrefix(author, fileMark):
		return fmt.Errorf("rulestore: the author %q begins with %q: that is for what a file of rules changes", author, fileMark)
	case len(author) > maxAuthor:
		return fmt.Errorf("rulestore: the author has %d bytes, must have at most %d", len(author), maxAuthor)
	case len(reason) > maxReason:
		return fmt.Errorf("rulestore: the reason has %d bytes, must have at most %d", len(reason), maxReason)
	}
	return nil
}

// change is one of any kind.
type change struct {
	action, author, reason string

	from     *governance.Mark
	dryRun   bool
	always   bool                             // a new version also of the same text
	previous *rules.Document                  // whose ended rules may stay; nil: the newest's
	text     func(base Entry) ([]byte, error) // the new one, made from the newest
}

// change tries until nobody was faster, unless the change was made from one version only. Changes through this node are made one after
// another: they would only be in each other's way at the store.
func (r *Rules) change(ctx context.Context, c change) (Applied, error) {
	if r.o.Store == nil {
		return Applied{}, errNoStore
	}
	if !c.dryRun {
		select {
		case <-ctx.Done():
			return Applied{}, fmt.Errorf("rulestore: nothing was changed: others change the rules at this node: %w", ctx.Err())
		case <-r.turn:
		}
		defer func() { r.turn <- struct{}{} }()
	}
	for try := 1; ; try++ {
		base, err := r.base(ctx)
		if err != nil {
			return Applied{}, err
		}
		applied, err := r.changeFrom(ctx, c, base)
		if _, conflict := errors.AsType[*ConflictError](err); conflict && c.from == nil && try < maxTries {
			continue
		}
		return applied, err
	}
}

// base returns the newest entry, with an empty document if there is none.
func (r *Rules) base(ctx context.Context) (Entry, error) {
	base, err := r.o.Store.Newest(ctx)
	if err == nil && base.Less(r.Current().Mark) {
		// It came back older. A change on top of that would be older than what is in force.
		if err = r.Load(ctx); err == nil {
			base, err = r.o.Store.Newest(ctx)
		}
		if err == nil && base.Less(r.Current().Mark) {
			err = fmt.Errorf("it has %s, which is older than %s, which is in force", base, r.Current())
		}
	}
	if err != nil {
		return Entry{}, notChanged(err)
	}
	if isZero(base.Mark) {
		base.Text = []byte(empty)
	}
	return base, nil
}

// notChanged says of an error of the store what it means for a change.
func notChanged(err error) error {
	if errors.Is(err, ErrNoEntry) || errors.Is(err, errNoStore) {
		return err
	}
	return fmt.Errorf("rulestore: nothing was changed: the store of rules is not there: %w", err)
}

func (r *Rules) changeFrom(ctx context.Context, c change, base Entry) (Applied, error) {
	before, err := rules.Parse(base.Text)
	if err != nil {
		return Applied{}, fmt.Errorf("rulestore: nothing was changed: this node does not understand the newest rules, %s; "+
			"change them at a node that does: %w", base, err)
	}
	text, err := c.text(base)
	if err != nil {
		return Applied{}, err
	}
	doc, err := rules.Parse(text)
	if err != nil {
		return Applied{}, err
	}
	applied := Applied{Mark: base.Mark, From: base.Mark, Hash: rules.Hash(text)}
	if r.o.Known != nil {
		applied.Warnings = doc.Warnings(r.o.Known)
	}
	if applied.Hash == base.Hash && !c.always {
		return applied, r.adopt(base, sourceStore)
	}
	if c.from != nil && *c.from != base.Mark {
		return Applied{}, &ConflictError{Has: base}
	}
	previous := c.previous
	if previous == nil {
		previous = before
	}
	if err := doc.Check(previous, r.wall()); err != nil {
		return Applied{}, err
	}
	applied.Changes = rules.Diff(before, doc)
	applied.Mark = r.next(base.Mark)
	if c.dryRun {
		return applied, nil
	}
	e := Entry{Mark: applied.Mark, Text: slices.Clone(text), Hash: applied.Hash, Author: c.author, Reason: c.reason, At: r.wall()}
	intended := Record{
		Action: c.action, Node: r.o.Node, Author: c.author, Reason: c.reason, From: base.Mark, To: e.Mark, Hash: e.Hash, Changes: applied.Changes,
	}
	if err := r.record(ctx, intended); err != nil {
		return Applied{}, fmt.Errorf("rulestore: nothing was changed: the change could not be recorded: %w", err)
	}
	if err := r.put(ctx, base.Mark, e); err != nil {
		r.ended(ctx, intended, result(err))
		return Applied{}, err
	}
	return applied, r.adopt(e, sourceChange)
}
