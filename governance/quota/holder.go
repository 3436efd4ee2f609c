package quota

import "time"

// Every is how often a holder looks at its demand, and asks where it must not wait.
const Every = 10 * time.Millisecond

const (
	askEvery  = 100 * time.Millisecond // with nothing new to tell
	unsettled = 300 * time.Millisecond // how long a shift makes a holder ask for more at each look
	idleAfter = 10 * time.Second       // without calls; from then on the reserve is enough
)

// Holder is one node's end of one limit. The zero value holds nothing. Not for concurrent use.
type Holder struct {
	demand Demand
	asked  uint64        // the count of the last look
	called time.Duration // when it last grew, or was looked at first

	rate  float64
	until time.Duration // of the lease; 0: there is none
	lost  bool          // the last question had no answer: the share may have been given away

	questioned bool          // a question was put,
	question   time.Duration // at this time
	shifted    bool          // the demand has changed since then
	shift      time.Duration // when it last changed; 0: never
}

// Look takes the count of all calls that were asked for so far.
func (h *Holder) Look(now time.Duration, asked uint64) {
	if asked != h.asked || h.demand.size == 0 {
		h.asked, h.called = asked, now
	}
	if h.demand.Look(now, asked) {
		h.shifted, h.shift = true, now
	}
}

// Rests reports whether Look, Due and Rate have nothing new to say until calls come, the members change, or the link to the owner does:
// the holder needs no looks until then.
func (h *Holder) Rests(now time.Duration, members int) bool {
	if now-h.called < idleAfter {
		return false
	}
	return members <= 1 || h.questioned && !h.lost && !h.shifted && now >= h.until
}

// Wake makes up for the looks that a holder has missed while it rested: until before, no calls had come.
func (h *Holder) Wake(before time.Duration) {
	const looks = 16 // are enough to see a shift by
	for ago := looks - 1; ago >= 0; ago-- {
		h.Look(before-time.Duration(ago)*window/looks, h.asked)
	}
}

// Demand returns the calls per second that are asked for.
func (h *Holder) Demand() float64 { return h.demand.PerSecond() }

// Due reports whether the owner is to be asked: at first, ten times a second while there is demand, at once when it has
// shifted, and at each look for a while if it got less than it needs, because others are about to give back theirs.
func (h *Holder) Due(now time.Duration) bool {
	switch {
	case !h.questioned:
		return true
	case now-h.question >= askEvery:
		return h.lost || h.shifted || now-h.called < idleAfter
	case h.lost:
		return false
	case h.shifted:
		return true
	}
	return h.shift != 0 && now-h.shift < unsettled && h.rate < h.Demand()
}

// Asks says that a question with the Demand is put now. One at a time; Granted or Failed ends it.
func (h *Holder) Asks(now time.Duration) {
	h.questioned, h.question, h.shifted = true, now, false
}

// Granted says that the question was answered with a lease. It is valid from when the question was put, because the owner has
// begun to count no earlier.
func (h *Holder) Granted(rate float64, valid time.Duration) {
	h.rate, h.until, h.lost = rate, h.question+min(valid, Valid), false
}

// Failed says that the question was not answered, or that the owner is another one now.
func (h *Holder) Failed() { h.lost = true }

// Rate returns the rate that holds now for a limit, and whether it is what a node has that does not reach the owner. Linked says
// whether there is a link to the owner.
func (h *Holder) Rate(now time.Duration, limit float64, members int, linked bool) (rate float64, fallback bool) {
	equal := Fallback(limit, members)
	switch {
	case members <= 1:
		return limit, false
	case now < h.until && h.lost:
		return min(h.rate, equal), true
	case now < h.until:
		return min(h.rate, limit), false
	case linked && !h.lost:
		return Reserve(limit, members), false
	}
	return equal, true
}
