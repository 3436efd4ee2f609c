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
