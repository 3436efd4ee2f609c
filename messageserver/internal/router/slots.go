package router

import (
	"math/rand/v2"
	"sync"
)

// Ticket names one attempt of one call. Only the first end that is offered with it counts.
type Ticket struct {
	call *Call
	turn uint64
}

// Slots is a Target's table of attempts under way. An id is generation‖slot: it is never 0, starts at a random value,
// and is not used again before 2³² others of its slot. The zero value is ready. Safe for concurrent use.
type Slots struct {
	// Guarded by mu.
	mu      sync.Mutex
	entries []slot
	free    []uint32
	closed  bool
}

type slot struct {
	ticket     Ticket // call is nil while the slot is free
	generation uint32
}

// Take reserves an id for t. It fails once Close was called.
func (s *Slots) Take(t Ticket) (id uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = uint32(len(s.entries))
		s.entries = append(s.entries, slot{generation: rand.Uint32() | 1}) //nolint:gosec // not a secret: a guess reaches the guesser's own session only
	}
	e := &s.entries[i]
	e.ticket = t
	return uint64(e.generation)<<32 | uint64(i), true
}

// Release frees an id and returns its ticket. An id that is not under way (answered, given up, forged) is not ok.
func (s *Slots) Release(id uint64) (t Ticket, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releaseLocked(id)
}

func (s *Slots) releaseLocked(id uint64) (t Ticket, ok bool) {
	i, generation := uint32(id), uint32(id>>32)
	if int64(i) >= int64(len(s.entries)) {
		return Ticket{}, false
	}
	e := &s.entries[i]
	if e.generation != generation || e.ticket.call == nil {
		return Ticket{}, false
	}
	t, e.ticket = e.ticket, Ticket{}
	e.generation++
	if e.generation == 0 {
		e.generation = 1
	}
	s.free = append(s.free, i)
	return t, true
}

// Len returns how many attempts are under way.
func (s *Slots) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries) - len(s.free)
}

// Close refuses further ids and releases all that are under way.
func (s *Slots) Close() []Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var all []Ticket
	for i := range s.entries {
		if t := s.entries[i].ticket; t.call != nil {
			s.releaseLocked(uint64(s.entries[i].generation)<<32 | uint64(i))
			all = append(all, t)
		}
	}
	return all
}
