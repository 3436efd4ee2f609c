package rulestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twohop/twohop/governance"
)

// Entry is one version of the document of rules. The zero Entry stands for "there is no document yet".
type Entry struct {
	governance.Mark

	Text   []byte    `json:"text,omitempty"` // with the secrets of its rules; not changed once it was given away
	Hash   string    `json:"hash"`           // rules.Hash of Text
	Author string    `json:"author"`         // who has written it; "file:<path>" where a file has
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"` // by the wall clock of the node that wrote it; decides nothing
}

// String names the entry for logs and errors, without its text.
func (e Entry) String() string {
	if e.Mark == (governance.Mark{}) {
		return "no document"
	}
	return fmt.Sprintf("version %s by %s", name(e.Mark), e.Author)
}

// name writes a mark as operators do: epoch.version.
func name(m governance.Mark) string { return fmt.Sprintf("%d.%d", m.Epoch, m.Version) }

// Errors of stores.
var (
	// ErrNoEntry says that a store has no such version: it never had, or the newer ones have pushed it out.
	ErrNoEntry = errors.New("rulestore: there is no such version")

	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("rulestore: the store is closed")

	// ErrUnknown says that a write got no answer: it may be stored, now or in a moment. Who wants to know reads.
	ErrUnknown = errors.New("rulestore: it is not known whether the change is stored")
)

// ConflictError says that the newest entry is not the one that the change was made from.
type ConflictError struct {
	Has Entry // the newest one; of one that another node holds, too
}

// Error names what is there.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("rulestore: the rules have changed meanwhile: the newest is %s, of %s", e.Has, e.Has.At.UTC().Format(time.RFC3339))
}

// Store keeps the versions of the document of rules. Safe for concurrent use, by any number of nodes.
type Store interface {
	// Newest returns the newest entry, the zero Entry if there is none.
	Newest(ctx context.Context) (Entry, error)

	// Put makes e the newest entry if from is the mark of the one that is; otherwise the error is *ConflictError. e.Mark must be
	// greater than from. When it returns nil, e is as safe as the store makes it. An error that is ErrUnknown leaves it open.
	Put(ctx context.Context, from governance.Mark, e Entry) error

	// Entry returns the entry of a mark, or ErrNoEntry.
	Entry(ctx context.Context, m governance.Mark) (Entry, error)

	// History returns entries without their texts, the newest first: those older than before, or all with the zero Mark, at
	// most limit, or all with 0. A store keeps the newest 1,000.
	History(ctx context.Context, before governance.Mark, limit int) ([]Entry, error)

	// Watch calls changed when the newest entry is another one than when it last looked, also one that somebody else has put, and
	// once in the beginning if there is any. It looks at least every 2 s. It returns when ctx is done.
	Watch(ctx context.Context, changed func())

	// Close gives back what the store holds. It may be called twice. Nobody uses the store after it.
	Close() error
}

// maxKept is how many entries a store keeps.
const maxKept = 1000

// checkPut refuses what no store takes.
func checkPut(from governance.Mark, e Entry) error {
	if !from.Less(e.Mark) {
		return fmt.Errorf("rulestore: version %s is not newer than %s, which it was made from", name(e.Mark), name(from))
	}
	return nil
}
