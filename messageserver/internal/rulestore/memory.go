package rulestore

import (
	"context"
	"slices"
	"sync"

	"github.com/twohop/twohop/governance"
)

// Memory is a Store for a node that keeps nothing: what is in it ends with the process.
type Memory struct {
	// Static after construction.
	kept int // entries

	news bell

	// Guarded by mu.
	mu      sync.Mutex
	entries []Entry // the newest last
	closed  bool
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{kept: maxKept} }

// String names the store for logs and errors.
func (s *Memory) String() string { return "memory" }

// Newest implements Store.
func (s *Memory) Newest(ctx context.Context) (Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errLocked(ctx); err != nil {
		return Entry{}, err
	}
	return s.newestLocked(), nil
}

func (s *Memory) newestLocked() Entry {
	if len(s.entries) == 0 {
		return Entry{}
	}
	return s.entries[len(s.entries)-1]
}

func (s *Memory) errLocked(ctx context.Context) error {
	if s.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// Put implements Store.
func (s *Memory) Put(ctx context.Context, from governance.Mark, e Entry) error {
	if err := checkPut(from, e); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errLocked(ctx); err != nil {
		return err
	}
	if has := s.newestLocked(); has.Mark != from {
		return &ConflictError{Has: has}
	}
	s.entries = append(s.entries, e)
	if len(s.entries) > s.kept {
		s.entries = slices.Delete(s.entries, 0, len(s.entries)-s.kept)
	}
	s.news.ring()
	return nil
}

// Entry implements Store.
func (s *Memory) Entry(ctx context.Context, m governance.Mark) (Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errLocked(ctx); err != nil {
		return Entry{}, err
	}
	if i := slices.IndexFunc(s.entries, func(e Entry) bool { return e.Mark == m }); i >= 0 {
		return s.entries[i], nil
	}
	return Entry{}, ErrNoEntry
}

// History implements Store.
func (s *Memory) History(ctx context.Context, before governance.Mark, limit int) (found []Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errLocked(ctx); err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(s.entries) {
		if limit > 0 && len(found) == limit {
			break
		}
		if before == (governance.Mark{}) || e.Less(before) {
			e.Text = nil
			found = append(found, e)
		}
	}
	return found, nil
}

// Watch implements Store.
func (s *Memory) Watch(ctx context.Context, changed func()) {
	news, quit := s.news.listen()
	defer quit()
	watch(ctx, s, pollEvery, news, changed)
}

// Close implements Store.
func (s *Memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
