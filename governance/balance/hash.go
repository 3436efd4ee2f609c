package balance

import (
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/twohop/twohop/governance"
)

// hash sends equal keys to the same instance, on every node: weighted rendezvous (Schindelhauer and Schomaker, Weighted
// Distributed Hash Tables, 2005). Each instance has a cost for a key, -ln(u)/weight with u drawn from the hash of both, and the
// lowest wins. A member that comes or goes moves only its own keys; an attempt after a tried one goes to the next best, the
// same for each call of that key. There is no slow start: keys would move to a newcomer a few at a time, each with a cold cache.
type hash struct {
	set

	// Static after construction, in the order of members.
	places []place
}

// place is what the search reads of a member, side by side.
type place struct {
	hash   uint64
	weight float64
}

func newHash(s set) *hash {
	h := &hash{set: s, places: make([]place, len(s.members))}
	for n, m := range s.members {
		h.places[n] = place{hash: m.instance.Hash(), weight: m.weight}
	}
	return h
}

// Pick implements governance.Picker.
func (h *hash) Pick(_ time.Duration, c governance.Choice) *governance.Instance {
	key := xxhash.Sum64(c.HashKey)
	var best *member
	lowest := math.Inf(1)
	for n := range h.places {
		p := &h.places[n]
		u := (float64(mix(key^p.hash)>>11) + 0.5) / (1 << 53)
		// -ln(u) ≥ 1-u: most members are out before their logarithm is taken.
		if (1-u)/p.weight >= lowest {
			continue
		}
		cost := -math.Log(u) / p.weight
		if cost >= lowest || slices.Contains(c.Tried, h.members[n].instance) {
			continue
		}
		best, lowest = &h.members[n], cost
	}
	return begin(best)
}

// mix spreads the difference of two hashes over all bits: the finalizer of MurmurHash3 (fmix64).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
