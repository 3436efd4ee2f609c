package ratelimit

import (
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The most that a bucket counts with. More is this much.
const (
	MaxPerSecond = 1e8
	MaxBurst     = 1e9
)

// Bucket hands out tokens at a rate. Use NewBucket. Safe for concurrent use; must not be copied.
type Bucket struct {
	asked atomic.Uint64
	state atomic.Pointer[schedule]

	mu sync.Mutex // one Set at a time
}

// schedule is one setting of a bucket, with what was handed out under it. The units are of time: speed of them pass in a
// nanosecond, and token of them are one token.
type schedule struct {
	// Static after construction.
	rate  float64       // tokens per second, as it was set
	size  float64       // tokens of burst, as it was set
	epoch time.Duration // where arrival counts from
	speed uint64        // in 1/2^64
	token int64
	burst int64 // ≤ 2^60

	// Updated by take and Return. It is where the schedule would be if each token came when it was earned, ≤ 2^63 − 1.
	arrival atomic.Int64
}

// moved is the arrival of a schedule whose successor is about to be stored.
const moved = math.MinInt64

// longest is the longest wait that Reserve grants, more than a year: arrival cannot overflow.
const longest = 1 << 55 * time.Nanosecond

// NewBucket returns a full bucket. A rate of 0 or less lets nothing pass; with another, a burst of less than one token is one.
func NewBucket(perSecond, burst float64) *Bucket {
	b := &Bucket{}
	s := newSchedule(0, perSecond, burst)
	s.arrival.Store(0)
	b.state.Store(s)
	return b
}

// newSchedule chooses the units: a power of two of them is a token, and a quarter to a half of one passes in a nanosecond, fewer where
// the burst would not fit.
func newSchedule(epoch time.Duration, perSecond, burst float64) *schedule {
	s := &schedule{epoch: epoch}
	s.rate, s.size = setting(perSecond, burst)
	exponent := 30
	if s.rate > 0 {
		_, e := math.Frexp(s.rate / 1e9) // rate/1e9 is in [2^(e-1), 2^e)
		exponent = -e - 1
	}
	if s.size > 1 {
		_, e := math.Frexp(s.size)
		exponent = min(exponent, 60-e)
	}
	exponent = min(exponent, 60)
	s.token = 1 << exponent
	s.speed = uint64(math.Ldexp(s.rate/1e9, exponent+64))
	s.burst = int64(s.size * float64(s.token))
	return s
}

// setting returns the rate and the burst that a bucket counts with.
func setting(perSecond, burst float64) (rate, size float64) {
	rate, size = clamp(perSecond, MaxPerSecond), clamp(burst, MaxBurst)
	if rate > 0 {
		size = max(size, 1)
	}
	return rate, size
}

// clamp returns n inside 0 to most; what is no number is 0.
func clamp(n, most float64) float64 {
	if !(n > 0) {
		return 0
	}
	return min(n, most)
}

// Set changes the rate and the burst from now on. What is in the bucket stays, cut to the new burst, and what was reserved stays
// owed: no new burst is handed out. Where nothing changes it does nothing, and does not allocate.
func (b *Bucket) Set(now time.Duration, perSecond, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.state.Load()
	if rate, size := setting(perSecond, burst); rate == old.rate && size == old.size {
		return
	}
	s := newSchedule(now, perSecond, burst)
	// Whoever takes meanwhile sees moved and waits for the next schedule: nothing is taken that is not carried over.
	level, arrival := old.level(now), old.arrival.Swap(moved)
	left := float64(old.burst-(max(arrival, level)-level)) / float64(old.token)
	left = min(left, s.size)
	// Rounded against the bucket's users. Debts of more than a year are forgotten in part.
	s.arrival.Store(int64(min(math.Ceil((s.size-left)*float64(s.token)), 1<<61)))
	b.state.Store(s)
}

// Take takes a token and reports whether there was one. If not, retry is when there will be one, if nobody else takes it; 0
// if there will be none. It does not allocate.
func (b *Bucket) Take(now time.Duration) (ok bool, retry time.Duration) {
	retry, ok = b.take(now, 0)
	return ok, retry
}

// Reserve takes a token even if it is not there yet, and returns how long to wait for it. If that is longer than maxWait it
// takes none, reports false, and still says how long it would have been. It does not allocate.
func (b *Bucket) Reserve(now, maxWait time.Duration) (wait time.Duration, ok bool) {
	return b.take(now, min(max(maxWait, 0), longest))
}

func (b *Bucket) take(now, maxWait time.Duration) (wait time.Duration, ok bool) {
	b.asked.Add(1)
	for {
		s := b.state.Load()
		arrival := s.arrival.Load()
		if arrival == moved {
			runtime.Gosched()
			continue
		}
		if s.speed == 0 {
			return 0, false
		}
		level := s.level(now)
		next := max(arrival, level) + s.token
		wait = 0
		if early := next - level - s.burst; early > 0 {
			if wait = s.lasts(early); wait > maxWait {
				return wait, false
			}
		}
		if s.arrival.CompareAndSwap(arrival, next) {
			return wait, true
		}
	}
}

// Return gives back a token that was taken and not used. What a full bucket gets is lost, as what it earns is. It does not allocate.
//
// Who has reserved keeps the wait that was named, whatever is given back before its turn: from the bucket's beginning on no more
// than the rate and one burst are used, but in a stretch of time there may be as many more as were given back.
func (b *Bucket) Return(now time.Duration) {
	for {
		s := b.state.Load()
		arrival := s.arrival.Load()
		if arrival == moved {
			runtime.Gosched()
			continue
		}
		next := max(arrival-s.token, s.level(now))
		if next >= arrival || s.arrival.CompareAndSwap(arrival, next) {
			return
		}
	}
}

// level returns what has been earned since the epoch, in units; at an earlier time 0. It is at most 2^62.
func (s *schedule) level(now time.Duration) int64 {
	if now <= s.epoch {
		return 0
	}
	high, _ := bits.Mul64(uint64(now-s.epoch), s.speed)
	return int64(high)
}

// lasts returns how long it takes until the level has risen by so many units, rounded up.
func (s *schedule) lasts(units int64) time.Duration {
	if uint64(units) >= s.speed {
		return math.MaxInt64
	}
	ns, rest := bits.Div64(uint64(units), 0, s.speed)
	if rest > 0 {
		ns++
	}
	return time.Duration(min(ns, math.MaxInt64))
}

// Asked returns how many tokens were asked for so far, whether there were any or not: the demand.
func (b *Bucket) Asked() uint64 { return b.asked.Load() }

// Rate returns the tokens per second that are in force.
func (b *Bucket) Rate() float64 { return b.state.Load().rate }

// Left returns the tokens that could be taken at once; less than 0 if some are reserved that will be earned later. It takes none.
func (b *Bucket) Left(now time.Duration) float64 {
	for {
		s := b.state.Load()
		arrival := s.arrival.Load()
		if arrival == moved {
			runtime.Gosched()
			continue
		}
		level := s.level(now)
		return float64(s.burst-(max(arrival, level)-level)) / float64(s.token)
	}
}
