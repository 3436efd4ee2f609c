package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twohop/twohop/governance"
)

const hashKeys = 20_000

// placed returns where each key goes.
func placed(instances []*governance.Instance, tried ...*governance.Instance) []*governance.Instance {
	p := New(Hash, instances, nil)
	to := make([]*governance.Instance, hashKeys)
	for n := range to {
		to[n] = p.Pick(0, governance.Choice{HashKey: key(n), Tried: tried})
	}
	return to
}

func TestHashOfOneKeyIsOneInstance(t *testing.T) {
	instances := group(12, 100, 250)
	shuffled := slices.Clone(instances)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
	if !slices.Equal(placed(instances), placed(shuffled)) {
		t.Error("two nodes that know the same instances place keys differently")
	}
}

func TestHashMovesOnlyTheKeysOfAMemberThatLeaves(t *testing.T) {
	for _, size := range []int{2, 5, 10, 50} {
		instances := group(size, 100)
		before, after := placed(instances), placed(instances[1:])
		moved := 0
		for n := range before {
			if before[n] == after[n] {
				continue
			}
			moved++
			if before[n] != instances[0] {
				t.Fatalf("key %d moved from %s, which is still there", n, before[n])
			}
		}
		if share := float64(moved) / hashKeys; share > 1/float64(size)+0.05 {
			t.Errorf("%.3f of the keys moved when 1 of %d left", share, size)
		}
	}
}

func TestHashMovesKeysOnlyToAMemberThatIsHeavier(t *testing.T) {
	instances := group(8, 100)
	before := placed(instances)
	instances[3].Weight = 200
	after := placed(instances)
	moved := 0
	for n := range before {
		if before[n] == after[n] {
			continue
		}
		moved++
		if after[n] != instances[3] {
			t.Fatalf("key %d moved to %s, whose weight is as it was", n, after[n])
		}
	}
	if got, want := float64(moved)/hashKeys, 2.0/9-1.0/8; math.Abs(got-want) > 0.02 {
		t.Errorf("%.3f of the keys moved, want %.3f", got, want)
	}
}

// A retry goes where the key would live if the tried instance were gone: the same place for all calls of the key.
func TestHashOfATriedInstanceIsTheNextBest(t *testing.T) {
	instances := group(9, 100, 300)
	if !slices.Equal(placed(instances, instances[0]), placed(instances[1:])) {
		t.Error("tried and gone place keys differently")
	}
}

func TestHashIsEven(t *testing.T) {
	instances := group(10, 100)
	counts := make(map[*governance.Instance]int)
	for _, i := range placed(instances) {
		counts[i]++
	}
	// Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand by a fair hash.
	chi := 0.0
	for _, i := range instances {
		d := float64(counts[i]) - hashKeys/10
		chi += d * d / (hashKeys / 10)
	}
	if chi > 27.9 {
		t.Errorf("chi-squared %.1f over %v", chi, counts)
	}
}

func TestHashOfARestartedProcessIsTheSame(t *testing.T) {
	before := governance.NewInstance("pay-1", "first", 0, 0)
	after := governance.NewInstance("pay-1", "second", 0, 0)
	if before.Hash() != after.Hash() {
		t.Error("a restart moved the instance")
	}
	if governance.NewInstance("", "first", 0, 0).Hash() == governance.NewInstance("", "second", 0, 0).Hash() {
		t.Error("instances without a name are in one place")
	}
}
