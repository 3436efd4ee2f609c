package balance

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// Every balancer passes this suite, over a small set and over one that is large for LeastActive.

var kinds = []Kind{Random, RoundRobin, Hash, LeastActive}

// warm is a login so long ago that there is no slow start at time 0.
const warm = -time.Hour

func forEach(t *testing.T, test func(t *testing.T, kind Kind, size int)) {
	for _, kind := range kinds {
		for _, size := range []int{4, 40} {
			t.Run(fmt.Sprintf("%s/%d", kind, size), func(t *testing.T) { test(t, kind, size) })
		}
	}
}

// source returns the same random numbers in every run; not for concurrent use.
func source() func() uint64 { return rand.New(rand.NewPCG(2, 2)).Uint64 }

// group returns n warm instances of weights that are repeated as often as needed.
func group(n int, weights ...uint32) []*governance.Instance {
	instances := make([]*governance.Instance, n)
	for i := range instances {
		var weight uint32
		if len(weights) > 0 {
			weight = weights[i%len(weights)]
		}
		instances[i] = governance.NewInstance(fmt.Sprintf("pay-%d", i), fmt.Sprintf("uuid-%d", i), weight, warm)
	}
	return instances
}

// fresh returns an instance that is like i and logs in at time 0.
func fresh(i *governance.Instance) *governance.Instance {
	return governance.NewInstance(i.Name, i.UUID, i.Weight, 0)
}

// key returns a hash key that is different for each n.
func key(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// share makes calls, inFlight of them at a time and each as long as all others, and returns which share each instance got.
func share(p governance.Picker, now time.Duration, calls, inFlight int) map[*governance.Instance]float64 {
	got := make(map[*governance.Instance]float64)
	var running []*governance.Instance
	for n := range calls {
		if len(running) == inFlight {
			p.Done(now, running[0], governance.Succeeded)
			running = running[1:]
		}
		i := p.Pick(now, governance.Choice{HashKey: key(n)})
		got[i] += 1 / float64(calls)
		running = append(running, i)
	}
	for _, i := range running {
		p.Done(now, i, governance.Succeeded)
	}
	return got
}

func wantIdle(t *testing.T, instances []*governance.Instance) {
	t.Helper()
	for _, i := range instances {
		if i.Outstanding() != 0 {
			t.Errorf("%s: %d outstanding, want 0", i, i.Outstanding())
		}
	}
}

func wantShare(t *testing.T, i *governance.Instance, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*want {
		t.Errorf("%s of weight %d: share %.4f, want %.4f ± %.0f %%", i, i.Weight, got, want, tolerance*100)
	}
}

func TestEmptySetGivesNil(t *testing.T) {
	for _, kind := range kinds {
		if i := New(kind, nil, source()).Pick(0, governance.Choice{HashKey: key(1)}); i != nil {
			t.Errorf("%s: picked %s of none", kind, i)
		}
	}
}

func TestEveryInstanceIsReached(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 100, 400)
		got := share(New(kind, instances, source()), 0, 200*size, 1)
		for _, i := range instances {
			if got[i] == 0 {
				t.Errorf("%s was never picked", i)
			}
		}
		wantIdle(t, instances)
	})
}

func TestPickCountsAndDoneTakesBack(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size)
		p := New(kind, instances, source())
		for n, o := range []governance.Outcome{governance.Local, governance.Succeeded, governance.Refused, governance.Failed, governance.Unknown} {
			i := p.Pick(0, governance.Choice{HashKey: key(n)})
			if i.Outstanding() != 1 {
				t.Fatalf("%d outstanding after Pick, want 1", i.Outstanding())
			}
			New(kind, instances, source()).Done(0, i, o) // the set may have been rebuilt meanwhile
			wantIdle(t, instances)
		}
	})
}

func TestTriedIsAvoidedWhileAnotherIsThere(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		// The tried ones weigh nearly everything, and have all the turns and draws that there are.
		instances := group(size, 1)
		instances[1].Weight, instances[2].Weight = 1e9, 1e9
		p := New(kind, instances, source())
		tried := []*governance.Instance{instances[1], instances[2]}
		for n := range 50 * size {
			i := p.Pick(0, governance.Choice{HashKey: key(n), Tried: tried})
			if i == nil || slices.Contains(tried, i) {
				t.Fatalf("picked %v, want one that was not tried", i)
			}
			p.Done(0, i, governance.Succeeded)
		}
		if i := p.Pick(0, governance.Choice{HashKey: key(1), Tried: instances}); i != nil {
			t.Errorf("picked %s though all were tried", i)
		}
		wantIdle(t, instances)
	})
}

func TestRetriesGoByWeightToo(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 3000, 1000)
		instances[0].Weight = math.MaxUint32
		p := New(kind, instances, source())
		heavy, picks := 0, 400*size
		for n := range picks {
			i := p.Pick(0, governance.Choice{HashKey: key(n), Tried: instances[:1]})
			if i.Weight == 3000 {
				heavy++
			}
			p.Done(0, i, governance.Succeeded)
		}
		others := float64(size/2-1) * 3000
		want := others / (others + float64(size/2)*1000)
		// LeastActive leans to the heavier ones in an idle group.
		if got := float64(heavy) / float64(picks); got < want-0.05 || got > want+0.05 && kind != LeastActive {
			t.Errorf("the heavier ones got %.3f of the retries, want %.3f", got, want)
		}
	})
}

