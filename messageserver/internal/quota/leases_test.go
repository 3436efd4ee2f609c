package quota

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/governance/ratelimit"
)

func TestTheMeshPassesTheLimitWhereverItsDemandIs(t *testing.T) {
	const limit = 10_000
	for _, pattern := range [][]float64{{100, 0, 0}, {80, 15, 5}, {40, 30, 30}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, limit, "a", "b", "c")
			defer w.end()
			each := make([]float64, 3)
			move := func(by int) {
				for i := range each {
					each[i] = pattern[(i+by)%3] * limit / 50 // twice the limit
				}
				w.demand(each...)
			}
			move(0)
			w.pass(2 * time.Second)
			sum, most := 0.0, 0.0
			for by := range 5 {
				move(by + 1)
				calls, rates := w.pass(2 * time.Second)
				sum, most = sum+calls, max(most, rates)
			}
			if sum < 0.97*10*limit || sum > 1.03*10*limit {
				t.Errorf("demand %v: %.1f %% of the limit passed in 10 s, want 97 to 103", pattern, sum*100/(10*limit))
			} else {
				t.Logf("demand %v: %.1f %%, rates of at most %.1f %%", pattern, sum*100/(10*limit), most*100/limit)
			}
			// Seen at times at which no answer is on its way.
			if most > limit*(1+1e-9) {
				t.Errorf("demand %v: rates of %v at once", pattern, most)
			}
		})
	}
}

func TestWithoutItsOwnerEachNodeHasItsPart(t *testing.T) {
	for _, how := range []string{"cut off", "silent"} {
		synctest.Test(t, func(t *testing.T) {
			const limit = 9_000
			w := newWorld(t, limit, "a", "b", "c")
			defer w.end()
			owner, others := w.owner()
			busy, calm := w.nodes[others[0]], w.nodes[others[1]]
			busy.demand.Store(20) // 20,000/s
			calm.demand.Store(1)
			w.pass(1300 * time.Millisecond) // a new owner grants equal parts for a second
			if got := busy.lease(); got.Fallback || got.Rate < 7_000 || got.Owner != owner {
				t.Fatalf("%s has %v while all is well", busy.name, got)
			}
			w.change(func() {
				if how == "silent" {
					w.mute[owner] = true
				} else {
					w.side[owner] = 1
				}
			})
			calls, _ := w.pass(1200 * time.Millisecond)
			if most := limit*1.2 + limit; calls > most {
				t.Errorf("%v calls passed in 1.2 s after the owner was lost, want ≤ %v", calls, most)
			}
			for _, a := range []*actor{busy, calm} {
				if got := a.lease(); !got.Fallback || !about(got.Rate, limit/3) {
					t.Errorf("%s has %v without the owner, want a third", a.name, got)
				}
			}
			if how == "silent" && said(busy, "does not grant") != 1 {
				t.Errorf("it is said so, and not just once:\n%s", busy.log.String())
			}
			w.change(func() { w.side[owner], w.mute[owner] = 0, false })
			w.pass(time.Second)
			if got := busy.lease(); got.Fallback || got.Rate < 7_000 {
				t.Errorf("%s has %v when the owner is back", busy.name, got)
			}
			if how == "silent" && said(busy, "grants them again") != 1 {
				t.Errorf("nobody says that the owner is back:\n%s", busy.log.String())
			}
		})
	}
}

