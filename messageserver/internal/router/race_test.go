package router

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

var schedules = flag.Int("schedules", 100_000, "how many random schedules TestEveryCallIsSettledOnce runs")

// TestEveryCallIsSettledOnce lets an answer, a cancel, the deadline, a lost link and a writer that takes the request back
// race for one call after another, in random order and number. Exactly one answer may come of it, whatever the pool of
// calls does meanwhile.
func TestEveryCallIsSettledOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const racers = 4
	var codes [wire.MaxCode + 1]atomic.Int64
	var all sync.WaitGroup
	for w := range racers {
		all.Go(func() { raceCalls(t, rand.New(rand.NewPCG(seed, uint64(w))), *schedules/racers, &codes) })
	}
	all.Wait()
	for code, name := range map[wire.Code]string{wire.OK: "answer", wire.Cancelled: "cancel", wire.NoInstance: "take back", wire.ConnectionLost: "lost link", wire.Timeout: "deadline"} {
		if codes[code].Load() == 0 {
			t.Errorf("no call ended by %s (%v): the schedules do not race", name, code)
		}
	}
}

// raceCalls makes calls, one after another, each with its own racers.
func raceCalls(t *testing.T, rnd *rand.Rand, n int, codes *[wire.MaxCode + 1]atomic.Int64) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	targets := []*fakeTarget{one, two}
	for range n {
		one.keeps, two.keeps = rnd.IntN(8) == 0, rnd.IntN(8) == 0
		one.frames, two.frames, one.cancels, two.cancels = nil, nil, nil, nil
		spec := callSpec{method: "Move"}
		if rnd.IntN(2) == 0 { // may be tried again, after a wait
			spec = callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }}
		}
		o, c, life := h.submit(spec)
		var start, done sync.WaitGroup
		start.Add(1)
		race := func(yields int, act func(b *Batch)) {
			done.Go(func() {
				b := Batch{Now: h.now}
				start.Wait()
				for range yields {
					runtime.Gosched()
				}
				act(&b)
			})
		}
		// release takes the slot of whoever has the call now.
		release := func() (Ticket, bool) {
			for _, f := range targets {
				f.mu.Lock()
				n := len(f.frames)
				var id uint64
				if n > 0 {
					id = f.frames[n-1].CallID
				}
				f.mu.Unlock()
				if ticket, ok := f.slots.Release(id); n > 0 && ok {
					return ticket, true
				}
			}
			return Ticket{}, false
		}
		if rnd.IntN(4) > 0 {
			race(rnd.IntN(4), func(b *Batch) {
				if ticket, ok := release(); ok {
					h.r.End(b, ticket, &End{Code: wire.OK})
					h.r.End(b, ticket, &End{Code: wire.OK}) // again: stale
				}
			})
		}
		if rnd.IntN(2) == 0 {
			race(rnd.IntN(4), func(b *Batch) { h.r.Cancel(b, c, life, wire.Cancelled) })
		}
		if rnd.IntN(2) == 0 {
			race(rnd.IntN(4), func(b *Batch) { h.r.due(b, c, life) })
		}
		if rnd.IntN(4) == 0 {
			unsent := rnd.IntN(2) == 0
			race(rnd.IntN(4), func(b *Batch) {
				if ticket, ok := release(); ok {
					h.r.End(b, ticket, &End{Code: wire.ConnectionLost, Unsent: unsent})
				}
			})
		}
		start.Done()
		done.Wait()
		settleRest(h, o, c, life, release, rnd)
		if n := o.count(); n != 1 {
			t.Errorf("%d answers to one call: %v", n, o.got)
			return
		}
		codes[o.got[0].Code].Add(1)
	}
	h.check()
}

