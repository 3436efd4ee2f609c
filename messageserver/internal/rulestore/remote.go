package rulestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
)

// The methods of the module _node by which nodes use the keeper's store.
const (
	MethodNewest  = "RulesNewest"
	MethodPut     = "RulesPut"
	MethodEntry   = "RulesEntry"
	MethodHistory = "RulesHistory"
)

// question is the body of all methods; each uses what it needs.
type question struct {
	From   governance.Mark `json:"from,omitzero"`   // RulesPut
	Put    *Entry          `json:"put,omitempty"`   // RulesPut
	Mark   governance.Mark `json:"mark,omitzero"`   // RulesEntry
	Before governance.Mark `json:"before,omitzero"` // RulesHistory
	Limit  int             `json:"limit,omitempty"` // RulesHistory
}

// reply answers it. What the asker can act upon is data; only what went wrong is an error of the call.
type reply struct {
	Entry    *Entry  `json:"entry,omitempty"`
	Missing  bool    `json:"missing,omitempty"`  // RulesEntry: ErrNoEntry
	Conflict *Entry  `json:"conflict,omitempty"` // RulesPut: the newest, which is another one
	Unknown  string  `json:"unknown,omitempty"`  // RulesPut: why ErrUnknown
	History  []Entry `json:"history,omitempty"`
}

// remotePoll is how often Remote looks by itself.
const remotePoll = time.Second

// Remote is a Store that another node, the keeper, holds.
type Remote struct {
	// Static after construction.
	ask func(ctx context.Context, method string, body []byte) ([]byte, error)

	closed atomic.Bool
	news   bell
}

// NewRemote returns a store whose operations are calls of ask, which reaches the functions that Serve has given to the keeper.
// ask must not make a call of RulesPut twice.
func NewRemote(ask func(ctx context.Context, method string, body []byte) ([]byte, error)) *Remote {
	return &Remote{ask: ask}
}

// String names the store for logs.
func (*Remote) String() string { return "the keeper" }

// Notify says that there may be news: Watch looks at once.
func (s *Remote) Notify() { s.news.ring() }

// Newest implements Store.
func (s *Remote) Newest(ctx context.Context) (Entry, error) {
	r, err := s.call(ctx, MethodNewest, question{})
	if err != nil || r.Entry == nil {
		return Entry{}, err
	}
	return *r.Entry, nil
}

// Put implements Store.
func (s *Remote) Put(ctx context.Context, from governance.Mark, e Entry) error {
	if err := errors.Join(ctx.Err(), checkPut(from, e)); err != nil {
		return err
	}
	r, err := s.call(ctx, MethodPut, question{From: from, Put: &e})
	switch {
	case errors.Is(err, ErrClosed):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case r.Conflict != nil:
		return &ConflictError{Has: *r.Conflict}
	case r.Unknown != "":
		return fmt.Errorf("%w: the keeper: %s", ErrUnknown, r.Unknown)
	}
	s.news.ring()
	return nil
}

// Entry implements Store.
func (s *Remote) Entry(ctx context.Context, m governance.Mark) (Entry, error) {
	r, err := s.call(ctx, MethodEntry, question{Mark: m})
	switch {
	case err != nil:
		return Entry{}, err
	case r.Missing || r.Entry == nil:
		return Entry{}, ErrNoEntry
	}
	return *r.Entry, nil
}

// History implements Store.
func (s *Remote) History(ctx context.Context, before governance.Mark, limit int) ([]Entry, error) {
	r, err := s.call(ctx, MethodHistory, question{Before: before, Limit: limit})
	return r.History, err
}

// Watch implements Store. It looks every second, and at once after Notify.
func (s *Remote) Watch(ctx context.Context, changed func()) {
	news, quit := s.news.listen()
	defer quit()
	watch(ctx, s, remotePoll, news, changed)
}

// Close implements Store.
func (s *Remote) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *Remote) call(ctx context.Context, method string, q question) (r reply, err error) {
	if s.closed.Load() {
		return reply{}, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	body, err = s.ask(ctx, method, body)
	if err != nil {
		return reply{}, &AwayError{err}
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return reply{}, fmt.Errorf("rulestore: the keeper's answer to %s: %w", method, err)
	}
	return r, nil
}

// AwayError says that the keeper did not answer, and why. Rules that are in force stay so.
type AwayError struct{ Why error }

// Error says so.
func (e *AwayError) Error() string { return "rulestore: the keeper: " + e.Why.Error() }

// Unwrap returns why it did not.
func (e *AwayError) Unwrap() error { return e.Why }

// Serve returns what the keeper answers to the nodes that use its store, by method. An error of these functions is one of the call.
func Serve(s Store) map[string]func(ctx context.Context, body []byte) ([]byte, error) {
	served := map[string]func(context.Context, []byte) ([]byte, error){}
	for method, answer := range map[string]func(context.Context, question) (reply, error){
		MethodNewest: func(ctx context.Context, _ question) (reply, error) {
			e, err := s.Newest(ctx)
			return reply{Entry: &e}, err
		},
		MethodPut: func(ctx context.Context, q question) (reply, error) { return servePut(ctx, s, q) },
		MethodEntry: func(ctx context.Context, q question) (reply, error) {
			e, err := s.Entry(ctx, q.Mark)
			if errors.Is(err, ErrNoEntry) {
				return reply{Missing: true}, nil
			}
			return reply{Entry: &e}, err
		},
		MethodHistory: func(ctx context.Context, q question) (reply, error) {
			found, err := s.History(ctx, q.Before, q.Limit)
			return reply{History: found}, err
		},
	} {
		served[method] = func(ctx context.Context, body []byte) ([]byte, error) {
			var q question
			if err := json.Unmarshal(body, &q); err != nil {
				return nil, fmt.Errorf("the body of %s is not what it takes: %w", method, err)
			}
			r, err := answer(ctx, q)
			if err != nil {
				return nil, err
			}
			return json.Marshal(r)
		}
	}
	return served
}

func servePut(ctx context.Context, s Store, q question) (reply, error) {
	if q.Put == nil {
		return reply{}, fmt.Errorf("the body of %s has no put", MethodPut)
	}
	err := s.Put(ctx, q.From, *q.Put)
	if conflict, ok := errors.AsType[*ConflictError](err); ok {
		return reply{Conflict: &conflict.Has}, nil
	}
	if errors.Is(err, ErrUnknown) {
		return reply{Unknown: err.Error()}, nil
	}
	return reply{}, err
}