// TestASplitPassesNoMoreThanTheLimit cuts off the owner, then one of the others, under four times the limit.
func TestASplitPassesNoMoreThanTheLimit(t *testing.T) {
	for _, cutOwner := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const limit = 10_000
			w := newWorld(t, limit, "a", "b", "c")
			defer w.end()
			owner, others := w.owner()
			cut := others[0]
			if cutOwner {
				cut = owner
			}
			for _, a := range w.nodes {
				a.demand.Store(5)
			}
			w.nodes[cut].demand.Store(30)
			w.pass(2 * time.Second)
			lease := 0.0
			for _, a := range w.nodes {
				lease = max(lease, a.lease().Rate)
			}
			w.change(func() { w.side[cut] = 1 })
			if calls, most := w.pass(1200 * time.Millisecond); most > limit+lease || calls > 1.2*limit+lease+limit/10 {
				t.Errorf("just after the split (of the owner: %v): rates of %v, %v calls in 1.2 s; want no more than the limit and a lease of %v", cutOwner, most, calls, lease)
			}
			if calls, most := w.pass(5 * time.Second); most > limit*(1+1e-9) || calls > 5*limit*1.01 {
				t.Errorf("during the split (of the owner: %v): rates of %v, %v calls in 5 s; want no more than the limit", cutOwner, most, calls)
			} else if calls < 5*limit*0.97 {
				t.Errorf("during the split (of the owner: %v): %v calls in 5 s, want about the limit, as all have more", cutOwner, calls)
			}
			w.change(func() { w.side[cut] = 0 })
			w.pass(time.Second)
			if calls, most := w.pass(5 * time.Second); most > limit*(1+1e-9) || calls < 5*limit*0.97 || calls > 5*limit*1.03 {
				t.Errorf("after the split (of the owner: %v): rates of %v, %v calls in 5 s", cutOwner, most, calls)
			}
		})
	}
}

func TestANodeAloneHasAllAndAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5_000, "a")
		defer w.end()
		w.demand(20_000)
		calls, _ := w.pass(2 * time.Second)
		if calls < 10_000*0.97 || calls > 10_000*1.03+500 {
			t.Errorf("%v calls passed in 2 s, want the limit", calls)
		}
		a := w.nodes["a"]
		if got := a.lease(); got.Rate != 5_000 || got.Fallback || a.asked.Load() != 0 {
			t.Errorf("%v, %d questions", got, a.asked.Load())
		}
	})
}

func TestIdleNodesAskNobodyAndKeepAReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3_000, "a", "b", "c")
		defer w.end()
		w.pass(12 * time.Second)
		before := map[string]int64{}
		for name, a := range w.nodes {
			before[name] = a.asked.Load()
		}
		w.pass(10 * time.Second)
		for name, a := range w.nodes {
			if n := a.asked.Load() - before[name]; n != 0 {
				t.Errorf("%s has asked %d times in 10 s without a call", name, n)
			}
			if got := a.lease(); !about(got.Rate, 10) || got.Fallback {
				t.Errorf("%s has %v, want the reserve of 10/s", name, got)
			}
		}
		_, others := w.owner()
		busy := w.nodes[others[0]]
		busy.demand.Store(9)
		w.pass(200 * time.Millisecond)
		w.pass(300 * time.Millisecond)
		if got := busy.lease(); got.Rate < 2_900 {
			t.Errorf("%s has %v half a second after calls came, want nearly all", busy.name, got)
		}
	})
}

func TestMembersThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 8_000
		w := newWorld(t, limit, "a", "b")
		defer w.end()
		w.demand(40_000, 1_000)
		w.pass(time.Second)
		// More members come, one of which owns the limit: what the owner before it has granted does not count twice.
		members := []string{"a", "b"}
		for i := 0; ; i++ {
			name := fmt.Sprint("n", i)
			w.add(name, Limit{Key: "orders", PerSecond: limit, Burst: limit / 10, Bucket: ratelimit.NewBucket(limit/3, 1)})
			members = append(members, name)
			w.change(func() { w.members = members })
			if owner, _ := w.owner(); owner == name {
				break
			}
		}
		owner, _ := w.owner()
		_, most := w.pass(2 * time.Second)
		if most > limit*1.35 { // a third is what its first grants may be too much
			t.Errorf("rates of %v while %s becomes the owner", most, owner)
		}
		calls, most := w.pass(2 * time.Second)
		if most > limit*(1+1e-9) || calls < 2*limit*0.97 || calls > 2*limit*1.03 {
			t.Errorf("rates of %v, %v calls in 2 s under the new owner", most, calls)
		}
		for name, a := range w.nodes {
			if got := a.lease(); got.Owner != owner {
				t.Errorf("%s takes %s for the owner, want %s", name, got.Owner, owner)
			}
		}
	})
}

func TestLimitsThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6_000, "a", "b", "c")
		defer w.end()
		for _, a := range w.nodes {
			a.demand.Store(10)
		}
		w.pass(time.Second)
		set := func(change func(l *Limit)) {
			for _, a := range w.nodes {
				a.mu.Lock()
				change(&a.limits[0])
				a.mu.Unlock()
			}
		}
		set(func(l *Limit) { l.PerSecond, l.Burst = 3_000, 300 })
		w.pass(time.Second)
		if calls, _ := w.pass(2 * time.Second); calls < 6_000*0.97 || calls > 6_000*1.03 {
			t.Errorf("%v calls in 2 s under a limit of 3,000/s", calls)
		}
		set(func(l *Limit) { l.Bucket = ratelimit.NewBucket(0, 0) }) // another bucket
		w.pass(100 * time.Millisecond)
		for name, a := range w.nodes {
			if got := a.lease(); got.Demand < 5_000 || got.Demand > 15_000 {
				t.Errorf("%s has %v with another bucket, want a demand of 10,000", name, got)
			}
		}
		w.pass(time.Second)
		if calls, _ := w.pass(2 * time.Second); calls < 6_000*0.97 || calls > 6_000*1.03 {
			t.Errorf("%v calls in 2 s with another bucket", calls)
		}
		set(func(l *Limit) { l.PerSecond = 0 })
		w.pass(time.Second)
		if calls, _ := w.pass(2 * time.Second); calls != 0 {
			t.Errorf("%v calls in 2 s under a limit of 0", calls)
		}
		for _, a := range w.nodes {
			a.demand.Store(0)
			a.mu.Lock()
			a.limits = nil
			a.mu.Unlock()
		}
		w.pass(time.Second)
		for name, a := range w.nodes {
			if v := a.leases.View(); len(v) != 0 {
				t.Errorf("%s has %v when there are no limits", name, v)
			}
		}
	})
}

func TestManyLimitsAreAskedForInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2*maxLimits + 500
		w := newWorld(t, 100, "a", "b")
		defer w.end()
		for _, a := range w.nodes {
			a.mu.Lock()
			for i := range many {
				a.limits = append(a.limits, Limit{Key: fmt.Sprint("limit-", i), PerSecond: 1_000, Burst: 10, Bucket: ratelimit.NewBucket(0, 0)})
			}
			a.mu.Unlock()
		}
		w.pass(60 * time.Millisecond) // a look and its questions
		for name, a := range w.nodes {
			view := a.leases.View()
			if len(view) != many+1 {
				t.Fatalf("%s has %d limits, want %d", name, len(view), many+1)
			}
			for _, v := range view {
				if v.Key != "orders" && (v.Fallback || v.Rate < 400) {
					t.Fatalf("%s has %v of %s", name, v, v.Key)
				}
			}
			if said(a, "does not grant") != 0 {
				t.Errorf("%s: %s", name, a.log.String())
			}
		}
	})
}

func TestWhatNobodyAsksForIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 100, "a", "b")
		defer w.end()
		owner, _ := w.owner()
		owned := func() int {
			l := w.nodes[owner].leases
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.owned)
		}
		w.pass(time.Second)
		if owned() != 1 {
			t.Fatalf("%s knows %d limits, want 1", owner, owned())
		}
		w.pass(forget - 5*time.Second)
		if owned() != 1 {
			t.Error("forgotten before a minute has passed")
		}
		w.pass(20 * time.Second)
		if owned() != 0 {
			t.Error("not forgotten")
		}
	})
}

func TestRunEndsWithItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1_000, "a", "b")
		owner, others := w.owner()
		w.change(func() { w.mute[owner] = true })
		w.nodes[others[0]].demand.Store(1)
		w.pass(50 * time.Millisecond)
		before := time.Now()
		w.end() // waits
		if took := time.Since(before); took > 10*time.Millisecond {
			t.Errorf("took %v while a question had no answer", took)
		}
		if said(w.nodes[others[0]], "does not grant") != 0 {
			t.Error("the end of this node is called a fault of the owner")
		}
	})
}