// settleRest ends what the racers left under way.
func settleRest(h *house, o *answers, c *Call, life uint64, release func() (Ticket, bool), rnd *rand.Rand) {
	for tries := 0; o.count() == 0 && tries < 8; tries++ {
		if rnd.IntN(2) == 0 {
			if ticket, ok := release(); ok {
				h.r.End(&h.b, ticket, &End{Code: wire.OK})
				continue
			}
		}
		h.r.due(&h.b, c, life)
	}
	h.r.due(&h.b, c, life) // over: it must not touch the call that takes its place
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
}

// TestCallsWhileTheMeshChanges lets nodes come, say, change and go while calls go their ways and end in all manners. Every
// call is answered once, and nothing is left.
func TestCallsWhileTheMeshChanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newHouse(t, Options{Try: func(owners []string) []string { return owners }})
	type sent struct {
		to *fakeTarget
		id uint64
	}
	const calls, callers = 10_000, 2
	queue := make(chan sent, 4*calls) // one who ends an attempt may make the next: nobody may wait
	links := []*neighbour{}
	for _, node := range []string{"b", "c", "d"} {
		n := h.neighbour(node)
		n.onSend = func(id uint64) { queue <- sent{n.fakeTarget, id} }
		links = append(links, n)
	}
	done := make(chan struct{})
	var all, work sync.WaitGroup
	origins := make([][]*answers, callers)
	for w := range callers {
		work.Go(func() {
			b, rnd := Batch{Now: h.now}, rand.New(rand.NewPCG(seed, uint64(w)))
			for range calls / callers {
				o := &answers{}
				origins[w] = append(origins[w], o)
				h.r.Submit(&b, h.fill(o, callSpec{method: "Move", edit: func(r *wire.Request) {
					if rnd.IntN(4) == 0 {
						r.Instance = []byte("one")
					}
				}}), 1)
			}
		})
	}
	for w := range 2 { // the ends of attempts
		all.Go(func() {
			b, rnd := Batch{Now: h.now}, rand.New(rand.NewPCG(seed, uint64(10+w)))
			ends := []End{{Code: wire.OK, Hops: 2}, {Code: wire.StaleRoute, Hops: 2}, {Code: wire.Draining, Hops: 2}, {Code: wire.ConnectionLost, Unsent: true}, {Code: wire.ConnectionLost}, {Code: wire.Overloaded, Hops: 2}}
			for s := range queue {
				if ticket, ok := s.to.slots.Release(s.id); ok {
					e := ends[rnd.IntN(len(ends))]
					h.r.End(&b, ticket, &e)
				}
			}
		})
	}
	all.Go(func() { // the mesh
		rnd := rand.New(rand.NewPCG(seed, 20))
		for {
			select {
			case <-done:
				return
			default:
			}
			n := links[rnd.IntN(len(links))]
			switch rnd.IntN(6) {
			case 0:
				h.r.Connect(n.node, n)
			case 1:
				h.r.Disconnect(n.node, n)
			case 2:
				h.r.Forget(n.node)
			case 3:
				h.r.HeldDown("pay", "one")
				h.r.Registry(h.now)
				if err := h.r.ConsistencyCheck(); err != nil {
					t.Error(err)
				}
			default:
				n.serve([]string{"one", "two", "three"}[rnd.IntN(3)], func(r *Registration) {
					r.Session, r.Draining = r.Session%8, rnd.IntN(5) == 0
				})
			}
		}
	})
	work.Wait()
	close(done)
	for in := int64(1); in > 0; in, _ = h.r.InFlight() {
		runtime.Gosched()
	}
	close(queue)
	all.Wait()
	codes := map[wire.Code]int{}
	for _, list := range origins {
		for i, o := range list {
			if n := o.count(); n != 1 {
				t.Fatalf("call %d has %d answers", i, n)
			}
			codes[o.got[0].Code]++
		}
	}
	if codes[wire.OK] == 0 || codes[wire.ConnectionLost] == 0 || h.r.Counters().Reroutes.Load() == 0 {
		t.Errorf("%v: the calls did not meet the changes", codes)
	}
	h.check()
}
