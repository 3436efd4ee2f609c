package stats

import (
	"time"
	"weak"
)

// name says whose calls and which ones: of a Subject, all but the group.
type name struct{ caller, module, method string }

// subject is what the Books keep of one name.
type subject struct {
	// Static after construction.
	name     name
	other    bool // it stands for names that have no room
	counters *counters

	// Guarded by Books.naming.
	holder weak.Pointer[meter] // who may count; nil in it: nobody

	// Guarded by Books.mu.
	entered uint64        // when it was last sampled
	called  time.Duration // when a sample has last found calls
	quiet   int           // samples since then, up to window
	peak    uint64        // the most calls in a second of the running minute
	seconds [window]uint32
	minutes [ring]uint32
	taken   struct{ entered, started, sumUS uint64 } // by the minutes so far
	total   *sums                                    // of all minutes that are over; nil: nothing
	last    *sums                                    // of the last of them; nil: nothing
	caller  *callerBook
	method  *methodBook
}

const (
	window = 60 // seconds of which each is kept
	ring   = 60 // minutes of which each is kept
)

// sample reads what has entered, which happened in as many seconds, the last of which has the given number. It returns how much it is.
func (s *subject) sample(now time.Duration, second int64, seconds int) uint64 {
	entered := s.counters.entered()
	gained := entered - s.entered
	s.entered = entered
	if gained == 0 && s.quiet >= window {
		return 0 // its seconds are all 0 already
	}
	s.quiet++
	if gained > 0 {
		s.quiet, s.called = 0, now
	}
	// A sampler that came late does not know in which second a call has entered: each gets its part.
	slots := min(seconds, window)
	part, rest := gained/uint64(seconds), gained%uint64(seconds)
	for i := range slots {
		n := part
		if uint64(i) < rest {
			n++
		}
		s.seconds[(second+window-int64(i))%window] = uint32(min(n, 1<<32-1))
		s.peak = max(s.peak, n)
	}
	if part >= stripedFrom {
		s.counters.stripe()
	}
	if s.quiet > 0 {
		s.quiet = min(s.quiet+seconds-1, window)
	}
	return gained
}

// recent returns the calls that have entered in the last seconds before second, and in it.
func (s *subject) recent(second int64, seconds int) (n uint64) {
	for i := range int64(min(seconds, window)) {
		n += uint64(s.seconds[(second+window-i)%window])
	}
	return n
}

// take takes what the minute that is over has counted; t is scratch. It returns nil if that is nothing.
func (s *subject) take(t *tally) *sums {
	t.reset()
	var entered, started, sumUS uint64
	s.counters.each(func(c *cell) {
		for code := range c.codes {
			if c.codes[code].Load() != 0 {
				t.codes = t.codes.add(uint8(code), uint64(c.codes[code].Swap(0)))
			}
		}
		for i := range c.times {
			if c.times[i].Load() != 0 {
				t.times[i] += uint64(c.times[i].Swap(0))
			}
		}
		sumUS += c.sum.Load()
		started += c.started.Load()
		entered += c.entered.Load()
	})
	t.entered, t.started, t.sumUS = entered-s.taken.entered, started-s.taken.started, sumUS-s.taken.sumUS
	t.peak, s.peak = s.peak, 0
	s.taken.entered, s.taken.started, s.taken.sumUS = entered, started, sumUS
	gained := t.sums()
	if gained.empty() {
		s.last = nil
		return nil
	}
	s.last, s.total = gained, s.total.plus(gained)
	return gained
}

// running adds what the minute that is not over has counted. What has finished is read before what has entered, so that never
// more has finished.
func (s *subject) running(t *tally) {
	var entered, started, sumUS uint64
	s.counters.each(func(c *cell) {
		for code := range c.codes {
			if n := c.codes[code].Load(); n != 0 {
				t.codes = t.codes.add(uint8(code), uint64(n))
			}
		}
		for i := range c.times {
			t.times[i] += uint64(c.times[i].Load())
		}
		sumUS += c.sum.Load()
	})
	s.counters.each(func(c *cell) {
		started += c.started.Load()
		entered += c.entered.Load()
	})
	t.entered += entered - s.taken.entered
	t.started += started - s.taken.started
	t.sumUS += sumUS - s.taken.sumUS
	t.peak = max(t.peak, s.peak)
}

// inFlight returns the calls that have entered and are not finished.
func (s *subject) inFlight() int64 {
	var finished, entered uint64
	if s.total != nil {
		finished = s.total.codes.all()
	}
	s.counters.each(func(c *cell) {
		for code := range c.codes {
			finished += uint64(c.codes[code].Load())
		}
	})
	entered = s.counters.entered()
	return int64(entered - finished)
}

// held reports whether somebody may count.
func (s *subject) held() bool { return s.holder.Value() != nil }

// meter returns what to count with: the one that there is, or a new one.
func (s *subject) meter() *meter {
	if m := s.holder.Value(); m != nil {
		return m
	}
	m := &meter{s.counters}
	s.holder = weak.Make(m)
	return m
}

// callerBook is what all subjects of a caller have together.
type callerBook struct {
	name    string
	live    int    // subjects
	shown   bool   // in metrics, by its name
	entered uint64 // since it is shown
	minute  uint64 // calls in the minute that is running
}

// methodBook is what all subjects of a method have together.
type methodBook struct {
	module, method string
	live           int   // subjects
	gone           *sums // of those that were dropped
	shown          bool  // in metrics, by its name
	told           *sums // what metrics have counted as Other's, before it was shown
}