func TestWeightsAreRespected(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 50, 100, 200, 450)
		got := share(New(kind, instances, source()), 0, 4000*size, 8*size)
		for _, i := range instances {
			wantShare(t, i, got[i], float64(i.Weight)/(200*float64(size)), 0.1)
		}
		wantIdle(t, instances)
	})
}

func TestWeightsOfARuleReplaceThoseOfInstances(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 100)
		got := share(NewWeighted(kind, instances, []uint32{0, 400}, source()), 0, 4000*size, 8*size)
		total := float64(size)*100 + 300
		wantShare(t, instances[0], got[instances[0]], 100/total, 0.15)
		wantShare(t, instances[1], got[instances[1]], 400/total, 0.15)
	})
}

func TestSlowStart(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		const login = 100 * time.Second
		instances := group(size, 100)
		instances[0] = governance.NewInstance("new", "uuid-new", 100, login)
		for _, at := range []struct {
			age    time.Duration
			weight float64
		}{{-time.Second, 10}, {0, 10}, {10 * time.Second, 40}, {20 * time.Second, 70}, {30 * time.Second, 100}, {time.Hour, 100}} {
			weight := at.weight
			if kind == Hash {
				weight = 100
			}
			// A new picker each time: the slow start belongs to the instance.
			got := share(New(kind, instances, source()), login+at.age, 5000*size, 20*size)
			wantShare(t, instances[0], got[instances[0]], weight/(weight+float64(size-1)*100), 0.2)
		}
	})
}

func TestGroupThatHasJustStarted(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 100)
		for n := range instances {
			instances[n] = fresh(instances[n])
		}
		got := share(New(kind, instances, source()), 0, 4000*size, size)
		for _, i := range instances {
			wantShare(t, i, got[i], 1/float64(size), 0.1)
		}
	})
}

func TestConcurrentPickAndDone(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 100, 300)
		instances[0] = fresh(instances[0])
		p := New(kind, instances, nil)
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for n := range 500 {
					now := time.Duration(n) * time.Millisecond
					first := p.Pick(now, governance.Choice{HashKey: key(n)})
					second := p.Pick(now, governance.Choice{HashKey: key(n), Tried: []*governance.Instance{first}})
					if first == second {
						t.Errorf("%s was picked again", first)
					}
					p.Done(now, first, governance.Outcome(worker))
					p.Done(now, second, governance.Succeeded)
				}
			})
		}
		all.Wait()
		wantIdle(t, instances)
	})
}

func TestNoAllocations(t *testing.T) {
	forEach(t, func(t *testing.T, kind Kind, size int) {
		instances := group(size, 100, 300)
		instances[3] = fresh(instances[3])
		p := New(kind, instances, source())
		k, tried := key(7), instances[:2]
		allocations := testing.AllocsPerRun(200, func() {
			p.Done(0, p.Pick(0, governance.Choice{HashKey: k}), governance.Failed)
			p.Done(0, p.Pick(0, governance.Choice{HashKey: k, Tried: tried}), governance.Succeeded)
		})
		if allocations != 0 {
			t.Errorf("%v allocations, want 0", allocations)
		}
	})
}

func TestKindNames(t *testing.T) {
	for _, kind := range append(kinds, Default) {
		if got, err := Parse(kind.String()); got != kind || err != nil || !kind.Valid() {
			t.Errorf("Parse(%q) = %v, %v", kind, got, err)
		}
	}
	if _, err := Parse("fastest"); err == nil {
		t.Error("Parse took a name that is none")
	}
	if Kind(5).Valid() {
		t.Error("5 is valid")
	}
	if numbers := []Kind{1, 2, 3, 4}; !slices.Equal(numbers, kinds) {
		t.Errorf("wire numbers are %v", kinds)
	}
	if _, ok := New(Default, nil, nil).(*roundRobin); !ok {
		t.Error("the default is not round robin")
	}
}

func BenchmarkPickDone(b *testing.B) {
	for _, kind := range kinds {
		for _, size := range []int{10, 1000} {
			for _, weights := range [][]uint32{{100}, {50, 100, 200, 450}} {
				instances := group(size, weights...)
				p := New(kind, instances, nil)
				k := key(7)
				b.Run(fmt.Sprintf("%s/%d/weights=%d", kind, size, len(weights)), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						p.Done(0, p.Pick(0, governance.Choice{HashKey: k}), governance.Succeeded)
					}
				})
			}
		}
	}
}

func BenchmarkPickDoneParallel(b *testing.B) {
	for _, kind := range kinds {
		p := New(kind, group(10), nil)
		k := key(7)
		b.Run(kind.String(), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p.Done(0, p.Pick(0, governance.Choice{HashKey: k}), governance.Succeeded)
				}
			})
		})
	}
}
