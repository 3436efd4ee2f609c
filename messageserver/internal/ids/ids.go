package ids

import (
	"sync/atomic"
	"time"
)

// Layout of an id, from the highest bit: a zero, time, sequence, number.
const (
	timeBits     = 41
	sequenceBits = 12
	numberBits   = 10

	// MaxNumber is the largest number of a maker.
	MaxNumber = 1<<numberBits - 1
)

// epoch is the time 0 of ids: 2025-01-01 UTC, in Unix milliseconds, as sonyflake v2 has it.
const epoch = 1735689600000

// Source makes ids. Safe for concurrent use.
type Source struct {
	// Static after construction.
	number  uint64
	start   time.Time // the wall clock is read once, and time goes on by the monotonic one
	startMS int64     // the same, since epoch

	last atomic.Uint64 // time<<sequenceBits | sequence of the newest id
}

// New returns the source of the maker with the given number, 0 to MaxNumber.
func New(number uint16) *Source {
	now := time.Now()
	return &Source{number: uint64(number) & MaxNumber, start: now, startMS: now.UnixMilli() - epoch}
}

// Next returns a new id, greater than all before.
func (s *Source) Next() uint64 {
	now := uint64(max(s.startMS+time.Since(s.start).Milliseconds(), 1)) << sequenceBits
	for {
		last := s.last.Load()
		next := max(last+1, now)
		if s.last.CompareAndSwap(last, next) {
			return (next&(1<<(timeBits+sequenceBits)-1))<<numberBits | s.number
		}
	}
}

// Parts are what an id is composed of.
type Parts struct {
	Time     time.Time // to the millisecond
	Sequence uint16
	Number   uint16
}

// Split takes an id apart.
func Split(id uint64) Parts {
	return Parts{
		Time:     time.UnixMilli(int64(id>>(sequenceBits+numberBits)) + epoch).UTC(),
		Sequence: uint16(id >> numberBits & (1<<sequenceBits - 1)),
		Number:   uint16(id & MaxNumber),
	}
}
