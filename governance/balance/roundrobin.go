package balance

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
)

// everyTurn is the stride of the heaviest members (all but one turn in 2³²).
const everyTurn = math.MaxUint32

// roundRobin goes round the members; the heaviest take every turn, the others as many of them as their weight is of the
// heaviest's, evenly spread. It is the static stride schedule of gRPC's weighted round robin (gRFC A58; grpc-go
// balancer/weightedroundrobin/scheduler.go, after static_stride_scheduler.cc): the turn follows from one counter, so concurrent
// picks share nothing else. Ours has strides of 32 bit, which wrap by themselves, and a phase by the golden ratio.
type roundRobin struct {
	set

	// Static after construction.
	strides []uint32 // weight / heaviest weight, in units of 1/2³²
	tickets uint64   // at most so many per pick
	oldest  *governance.Instance

	_ [64]byte // keeps the counter off the cache line of what all read

	// Advanced by every Pick.
	next atomic.Uint64
}

func newRoundRobin(s set) *roundRobin {
	r := &roundRobin{set: s, strides: make([]uint32, len(s.members))}
	heaviest := 0.0
	for _, m := range s.members {
		heaviest = max(heaviest, m.weight)
		if r.oldest == nil || m.instance.Since() < r.oldest.Since() {
			r.oldest = m.instance
		}
	}
	for n, m := range s.members {
		r.strides[n] = uint32(max(1, m.weight/heaviest*everyTurn))
	}
	// One round always finds the heaviest; the rest is for slow starts.
	r.tickets = uint64(2*len(s.members) + 64)
	// Nodes that get the same table at the same time must not all begin with the same instance.
	r.next.Store(s.rnd() >> 32)
	return r
}

// Pick implements governance.Picker.
func (r *roundRobin) Pick(now time.Duration, c governance.Choice) *governance.Instance {
	if len(r.members) == 0 {
		return nil
	}
	for range r.tickets {
		ticket := r.next.Add(1) - 1
		n := ticket % uint64(len(r.members))
		round := uint32(ticket / uint64(len(r.members)))
		m := &r.members[n]
		if r.hasTurn(now, n, round) && !slices.Contains(c.Tried, m.instance) {
			return begin(m)
		}
	}
	return begin(r.byChance(now, c.Tried))
}

// hasTurn reports whether member n is picked in this round: whether adding its stride once more crosses a whole number. A
// slow start leaves out turns by chance, as many as the member's share is behind that of the oldest one: a stride that
// changed with time would move the phase of all rounds, and members that are all new must simply take turns.
func (r *roundRobin) hasTurn(now time.Duration, n uint64, round uint32) bool {
	const golden = 0x9E3779B9 // 2³² / φ: neighbours of equal weight pause in different rounds
	stride := r.strides[n]
	at := round*stride + uint32(n)*golden
	if at+stride >= at {
		return false
	}
	ramp := r.members[n].instance.Ramp(now)
	return ramp == 1 || fraction(r.rnd())*r.oldest.Ramp(now) < ramp
}
