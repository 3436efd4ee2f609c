package balance

import (
	"math/bits"
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
)

// drawTries bounds the draws that a slow start or a tried instance may turn down. A group in which all have just started
// turns down nine of ten: after 32 draws 3 % are left, and those look at every member.
const drawTries = 32

// lottery draws members by weight in constant time: Walker's alias method, with the table built as by Vose (A Linear
// Algorithm for Generating Random Numbers with a Given Distribution, 1991). The slow start is not in the table, which is
// fixed, but turns a draw down with the probability that is missing: exact, because a turned down draw is drawn anew.
type lottery struct {
	set

	// Static after construction.
	columns []column
}

// column is hit with a probability of 1/n and stands for the member of the same index below keep, for alias from there on.
type column struct {
	keep  float64
	alias int
}

func newLottery(s set) lottery {
	l := lottery{set: s, columns: make([]column, len(s.members))}
	total := 0.0
	for _, m := range s.members {
		total += m.weight
	}
	var small, large []int
	for n, m := range s.members {
		l.columns[n] = column{keep: m.weight * float64(len(s.members)) / total, alias: n}
		if l.columns[n].keep < 1 {
			small = append(small, n)
		} else {
			large = append(large, n)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		giver, taker := large[len(large)-1], small[len(small)-1]
		small = small[:len(small)-1]
		l.columns[taker].alias = giver
		l.columns[giver].keep -= 1 - l.columns[taker].keep
		if l.columns[giver].keep < 1 {
			large = large[:len(large)-1]
			small = append(small, giver)
		}
	}
	return l
}

// draw returns an untried member with a probability by weight, nil if there is none.
func (l *lottery) draw(now time.Duration, tried []*governance.Instance) *member {
	if len(l.columns) == 0 {
		return nil
	}
	for range drawTries {
		high, low := bits.Mul64(l.rnd(), uint64(len(l.columns)))
		n := int(high)
		if c := &l.columns[n]; fraction(low) >= c.keep {
			n = c.alias
		}
		m := &l.members[n]
		if slices.Contains(tried, m.instance) {
			continue
		}
		if ramp := m.instance.Ramp(now); ramp < 1 && fraction(l.rnd()) >= ramp {
			continue
		}
		return m
	}
	return l.byChance(now, tried)
}

// random picks by chance and weight: no state to share, none to go wrong.
type random struct{ lottery }

func newRandom(s set) *random { return &random{newLottery(s)} }

// Pick implements governance.Picker.
func (r *random) Pick(now time.Duration, c governance.Choice) *governance.Instance {
	return begin(r.draw(now, c.Tried))
}
