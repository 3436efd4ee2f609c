package stats

import (
	"slices"

	"github.com/twohop/twohop/proto/wire"
)

// sums are what was counted of some calls, in little memory. They do not change once they are made.
type sums struct {
	entered, started, sumUS uint64
	peak                    uint64 // calls that entered in one second
	codes                   codeCounts
	times                   Histogram
}

// codeCounts are finished calls by code, ascending, without those that none has.
type codeCounts []codeCount

type codeCount struct {
	code  uint8
	count uint64
}

func (c codeCounts) all() (n uint64) {
	for _, one := range c {
		n += one.count
	}
	return n
}

func (c codeCounts) of(code wire.Code) uint64 {
	for _, one := range c {
		if wire.Code(one.code) == code {
			return one.count
		}
	}
	return 0
}

// classes returns them by class.
func (c codeCounts) classes() (n [len(classNames)]uint64) {
	for _, one := range c {
		n[wire.Code(one.code).Class()] += one.count
	}
	return n
}

// add returns the counts with one more, in the same slice if it has room.
func (c codeCounts) add(code uint8, count uint64) codeCounts {
	i, found := slices.BinarySearchFunc(c, code, func(one codeCount, code uint8) int { return int(one.code) - int(code) })
	if found {
		c[i].count += count
		return c
	}
	return slices.Insert(c, i, codeCount{code, count})
}

// tally adds sums up.
type tally struct {
	entered, started, sumUS uint64
	peak                    uint64 // the largest
	codes                   codeCounts
	times                   [Buckets]uint64
}

func (t *tally) add(s *sums) {
	if s == nil {
		return
	}
	t.entered += s.entered
	t.started += s.started
	t.sumUS += s.sumUS
	t.peak = max(t.peak, s.peak)
	for _, c := range s.codes {
		t.codes = t.codes.add(c.code, c.count)
	}
	for _, b := range s.times {
		t.times[b.Index] += b.Count
	}
}

// sub takes sums away that were added, but for their peak.
func (t *tally) sub(s *sums) {
	if s == nil {
		return
	}
	t.entered -= s.entered
	t.started -= s.started
	t.sumUS -= s.sumUS
	for _, c := range s.codes {
		t.codes = t.codes.add(c.code, -c.count)
	}
	for _, b := range s.times {
		t.times[b.Index] -= b.Count
	}
}

// sums returns what was added up, in memory of its own.
func (t *tally) sums() *sums {
	s := &sums{entered: t.entered, started: t.started, sumUS: t.sumUS, peak: t.peak}
	for _, c := range t.codes {
		if c.count > 0 {
			s.codes = append(s.codes, c)
		}
	}
	s.codes = slices.Clip(s.codes)
	s.times = t.histogram()
	return s
}

// reset makes it 0 and keeps its memory.
func (t *tally) reset() { *t = tally{codes: t.codes[:0]} }

// empty reports whether nothing was counted.
func (s *sums) empty() bool {
	return s.entered|s.started|s.sumUS == 0 && len(s.codes) == 0 && len(s.times) == 0
}

// plus returns two sums as one.
func (s *sums) plus(o *sums) *sums {
	if s == nil {
		return o
	}
	if o == nil {
		return s
	}
	p := &sums{
		entered: s.entered + o.entered, started: s.started + o.started, sumUS: s.sumUS + o.sumUS, peak: max(s.peak, o.peak),
		codes: slices.Clone(s.codes), times: s.times.plus(o.times),
	}
	for _, c := range o.codes {
		p.codes = p.codes.add(c.code, c.count)
	}
	return p
}

// maxCodes is how many codes have a class.
const maxCodes = uint8(wire.MaxCode) + 1

// histogram returns the times that were counted.
func (t *tally) histogram() Histogram {
	n := 0
	for _, count := range t.times {
		if count > 0 {
			n++
		}
	}
	h := make(Histogram, 0, n)
	for i, count := range t.times {
		if count > 0 {
			h = append(h, Bucket{uint8(i), count})
		}
	}
	return h
}
