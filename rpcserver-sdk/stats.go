package rpcserver

import (
	"sync"
	"sync/atomic"
	"time"
)

// counters are a server's counters; the names are those of Stats.
type counters struct {
	requests, rejected, overloaded, expired, cancelled, lateCancels, dropped atomic.Uint64
	failed, panics, tooLarge, answersLost                                    atomic.Uint64
	degraded, denied, badDigest, replayed, rateLimited, shadowed             atomic.Uint64
}

// Stats is a reading of a server's counters.
type Stats struct {
	Waiting int // requests that wait for a handler
	Running int // handlers that run

	Requests    uint64 // that came
	Rejected    uint64 // malformed, or for a method that is not there
	Overloaded  uint64 // the queue was full, or the memory for digests
	Expired     uint64 // the caller's time was up before the handler
	Cancelled   uint64 // taken out of the queue for their callers
	LateCancels uint64 // for requests that are not here any more
	Dropped     uint64 // not started because their session was lost
	Failed      uint64 // handlers that returned an error
	Panics      uint64 // handlers that crashed
	TooLarge    uint64 // answers that no node takes
	AnswersLost uint64 // answers whose session was lost or did not take them

	// Refused by the mesh's rules, right before the handler.
	Degraded    uint64 // switched off
	Denied      uint64 // from an address that may not
	BadDigest   uint64 // without the method's password
	Replayed    uint64 // with a digest that came before
	RateLimited uint64 // more than this instance may run
	Shadowed    uint64 // not refused: by rules in shadow, each time that one would have
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	if s.client == nil {
		return Stats{}
	}
	waiting, running, _ := s.queue.load(s.client.Clock().Now())
	c := &s.stats
	return Stats{
		Waiting: waiting, Running: running,
		Requests: c.requests.Load(), Rejected: c.rejected.Load(), Overloaded: c.overloaded.Load(),
		Expired: c.expired.Load(), Cancelled: c.cancelled.Load(), LateCancels: c.lateCancels.Load(),
		Dropped: c.dropped.Load(), Failed: c.failed.Load(), Panics: c.panics.Load(),
		TooLarge: c.tooLarge.Load(), AnswersLost: c.answersLost.Load(),
		Degraded: c.degraded.Load(), Denied: c.denied.Load(), BadDigest: c.badDigest.Load(), Replayed: c.replayed.Load(),
		RateLimited: c.rateLimited.Load(), Shadowed: c.shadowed.Load(),
	}
}

// notes remembers what has been logged, so that a cause is logged once per second.
type notes struct {
	mu   *sync.Mutex
	last map[string]*note
}

type note struct {
	at     time.Time
	unsaid int
}

// maxNotes bounds the causes that are remembered.
const maxNotes = 256

func newNotes() notes { return notes{mu: new(sync.Mutex), last: map[string]*note{}} }

// seldom calls say unless it has for the same cause within a second. unsaid is how often it did not since.
func (s *Server) seldom(cause string, say func(unsaid int)) {
	now := time.Now()
	s.said.mu.Lock()
	n := s.said.last[cause]
	if n == nil {
		if len(s.said.last) >= maxNotes {
			clear(s.said.last)
		}
		n = &note{at: now.Add(-time.Hour)}
		s.said.last[cause] = n
	}
	silent := now.Sub(n.at) < time.Second
	unsaid := n.unsaid
	if silent {
		n.unsaid++
	} else {
		n.at, n.unsaid = now, 0
	}
	s.said.mu.Unlock()
	if !silent {
		say(unsaid)
	}
}
