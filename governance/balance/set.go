package balance

import (
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
)

// member is an instance with the weight that it has in one set.
type member struct {
	instance *governance.Instance
	weight   float64 // > 0
}

// share returns the weight that the slow start leaves.
func (m *member) share(now time.Duration) float64 { return m.weight * m.instance.Ramp(now) }

// set is what every balancer is built over.
type set struct {
	// Static after construction.
	members []member
	rnd     func() uint64
}

// Done implements governance.Picker: what a balancer learns is kept in the instance.
func (s *set) Done(now time.Duration, i *governance.Instance, o governance.Outcome) { i.End(now, o) }

// byChance returns an untried member with a probability by weight, nil if all are tried. It looks at every member: exact and
// bounded, it is what the fast ways fall back to.
func (s *set) byChance(now time.Duration, tried []*governance.Instance) *member {
	total := 0.0
	for n := range s.members {
		if m := &s.members[n]; !slices.Contains(tried, m.instance) {
			total += m.share(now)
		}
	}
	left := fraction(s.rnd()) * total
	var last *member
	for n := range s.members {
		m := &s.members[n]
		if slices.Contains(tried, m.instance) {
			continue
		}
		last = m
		if left -= m.share(now); left < 0 {
			break
		}
	}
	return last
}

// begin counts an attempt on the member chosen; nil stays nil.
func begin(m *member) *governance.Instance {
	if m == nil {
		return nil
	}
	m.instance.Begin()
	return m.instance
}

// fraction turns 64 random bits into a number in [0, 1).
func fraction(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }
