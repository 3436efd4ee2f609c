package stats

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Times are counted in buckets that are logarithmic in steps of two, and linear within a step, after HdrHistogram's (Gil Tene):
// four to a step, so that the middle of a bucket is at most an eighth away from what was counted in it. docs/statistics.md has
// the same bounds.
const (
	firstStep = 4                            // below 1<<firstStep µs there is one bucket: 16 µs
	steps     = 23                           // from 16 µs to 134 s
	perStep   = 4                            // buckets
	Buckets   = 1 + steps*perStep + 1        // with the one below, and the one for all that took longer
	longest   = 1 << (firstStep + steps)     // µs, from which on the last bucket counts
	tooLong   = time.Duration(longest) * 1e3 // ns
)

// bucketOf returns the bucket of a time in µs.
func bucketOf(us uint64) int {
	switch {
	case us < 1<<firstStep:
		return 0
	case us >= longest:
		return Buckets - 1
	}
	step := bits.Len64(us) - 1 - firstStep
	return 1 + step*perStep + int(us>>(step+firstStep-2))&(perStep-1)
}

// Bounds returns what a bucket counts: times of at least from and less than to. The last one has no end: its to is 0.
func Bounds(bucket int) (from, to time.Duration) {
	switch {
	case bucket <= 0:
		return 0, time.Microsecond << firstStep
	case bucket >= Buckets-1:
		return tooLong, 0
	}
	step, quarter := (bucket-1)/perStep, (bucket-1)%perStep
	width := time.Microsecond << (step + firstStep - 2)
	return width * time.Duration(perStep+quarter), width * time.Duration(perStep+quarter+1)
}

// middle is what is said of the times in a bucket, in µs.
func middle(bucket int) uint64 {
	from, to := Bounds(bucket)
	if to == 0 {
		to = from
	}
	return uint64((from + to) / 2 / time.Microsecond)
}

// Histogram is times by bucket: ascending, without those that have counted nothing. In JSON it is [[bucket,count],…].
type Histogram []Bucket

// Bucket is one of a Histogram.
type Bucket struct {
	Index uint8
	Count uint64
}

// MarshalJSON implements json.Marshaler.
func (b Bucket) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d]", b.Index, b.Count), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bucket) UnmarshalJSON(text []byte) error {
	var pair []uint64
	if err := json.Unmarshal(text, &pair); err != nil || len(pair) != 2 || pair[0] >= Buckets {
		return fmt.Errorf("a histogram has %s, must have [bucket,count] with a bucket below %d", text, Buckets)
	}
	b.Index, b.Count = uint8(pair[0]), pair[1]
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var buckets []Bucket
	if err := json.Unmarshal(text, &buckets); err != nil {
		return err
	}
	for i := range buckets[min(1, len(buckets)):] {
		if buckets[i].Index >= buckets[i+1].Index {
			return fmt.Errorf("a histogram has bucket %d before bucket %d, must be ascending", buckets[i].Index, buckets[i+1].Index)
		}
	}
	*h = buckets
	return nil
}

// Count returns how many times were counted.
func (h Histogram) Count() (n uint64) {
	for _, b := range h {
		n += b.Count
	}
	return n
}

// Quantile returns the time that the share q of what was counted did not exceed, 0 < q ≤ 1, in µs: the middle of its bucket, which is at
// most 12.5 % wrong from 16 µs to 134 s; 8 µs below, 134 s above. It is 0 if nothing was counted.
func (h Histogram) Quantile(q float64) uint64 {
	all := h.Count()
	if all == 0 {
		return 0
	}
	rank := min(max(uint64(ceil(q*float64(all))), 1), all)
	for _, b := range h {
		if b.Count >= rank {
			return middle(int(b.Index))
		}
		rank -= b.Count
	}
	return middle(Buckets - 1)
}

func ceil(x float64) float64 {
	whole := float64(uint64(x))
	if whole < x {
		whole++
	}
	return whole
}

// plus returns the sum of two histograms, in a slice of its own.
func (h Histogram) plus(o Histogram) Histogram {
	sum := make(Histogram, 0, max(len(h), len(o)))
	for len(h) > 0 && len(o) > 0 {
		switch {
		case h[0].Index < o[0].Index:
			sum, h = append(sum, h[0]), h[1:]
		case h[0].Index > o[0].Index:
			sum, o = append(sum, o[0]), o[1:]
		default:
			sum = append(sum, Bucket{h[0].Index, h[0].Count + o[0].Count})
			h, o = h[1:], o[1:]
		}
	}
	return slices.Concat(sum, h, o)
}
