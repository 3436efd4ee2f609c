package quota

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/governance/quota"
	"github.com/twohop/twohop/governance/ratelimit"
)

// TestANewOwnerWaitsForLeasesThatItDoesNotKnow has a node hold nearly the whole limit while it does not reach the owner, which is a new
// one: another node that has calls uses its equal part beside that lease, and no more until it is over.
func TestANewOwnerWaitsForLeasesThatItDoesNotKnow(t *testing.T) {
	const limit = 9_000
	for _, how := range []string{"the members change", "the owner is started anew"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, limit, "a", "b", "c")
			defer w.end()
			owner, others := w.owner()
			busy, next := w.nodes[others[0]], w.nodes[others[1]]
			busy.demand.Store(20)           // 20,000/s
			w.pass(2050 * time.Millisecond) // between two questions
			if got := busy.lease(); got.Rate < 8_000 {
				t.Fatalf("%s has %v", busy.name, got)
			}
			next.demand.Store(20)
			w.change(func() { w.side[busy.name] = 1 }) // it cannot ask, and nobody can take its lease away
			if how == "the members change" {
				w.change(func() {
					for ; owner == w.owned(); w.members = append(w.members, "n"+w.members[len(w.members)-1]) {
						continue
					}
					w.late[busy.name] = []string{"a", "b", "c"}
				})
				for _, name := range w.members[3:] {
					w.add(name, Limit{Key: "orders", PerSecond: limit, Burst: limit / 10, Bucket: ratelimit.NewBucket(limit/3, 1)})
				}
			} else {
				w.nodes[owner].stop()
				w.add(owner, Limit{Key: "orders", PerSecond: limit, Burst: limit / 10, Bucket: ratelimit.NewBucket(limit/3, 1)})
			}
			calls, _ := w.pass(800 * time.Millisecond)
			if got := busy.lease(); got.Rate < 8_000 {
				t.Fatalf("%s has %v: it does not hold its lease any more, which is what this is about", busy.name, got)
			}
			if most := (1+1.0/3)*limit*0.8 + limit/20; calls > most { // and some burst
				t.Errorf("%s: %v calls while a lease lives of which the owner does not know, want at most %v", how, calls, most)
			}
			w.change(func() { w.side[busy.name], w.late[busy.name] = 0, nil })
			w.pass(2 * time.Second)
			if _, most := w.pass(time.Second); most > limit*(1+1e-9) {
				t.Errorf("%s: rates of %v later", how, most)
			}
			if calls, _ := w.pass(2 * time.Second); calls < 2*limit*0.97 || calls > 2*limit*1.03 {
				t.Errorf("%s: %v calls in 2 s later, want the limit", how, calls)
			}
		})
	}
}

// owned returns the owner of "orders". The caller holds the lock.
func (w *world) owned() string { return quota.OwnerOf("orders", w.members) }

// TestAnOwnerThatComesBackBeginsAnew: what it knew is of the time before another one was the owner.
func TestAnOwnerThatComesBackBeginsAnew(t *testing.T) {
	now := time.Hour
	members := []string{"a", "b"}
	l := still(&now)
	l.opts.Members = func() []string { return members }
	l.opts.Reached = l.opts.Members
	key := keyOf("a")
	grant := func() float64 {
		t.Helper()
		for range 2 {
			now += 300 * time.Millisecond
			l.mu.Lock()
			l.membersLocked(now, members)
			l.mu.Unlock()
			leases := l.grant(asks{Node: "b", Limits: []asked{{Key: key, Limit: 1000, Demand: 9000}}}, members, 2)
			if len(leases) == 1 && leases[0].Rate > 990 {
				return leases[0].Rate
			}
		}
		return 500
	}
	if got := grant(); got != 500 {
		t.Errorf("%v in the first second of the node, want an equal part", got)
	}
	now += time.Second
	if got := grant(); got < 990 {
		t.Errorf("%v after it, want nearly all", got)
	}
	members = []string{"b", "c"}
	l.look()
	now += time.Minute
	members = []string{"a", "b"}
	if got := grant(); got != 500 {
		t.Errorf("%v just after it is the owner again, want an equal part", got)
	}
	// A limit that was forgotten is granted at once to all that ask: nobody else can have leased of it.
	now += 2 * time.Minute
	l.look()
	if len(l.owned) != 0 {
		t.Fatal("nothing is forgotten")
	}
	if got := grant(); got < 990 {
		t.Errorf("%v of a limit that was forgotten, want nearly all", got)
	}
}
