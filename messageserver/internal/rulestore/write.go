package rulestore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twohop/twohop/governance"
)

// put is Store.Put that asks again when it got no answer.
func (r *Rules) put(ctx context.Context, from governance.Mark, e Entry) error {
	err := r.o.Store.Put(ctx, from, e)
	if !errors.Is(err, ErrUnknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
	defer cancel()
	there, again := r.o.Store.Entry(ctx, e.Mark)
	switch {
	case again != nil: // also if it is not there: it may still come
		return err
	case there.Hash == e.Hash && there.Author == e.Author && there.At.Equal(e.At):
		return nil
	}
	newest, again := r.o.Store.Newest(ctx)
	if again != nil {
		return err
	}
	return &ConflictError{Has: newest}
}

// record writes an intent down.
func (r *Rules) record(ctx context.Context, intended Record) error {
	err := r.o.Audit(ctx, intended)
	if err == nil {
		r.troubles.end(TroubleAuditFailed)
	}
	return err
}

// ended writes down how an intent ended, if not as intended. Who made the change may have gone meanwhile. Nothing depends on the record:
// that it cannot be written is a trouble.
func (r *Rules) ended(ctx context.Context, intended Record, how string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
	defer cancel()
	intended.Result, intended.Changes = how, nil
	if err := r.record(ctx, intended); err != nil {
		r.troubles.begin(TroubleAuditFailed, fmt.Sprintf("the record of a change to version %s by %s stands without what became of it, which is %q: %v",
			name(intended.To), intended.Author, how, err))
	}
}

// maxResult is how long a Result may be, in bytes.
const maxResult = 512

// result says what became of a write.
func result(err error) string {
	how := "failed: " + err.Error()
	if conflict, ok := errors.AsType[*ConflictError](err); ok {
		how = fmt.Sprintf("conflict: the newest is %s", conflict.Has)
	} else if errors.Is(err, ErrUnknown) {
		how = "unknown: " + err.Error()
	}
	if len(how) > maxResult {
		how = strings.ToValidUTF8(how[:maxResult], "") + "…"
	}
	return how
}

// intent names what was to be written forward.
type intent struct {
	from, to governance.Mark
	hash     string
}

// pending reports whether an intent stands in the records already, because a try failed.
func (r *Rules) pending(i intent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.intended == i
}

func (r *Rules) setPending(i intent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intended = i
}
