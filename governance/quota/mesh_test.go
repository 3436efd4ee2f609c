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
	batch  time.Duration // the calls of so much time come at once; 0: each by itself
	side   int           // nodes of one side reach each other
	holder Holder
	asked  float64
	rate   float64
	tokens float64
}

func newMesh(limit, burst float64, nodes int, seed uint64) *mesh {
	m := &mesh{limit: limit, burst: burst, owner: NewOwner(limit, 0), rnd: rand.New(rand.NewPCG(seed, seed))}
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
			if n.batch > 0 {
				if calls = 0; m.now%n.batch == 0 {
					calls = n.demand * n.batch.Seconds()
				}
			}
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

// moving lets a mesh run for 2 s, and for 10 s while the demand moves on by one node every 2 s, and returns the part of the limit that
// passed in those.
func moving(m *mesh, pattern []float64, over float64) float64 {
	each := slices.Clone(pattern)
	for i := range each {
		each[i] *= over * m.limit / 100
	}
	m.demands(each...)
	m.run(2 * time.Second)
	m.admitted = 0
	for range 5 {
		each = append(each[1:], each[0])
		m.demands(each...)
		m.run(2 * time.Second)
	}
	return m.admitted / (10 * m.limit)
}

func TestASkewedDemandThatMovesGetsTheWholeLimit(t *testing.T) {
	for _, c := range []struct{ limit, least float64 }{
		{500, 0.9}, // sixteen calls are missing before a shift can be seen
		{2_000, 0.97}, {10_000, 0.97}, {1_000_000, 0.97},
	} {
		least := 1.0
		for _, over := range []float64{1.2, 2, 10} {
			for _, pattern := range [][]float64{{100, 0, 0}, {80, 15, 5}, {34, 33, 33}} {
				for seed := range uint64(5) {
					m := newMesh(c.limit, c.limit/10, 3, seed)
					got := moving(m, pattern, over)
					least = min(least, got)
					if got < c.least || got > 1.03 {
						t.Errorf("limit %v, demand %v × %v, seed %d: %.1f %% of the limit passed, want %.0f to 103",
							c.limit, over, pattern, seed, 100*got, 100*c.least)
					}
					if m.most > c.limit*(1+1e-9) {
						t.Errorf("limit %v, demand %v × %v, seed %d: rates of %v at once", c.limit, over, pattern, seed, m.most)
					}
				}
			}
		}
		t.Logf("limit %v: at least %.1f %%", c.limit, 100*least)
	}
}

// Callers that work in steps, or pause to collect garbage, send their calls in batches. A gap between two is no shift.
func TestCallsInBatchesGetTheWholeLimit(t *testing.T) {
	for _, batch := range []time.Duration{10 * ms, 20 * ms, 50 * ms, 100 * ms} {
		for _, pattern := range [][]float64{{100, 0, 0}, {80, 15, 5}, {34, 33, 33}} {
			for seed := range uint64(5) {
				m := newMesh(1000, 200, 3, seed)
				for i, n := range m.nodes {
					n.demand, n.batch = pattern[i]*30, batch
				}
				m.run(2 * time.Second)
				m.admitted = 0
				m.run(10 * time.Second)
				if got := m.admitted / (10 * m.limit); got < 0.95 || got > 1.03 {
					t.Errorf("batches of %v, demand %v, seed %d: %.1f %% of the limit passed, want 95 to 103", batch, pattern, seed, 100*got)
				}
				if m.most > m.limit*(1+1e-9) {
					t.Errorf("batches of %v, demand %v, seed %d: rates of %v at once", batch, pattern, seed, m.most)
				}
			}
		}
	}
}

func TestDemandBelowTheLimitPasses(t *testing.T) {
	for _, pattern := range [][]float64{{80, 0, 0}, {60, 15, 5}, {27, 27, 26}} {
		m := newMesh(1000, 200, 3, 1)
		// The demand stays where it is: a node that is new to it has to ask first.
		each, asked := slices.Clone(pattern), 0.0
		for i := range each {
			each[i] *= 10
		}
		m.demands(each...)
		m.run(2 * time.Second)
		m.admitted = 0
		for _, n := range m.nodes {
			asked -= n.asked
		}
		m.run(10 * time.Second)
		for _, n := range m.nodes {
			asked += n.asked
		}
		if m.admitted < asked*0.995 {
			t.Errorf("demand %v of 1000: %v of %v calls passed", each, m.admitted, asked)
		}
	}
}

// TestASplit cuts n0 off, whether the owner is there or here, under a demand that is far above the limit.
func TestASplit(t *testing.T) {
	const limit = 10_000
	for _, ownerAt := range []int{0, 1} {
		for _, pattern := range [][]float64{{100, 0, 0}, {0, 100, 0}, {5, 15, 80}, {80, 15, 5}} {
			m := newMesh(limit, limit/10, 3, 1)
			m.at = ownerAt
			for i, p := range pattern {
				m.nodes[i].demand = p * limit / 50
			}
			m.run(2 * time.Second)
			if m.most > limit*(1+1e-9) {
				t.Errorf("owner n%d, demand %v: rates of %v at once before the split", ownerAt, pattern, m.most)
			}
			// While a lease of the time before lives, it counts beside the equal parts of the others.
			oneLease := 0.0
			for _, n := range m.nodes {
				oneLease = max(oneLease, n.rate)
			}
			m.nodes[0].side = 1
			m.most = 0
			m.run(Valid + Every)
			if m.most > limit+oneLease {
				t.Errorf("owner n%d, demand %v: rates of %v at once after the split, with a lease of %v", ownerAt, pattern, m.most, oneLease)
			}
			m.most = 0
			m.run(5 * time.Second)
			if m.most > limit*(1+1e-9) {
				t.Errorf("owner n%d, demand %v: rates of %v at once during the split", ownerAt, pattern, m.most)
			}
			here := m.nodes[0].rate
			if ownerAt == 1 && math.Abs(here-limit/3.0) > 1 || ownerAt == 0 && here > limit/3.0+1 {
				t.Errorf("owner n%d, demand %v: n0 has %v alone, its part is a third", ownerAt, pattern, here)
			}
			m.nodes[0].side = 0
			m.most = 0
			m.run(Valid)
			if m.most > limit*1.34 {
				t.Errorf("owner n%d, demand %v: rates of %v at once while the split heals", ownerAt, pattern, m.most)
			}
			m.most = 0
			m.run(2 * time.Second)
			if m.most > limit*(1+1e-9) {
				t.Errorf("owner n%d, demand %v: rates of %v at once after the split", ownerAt, pattern, m.most)
			}
		}
	}
}
