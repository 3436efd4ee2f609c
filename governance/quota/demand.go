package quota

import (
	"math"
	"time"
)

// Demand measures the rate of calls out of a count that only grows, looked at again and again.
//
// It is the mean over a window that grows up to a second and is cut where the rate has changed, after ADWIN (Bifet and
// Gavaldà, 2007): at each look, the last 1, 2, 4, … of them are compared with those before, and if calls that come by chance
// would hardly ever differ so much, the older ones are forgotten. So a steady rate is measured over a second, and a great change
// is seen within a look or two. Calls that come in batches, as of callers that work in steps, differ more than by chance without any
// change: how uneven they were in the last second says how much more it takes. The zero value has seen nothing. Not for concurrent use.
type Demand struct {
	looks [remembered]look // a ring
	next  int              // where the next one goes
	size  int              // how many form the window
	seen  int              // how many there are, also those that were forgotten
}

// look is the count at a time.
type look struct {
	at    time.Duration
	count uint64
}

const (
	remembered = 128         // at most; at one look in 10 ms more than the window
	window     = time.Second // at most
	fresh      = 8           // looks that say nothing yet of how uneven calls are: a change shows in them first
	surprise   = 12          // of a likelihood ratio: three and a half standard deviations, by chance once in 2,000
)

// Look adds the count at now, and reports whether the rate has changed. A look that is no later than the last one is not taken.
func (d *Demand) Look(now time.Duration, count uint64) (changed bool) {
	if d.size > 0 && now <= d.last(0).at {
		return false
	}
	d.looks[d.next] = look{now, count}
	d.next = (d.next + 1) % remembered
	d.size = min(d.size+1, remembered)
	d.seen = min(d.seen+1, remembered)
	for d.size > 2 && now-d.last(d.size-1).at > window {
		d.size--
	}
	uneven := 0.0 // not asked for before something differs
	for recent := 1; recent < d.size-1; recent *= 2 {
		differs := d.difference(recent)
		if differs > surprise && uneven == 0 {
			uneven = d.unevenness()
		}
		if differs > surprise*max(uneven, 1) {
			d.size = recent + 1
			return true
		}
	}
	return false
}

// last returns the look n before the newest.
func (d *Demand) last(n int) look { return d.looks[(d.next-1-n+2*remembered)%remembered] }

// difference says how much the calls in the last looks are too many or too few for the rate before: a likelihood-ratio test
// (G-test) of one rate against two, which is right at small numbers, too. A silence is seen where eight calls are missing.
func (d *Demand) difference(recent int) float64 {
	newest, cut, oldest := d.last(0), d.last(recent), d.last(d.size-1)
	share := float64(newest.at-cut.at) / float64(newest.at-oldest.at)
	before, after := float64(cut.count-oldest.count), float64(newest.count-cut.count)
	all := before + after
	return 2 * (excess(before, all*(1-share)) + excess(after, all*share))
}

// unevenness returns how much more the calls between two looks vary than if they came by chance: the variance over the mean, the
// index of dispersion, of the last second; at least 1.
func (d *Demand) unevenness() float64 {
	var n, sum, squares float64
	for i := fresh; i < d.seen-1 && d.last(0).at-d.last(i+1).at <= window; i++ {
		calls := float64(d.last(i).count - d.last(i+1).count)
		n, sum, squares = n+1, sum+calls, squares+calls*calls
	}
	if sum == 0 {
		return 1
	}
	return max(1, squares/sum-sum/n)
}

// excess is a term of the test.
func excess(got, expected float64) float64 {
	if got == 0 {
		return 0
	}
	return got * math.Log(got/expected)
}

// PerSecond returns the rate, 0 after less than two looks.
func (d *Demand) PerSecond() float64 {
	if d.size < 2 {
		return 0
	}
	newest, oldest := d.last(0), d.last(d.size-1)
	return float64(newest.count-oldest.count) / (newest.at - oldest.at).Seconds()
}
