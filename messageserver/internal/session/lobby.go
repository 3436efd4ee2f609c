package session

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// lobby holds the places of connections that are not logged in, so many per address. Safe for concurrent use.
type lobby struct {
	// Static after construction.
	places int // per address

	// Guarded by mu.
	mu     sync.Mutex
	queues map[netip.Addr]*queue
}

// queue is the lobby of one address. It is there while a place is taken.
type queue struct {
	taken   int
	waiting []chan struct{} // in the order in which they came; who gets a place is told by closing
}

func newLobby(places int) *lobby { return &lobby{places: places, queues: make(map[netip.Addr]*queue)} }

// enter takes a place. Beyond the bound it waits for one, as long as its patience lasts, and reports whether it got it.
func (l *lobby) enter(addr netip.Addr, patience time.Duration) bool {
	l.mu.Lock()
	q := l.queues[addr]
	if q == nil {
		q = &queue{}
		l.queues[addr] = q
	}
	if q.taken < l.places {
		q.taken++
		l.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	l.mu.Unlock()
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-turn:
		return true
	case <-over.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(q.waiting, turn)
	if i < 0 {
		return true // the turn came at the last moment
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return false
}

// leave gives a place to who has waited longest, or frees it.
func (l *lobby) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[addr]
	if len(q.waiting) > 0 {
		close(q.waiting[0])
		q.waiting = slices.Delete(q.waiting, 0, 1)
		return
	}
	q.taken--
	if q.taken == 0 {
		delete(l.queues, addr)
	}
}

// check returns what is wrong with the books, or nil.
func (l *lobby) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, q := range l.queues {
		if q.taken < 1 || q.taken > l.places {
			return fmt.Errorf("session: %v has %d of %d places before the login", addr, q.taken, l.places)
		}
		if len(q.waiting) > 0 && q.taken < l.places {
			return fmt.Errorf("session: %d connections of %v wait while places are free", len(q.waiting), addr)
		}
	}
	return nil
}

// loginRate is a token bucket of one second. Safe for concurrent use.
type loginRate struct {
	// Static after construction.
	perSecond float64

	// Guarded by mu.
	mu     sync.Mutex
	tokens float64
	at     time.Duration
}

func newLoginRate(perSecond int) *loginRate {
	return &loginRate{perSecond: float64(perSecond), tokens: float64(perSecond)}
}

// take reports whether one more login may be looked at.
func (l *loginRate) take(now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Readers bring the time of their own batches, which are not in order.
	if passed := now - l.at; passed > 0 {
		l.tokens = min(l.tokens+passed.Seconds()*l.perSecond, l.perSecond)
		l.at = now
	}
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
