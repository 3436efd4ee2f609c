package balance

import (
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// wantEven checks that no instance got over 5 % more calls per weight than another.
func wantEven(t *testing.T, instances []*governance.Instance, calls map[*governance.Instance]float64) {
	t.Helper()
	least, most := 1e18, 0.0
	for _, i := range instances {
		got := calls[i] / float64(i.Weight)
		least, most = min(least, got), max(most, got)
	}
	if most > 1.05*least {
		t.Errorf("calls per weight between %v and %v, want within 5 %%", least, most)
	}
}

func TestRoundRobinIsEven(t *testing.T) {
	for _, weights := range [][]uint32{{100}, {100, 300}, {50, 100, 200, 450, 77}} {
		for _, size := range []int{3, 7, 10} {
			instances := group(size, weights...)
			wantEven(t, instances, share(New(RoundRobin, instances, source()), 0, 10_000, 1))
		}
	}
}

// No ticket is lost or used twice: of whole rounds, every instance gets exactly as many.
func TestRoundRobinIsEvenUnderConcurrency(t *testing.T) {
	instances := group(7)
	p := New(RoundRobin, instances, nil)
	const workers, calls = 4, 28_000
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range calls {
				p.Pick(0, governance.Choice{})
			}
		})
	}
	all.Wait()
	for _, i := range instances {
		if i.Outstanding() != workers*calls/7 {
			t.Errorf("%s got %d calls, want %d", i, i.Outstanding(), workers*calls/7)
		}
	}
}

func TestRoundRobinOfEqualWeightsTakesTurns(t *testing.T) {
	instances := group(5)
	p := New(RoundRobin, instances, source())
	var before []*governance.Instance
	for n := range 50 {
		i := p.Pick(0, governance.Choice{})
		if n >= 5 && i != before[n-5] {
			t.Fatalf("call %d went to %s, want %s", n, i, before[n-5])
		}
		before = append(before, i)
	}
}

// A member of a third of the weight has every third turn, not a run of turns in a row and then a long pause.
func TestRoundRobinSpreadsTheLighterMembers(t *testing.T) {
	instances := group(2, 100, 300)
	p := New(RoundRobin, instances, source())
	pause := 0
	for n := range 4_000 {
		if p.Pick(0, governance.Choice{}) != instances[0] {
			pause++
			continue
		}
		if n > 5 && (pause < 2 || pause > 4) {
			t.Fatalf("call %d: %d calls since the lighter one had its turn, want about 3", n, pause)
		}
		pause = 0
	}
}

func TestRoundRobinOfNodesBeginsAnywhere(t *testing.T) {
	instances, rnd := group(10), source()
	first := make(map[*governance.Instance]bool)
	for range 50 {
		first[New(RoundRobin, instances, rnd).Pick(0, governance.Choice{})] = true
	}
	if len(first) < 5 {
		t.Errorf("50 new pickers began with %d of 10 instances", len(first))
	}
}

func TestRoundRobinNeverTurnsForEver(t *testing.T) {
	// All turns belong to one that has just started, and its one in ten turns may be far away.
	instances := group(200, 1)
	instances[0] = fresh(instances[0])
	instances[0].Weight = 1e9
	p := New(RoundRobin, instances, source()).(*roundRobin)
	before := p.next.Load()
	for range 100 {
		if i := p.Pick(0, governance.Choice{}); i == nil {
			t.Fatal("picked none")
		}
	}
	if used := p.next.Load() - before; used > 100*p.tickets {
		t.Errorf("%d tickets for 100 picks", used)
	}
	if got := instances[0].Outstanding(); got < 95 {
		t.Errorf("the heaviest got %d of 100", got)
	}
}

// Members that have all just logged in, a little apart, take turns: the slow start is of one against the others.
func TestRoundRobinOfNewMembersIsEven(t *testing.T) {
	for range 50 {
		base := time.Second
		picker := New(RoundRobin, []*governance.Instance{
			governance.NewInstance("one", "1", 0, base),
			governance.NewInstance("two", "2", 0, base+time.Millisecond),
			governance.NewInstance("three", "3", 0, base+2*time.Millisecond),
		}, nil)
		seen := map[string]int{}
		now := base + 3*time.Millisecond
		for range 60 {
			now += 300 * time.Microsecond
			i := picker.Pick(now, governance.Choice{})
			seen[i.Name]++
			picker.Done(now, i, governance.Succeeded)
		}
		for name, n := range seen {
			if n < 18 || n > 22 {
				t.Fatalf("%s was picked %d times of 60: %v", name, n, seen)
			}
		}
	}
}
