package rules

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/twohop/twohop/governance"
)

// subjects keeps the regimes of the first subjects that were asked for. Reading takes no lock; nothing is ever taken out. Safe for
// concurrent use.
type subjects struct {
	// Static after construction.
	seed  maphash.Seed
	most  int64
	slots []atomic.Pointer[subject] // a power of two; each has a chain

	held atomic.Int64
}

type subject struct {
	governance.Subject
	regime *governance.Regime
	next   *subject
}

func newSubjects(most int) *subjects {
	slots := 64
	for slots < most/4 {
		slots *= 2
	}
	return &subjects{seed: maphash.MakeSeed(), most: int64(most), slots: make([]atomic.Pointer[subject], slots)}
}

func (s *subjects) slot(sub governance.Subject) *atomic.Pointer[subject] {
	return &s.slots[maphash.Comparable(s.seed, sub)&uint64(len(s.slots)-1)]
}

// load returns the regime that is kept for a subject, and whether one is: nil is one, too.
func (s *subjects) load(sub governance.Subject) (*governance.Regime, bool) {
	for e := s.slot(sub).Load(); e != nil; e = e.next {
		if e.Subject == sub {
			return e.regime, true
		}
	}
	return nil, false
}

// store keeps a regime if there is room, and returns the one to use: the one that somebody else has kept meanwhile, or r.
func (s *subjects) store(sub governance.Subject, r *governance.Regime) *governance.Regime {
	if s.held.Add(1) > s.most {
		s.held.Add(-1)
		return r
	}
	// What the strings were cut out of may be large.
	e := &subject{Subject: governance.Subject{
		Caller: strings.Clone(sub.Caller), Module: strings.Clone(sub.Module),
		Method: strings.Clone(sub.Method), Group: strings.Clone(sub.Group),
	}, regime: r}
	slot := s.slot(sub)
	for {
		first := slot.Load()
		for other := first; other != nil; other = other.next {
			if other.Subject == sub {
				s.held.Add(-1)
				return other.regime
			}
		}
		e.next = first
		if slot.CompareAndSwap(first, e) {
			return r
		}
	}
}
