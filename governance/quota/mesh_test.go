package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// mesh is nodes in one arithmetic time: each has a holder and a token bucket whose burst is a share of burst.
type mesh struct {
	limit, burst float64
	owner        *Owner
	at           int // the node that is the owner
	nodes        []*node
	now          time.Duration
	rnd          *rand.Rand

	admitted float64
	most     float64 // rates in force, at most
}

type node struct {
	name   string
	phase  time.Duration // of its looks
	demand float64
	side   int // nodes of one side reach each other
	holder Holder
	asked  float64
	rate   float64
	tokens float64
}

func newMesh(limit, burst float64, nodes int, seed uint64) *mesh {
	m := &mesh{limit: limit, burst: burst, owner: NewOwner(limit), rnd: rand.New(rand.NewPCG(seed, seed))}
	for i := range nodes {
		m.nodes = append(m.nodes, &node{name: fmt.Sprint("n", i), phase: time.Duration(m.rnd.Int64N(int64(Every))).Truncate(time.Millisecond)})
	}
	return m
}

func (m *mesh) reached(side int) (n int) {
	for _, node := range m.nodes {
		if node.side == side {
			n++
		}
	}
	return n
}

// run lets time pass, a millisecond at a time.
func (m *mesh) run(d time.Duration) {
	const step = time.Millisecond
	for end := m.now + d; m.now < end; m.now += step {
		sum := 0.0
		for _, n := range m.nodes {
			if m.now%Every == n.phase {
				m.look(n)
			}
			// Calls come by chance, at about the demand.
			calls := n.demand * step.Seconds()
			came := math.Floor(calls)
			if m.rnd.Float64() < calls-came {
				came++
			}
			n.asked += came
			share := m.burst * n.rate / m.limit
			n.tokens = min(n.tokens+n.rate*step.Seconds(), max(share, 1))
			passed := min(came, math.Floor(n.tokens))
			n.tokens -= passed
			m.admitted += passed
			sum += n.rate
		}
		m.most = max(m.most, sum)
	}
}

func (m *mesh) look(n *node) {
	linked := n.side == m.nodes[m.at].side
	n.holder.Look(m.now, uint64(n.asked))
	if linked && n.holder.Due(m.now) {
		n.holder.Asks(m.now)
		rate, valid := m.owner.Grant(m.now, n.name, n.holder.Demand(), m.reached(n.side), len(m.nodes))
		n.holder.Granted(rate, valid)
	}
	n.rate, _ = n.holder.Rate(m.now, m.limit, len(m.nodes), linked)
}

// demands sets what is asked for at each node.
func (m *mesh) demands(each ...float64) {
	for i, d := range each {
		m.nodes[i].demand = d
	}
}

func TestASkewedDemandThatMovesGetsTheWholeLimit(t *testing.T) {
	for _, limit := range []float64{2_000, 3_000, 4_000, 5_000, 10_000} {
		for _, over := range []float64{1.2, 2, 10} {
			for _, pattern := range [][]float64{{100, 0, 0}, {80, 15, 5}, {34, 33, 33}} {
				for seed := range uint64(3) {
					m := newMesh(limit, limit/10, 3, seed)
					each := slices.Clone(pattern)
					for i := range each {
						each[i] *= over * limit / 100
					}
					m.demands(each...)
					m.run(2 * time.Second)
					m.admitted = 0
					for range 5 {
						each = append(each[1:], each[0])
						m.demands(each...)
						m.run(2 * time.Second)
					}
					if got := m.admitted / (10 * limit); got < 0.97 || got > 1.03 {
						t.Errorf("limit %v, demand %v × %v, seed %d: %.1f %% of the limit passed in 10 s, want 97 to 103", limit, over, pattern, seed, 100*got)
					} else {
						t.Logf("limit %v, demand %v × %v, seed %d: %.1f %%", limit, over, pattern, seed, 100*got)
					}
					if m.most > limit*1.000001 {
						t.Errorf("limit %v, demand %v × %v: rates of %v at once", limit, over, pattern, m.most)
					}
				}
			}
		}
	}
}
