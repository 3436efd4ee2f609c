package rulestore

import (
	"context"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
)

const (
	pollEvery   = 2 * time.Second // how often a store is looked at without any news of it
	pollTimeout = 2 * time.Second // of one look
)

// watch is Store.Watch on top of History: it looks at each news, and every so often without.
func watch(ctx context.Context, s Store, every time.Duration, news <-chan struct{}, changed func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var seen Entry
	for {
		if newest, err := glance(ctx, s); err == nil && (newest.Mark != seen.Mark || newest.Hash != seen.Hash) {
			seen = newest
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-ticker.C:
		}
	}
}

// glance returns the newest entry without its text, which may be large and is mostly known.
func glance(ctx context.Context, s Store) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	found, err := s.History(ctx, governance.Mark{}, 1)
	if err != nil || len(found) == 0 {
		return Entry{}, err
	}
	return found[0], nil
}

// bell tells everybody who waits that there is news. The zero value is ready. Safe for concurrent use.
type bell struct {
	mu        sync.Mutex
	listeners map[chan struct{}]bool // guarded by mu
}

// listen returns a channel that has a value after each ring; rings that nobody has heard yet are one. quit gives it back.
func (b *bell) listen() (news <-chan struct{}, quit func()) {
	ears := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = make(map[chan struct{}]bool)
	}
	b.listeners[ears] = true
	return ears, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, ears)
	}
}

// ring does not block.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ears := range b.listeners {
		notify(ears)
	}
}

// notify leaves a word in a channel with room for one, unless there is one already.
func notify(ears chan<- struct{}) {
	select {
	case ears <- struct{}{}:
	default:
	}
}
