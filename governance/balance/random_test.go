package balance

import (
	"math"
	"testing"

	"github.com/twohop/twohop/governance"
)

func TestLotteryOfExtremeWeights(t *testing.T) {
	instances := group(3, 1, math.MaxUint32, math.MaxUint32/4)
	got := share(New(Random, instances, source()), 0, 100_000, 1)
	wantShare(t, instances[1], got[instances[1]], 0.8, 0.02)
	wantShare(t, instances[2], got[instances[2]], 0.2, 0.02)
}

func TestLotteryColumnsHoldTheWeights(t *testing.T) {
	instances := group(7, 3, 1, 4, 1, 5, 9, 2)
	l := New(Random, instances, source()).(*random).lottery
	chance := make([]float64, len(instances))
	for n, c := range l.columns {
		chance[n] += min(c.keep, 1) / 7
		chance[c.alias] += max(1-c.keep, 0) / 7
	}
	for n, i := range instances {
		wantShare(t, i, chance[n], float64(i.Weight)/25, 1e-9)
	}
}

func TestByChanceIsExact(t *testing.T) {
	instances := group(4, 10, 20, 30, 40)
	s := New(Random, instances, source()).(*random).set
	got := make(map[*governance.Instance]float64)
	for range 50_000 {
		got[s.byChance(0, instances[3:]).instance] += 1.0 / 50_000
	}
	for _, i := range instances[:3] {
		wantShare(t, i, got[i], float64(i.Weight)/60, 0.05)
	}
}
