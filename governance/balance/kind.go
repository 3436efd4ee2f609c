package balance

import (
	"fmt"
	"math/rand/v2"

	"github.com/twohop/twohop/governance"
)

// Kind names a balancer. The numbers are those of the request header.
type Kind uint8

// The balancers. Default stands for a caller that names none, and is RoundRobin.
const (
	Default     Kind = 0
	Random      Kind = 1
	RoundRobin  Kind = 2
	Hash        Kind = 3
	LeastActive Kind = 4
)

var kindNames = [...]string{Default: "default", Random: "random", RoundRobin: "round_robin", Hash: "hash", LeastActive: "least_active"}

// Valid reports whether k is a balancer that New knows.
func (k Kind) Valid() bool { return int(k) < len(kindNames) }

// String returns the name that rules, logs and metrics use.
func (k Kind) String() string {
	if !k.Valid() {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Parse returns the balancer of a name that String returns.
func Parse(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return Default, fmt.Errorf("balance: no balancer %q (random, round_robin, hash, least_active)", name)
}

// New returns the balancer of that kind over instances; one that is not Valid is RoundRobin. The slice is copied. rnd gives
// 64 random bits and must be safe for concurrent use; nil is math/rand/v2.
func New(kind Kind, instances []*governance.Instance, rnd func() uint64) governance.Picker {
	return NewWeighted(kind, instances, nil, rnd)
}

// NewWeighted is New with weights that a rule lays over those of the instances: weights[n] replaces the weight of
// instances[n], 0 keeps it, and a missing tail is all 0.
func NewWeighted(kind Kind, instances []*governance.Instance, weights []uint32, rnd func() uint64) governance.Picker {
	if rnd == nil {
		rnd = rand.Uint64
	}
	s := set{members: make([]member, len(instances)), rnd: rnd}
	for n, i := range instances {
		weight := i.Weight
		if n < len(weights) && weights[n] != 0 {
			weight = weights[n]
		}
		s.members[n] = member{instance: i, weight: float64(weight)}
	}
	switch kind {
	case Random:
		return newRandom(s)
	case Hash:
		return newHash(s)
	case LeastActive:
		return newLeastActive(s)
	default:
		return newRoundRobin(s)
	}
}
