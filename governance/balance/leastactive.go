package balance

import (
	"math"
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
)

const (
	// scanLimit is the size up to which every member is looked at. Above, two are drawn and compared: nearly as good, at a
	// price that does not grow (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 1996).
	scanLimit = 16

	// redraws bounds the search for a second, different candidate.
	redraws = 4

	// failingLimit keeps a share of failures of 1 from making a load infinite: some load of the others must be worse.
	failingLimit = 0.99
)

// leastActive picks where the least is outstanding from this node, by weight.
//
// An instance that fails at once has nothing outstanding and would get everything. So a load is (outstanding + f) / (weight ×
// (1−f)²), where f is the share of failures: at f = 0 it is the plain one; as f nears 1 the emptiest failing instance looks
// fuller than the busiest healthy one. f fades in quiet, so it is tried again every few seconds, and back after it has answered
// well some twenty times. Where all fail alike, the factors cancel and the load decides as before.
type leastActive struct{ lottery }

func newLeastActive(s set) *leastActive { return &leastActive{newLottery(s)} }

// Pick implements governance.Picker.
func (l *leastActive) Pick(now time.Duration, c governance.Choice) *governance.Instance {
	if len(l.members) <= scanLimit {
		return begin(l.scan(now, c.Tried))
	}
	return begin(l.twoChoices(now, c.Tried))
}

// scan returns the untried member with the least load after a part of the new attempt, drawn for each member, is added to it.
// Members of equal weight are compared strictly, because the part is less than one, and tie by chance. With unequal weights
// all of the attempt would send the calls of an idle group to the heaviest alone, nothing of it to any one alike.
func (l *leastActive) scan(now time.Duration, tried []*governance.Instance) *member {
	var best *member
	least := math.Inf(1)
	bits := l.rnd()
	for n := range l.members {
		m := &l.members[n]
		bits = bits*6364136223846793005 + 1442695040888963407 // a step of Knuth's MMIX generator
		if slices.Contains(tried, m.instance) {
			continue
		}
		if load := m.load(now, fraction(bits)); load < least {
			best, least = m, load
		}
	}
	return best
}

// twoChoices draws two untried members by weight and slow start and returns the one with less load; the first drawn if they
// are equal, so that an idle group is shared by weight.
func (l *leastActive) twoChoices(now time.Duration, tried []*governance.Instance) *member {
	first := l.draw(now, tried)
	if first == nil {
		return nil
	}
	second := first
	for range redraws {
		if second = l.draw(now, tried); second != first {
			break
		}
	}
	if second.load(now, 0) < first.load(now, 0) {
		return second
	}
	return first
}

// load returns what is outstanding and part of one more attempt, over what slow start and failures leave of the weight.
func (m *member) load(now time.Duration, part float64) float64 {
	outstanding := float64(max(m.instance.Outstanding(), 0))
	failing := min(m.instance.Failing(now), failingLimit)
	sound := 1 - failing
	return (outstanding + failing + part) / (m.share(now) * sound * sound)
}
