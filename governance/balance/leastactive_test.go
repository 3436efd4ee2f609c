package balance

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

func TestLeastActiveTakesTheIdlest(t *testing.T) {
	instances := group(5)
	for n, i := range instances {
		for range n + 1 {
			i.Begin()
		}
	}
	p := New(LeastActive, instances, source())
	for n := range 100 {
		i := p.Pick(0, governance.Choice{})
		if i != instances[0] {
			t.Fatalf("call %d went to %s, want the one with the least outstanding", n, i)
		}
		p.Done(0, i, governance.Succeeded)
	}
	if i := p.Pick(0, governance.Choice{Tried: instances[:2]}); i != instances[2] {
		t.Errorf("picked %s, want the idlest that was not tried", i)
	}
}

func TestLeastActiveScalesByWeight(t *testing.T) {
	instances := group(2, 100, 400)
	for range 2 {
		instances[0].Begin()
	}
	for range 6 {
		instances[1].Begin() // a load of 6/400 to one of 2/100: with the new call still the lower
	}
	p := New(LeastActive, instances, source())
	if i := p.Pick(0, governance.Choice{}); i != instances[1] {
		t.Errorf("picked %s, want the heavier", i)
	}
}

func TestLeastActiveTwoChoicesAvoidTheBusiest(t *testing.T) {
	instances := group(40)
	for range 10 {
		instances[0].Begin()
	}
	p := New(LeastActive, instances, source())
	for n := range 2_000 {
		i := p.Pick(0, governance.Choice{})
		if i == instances[0] {
			t.Fatalf("call %d went to the busiest", n)
		}
		p.Done(0, i, governance.Succeeded)
	}
}

// traffic simulates a call per millisecond in [from, to): instances answer well after 30 ms, but those in failing end at once
// with the outcome given. It returns the calls that each got.
func traffic(p governance.Picker, from, to time.Duration, failing map[*governance.Instance]governance.Outcome) map[*governance.Instance]int {
	got := make(map[*governance.Instance]int)
	var running []*governance.Instance
	for now := from; now < to; now += time.Millisecond {
		if len(running) == 30 {
			p.Done(now, running[0], governance.Succeeded)
			running = running[1:]
		}
		i := p.Pick(now, governance.Choice{})
		got[i]++
		if o, fails := failing[i]; fails {
			p.Done(now, i, o)
		} else {
			running = append(running, i)
		}
	}
	for _, i := range running {
		p.Done(to, i, governance.Succeeded)
	}
	return got
}

func TestLeastActiveFastFailerAttractsNoTraffic(t *testing.T) {
	for _, size := range []int{4, 40} {
		for _, o := range []governance.Outcome{governance.Refused, governance.Failed, governance.Unknown} {
			instances := group(size)
			p := New(LeastActive, instances, source())
			bad := instances[0]
			failing := map[*governance.Instance]governance.Outcome{bad: o}
			for from := time.Duration(0); from < 30*time.Second; from += 10 * time.Second {
				got := traffic(p, from, from+10*time.Second, failing)
				if fair := 10_000 / size; got[bad] > fair/2 || got[bad] < 2 {
					t.Errorf("%d instances, %s at once, after %v: it got %d of 10,000 calls; a fair share is %d, and 0 would never see it heal",
						size, o, from, got[bad], fair)
				}
			}
			wantIdle(t, instances)
		}
	}
}

func TestLeastActiveHealedInstanceComesBack(t *testing.T) {
	for _, size := range []int{4, 40} {
		instances := group(size)
		p := New(LeastActive, instances, source())
		bad := instances[0]
		traffic(p, 0, 10*time.Second, map[*governance.Instance]governance.Outcome{bad: governance.Failed})
		traffic(p, 10*time.Second, 20*time.Second, nil)
		got := traffic(p, 20*time.Second, 30*time.Second, nil)
		if fair := 10_000 / size; got[bad] < fair*8/10 || got[bad] > fair*12/10 {
			t.Errorf("%d instances: healed it got %d calls, want about %d", size, got[bad], fair)
		}
	}
}

func TestLeastActiveIgnoresANodesOwnRefusals(t *testing.T) {
	instances := group(4)
	p := New(LeastActive, instances, source())
	for range 1_000 {
		p.Done(0, p.Pick(0, governance.Choice{}), governance.Local)
	}
	for _, i := range instances {
		if i.Failing(0) != 0 {
			t.Errorf("%s: a share of failures of %v", i, i.Failing(0))
		}
	}
}

// When all fail alike it is the callers' or a dependency's fault: load must go on being balanced.
func TestLeastActiveWhereAllFailAlike(t *testing.T) {
	for _, size := range []int{4, 40} {
		instances := group(size, 100, 300)
		p := New(LeastActive, instances, source())
		got := make(map[*governance.Instance]float64)
		var running []*governance.Instance
		const calls = 40_000
		for n := range calls {
			now := time.Duration(n) * time.Millisecond
			if len(running) == 8*size {
				p.Done(now, running[0], governance.Failed)
				running = running[1:]
			}
			i := p.Pick(now, governance.Choice{})
			got[i] += 1.0 / calls
			running = append(running, i)
		}
		for _, i := range instances {
			wantShare(t, i, got[i], float64(i.Weight)/(200*float64(size)), 0.25)
		}
	}
}
