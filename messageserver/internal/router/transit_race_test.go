package router

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// TestEveryCallInTransitIsSettledOnce lets an answer, the ingress's CANCEL, a session that is lost with the request sent or
// not, the end of the wait, and a drain race for one call after another. The ingress may hear of it exactly once.
func TestEveryCallInTransitIsSettledOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const racers = 4
	var codes [wire.MaxCode + 1]atomic.Int64
	var all sync.WaitGroup
	for w := range racers {
		all.Go(func() { raceTransit(t, rand.New(rand.NewPCG(seed, uint64(w))), *schedules/racers/2, &codes) })
	}
	all.Wait()
	for code, name := range map[wire.Code]string{
		wire.OK: "answer", wire.Cancelled: "cancel", wire.StaleRoute: "lost before it was sent", wire.ConnectionLost: "lost",
		wire.Timeout: "the end of the wait", wire.Expired: "spent",
	} {
		if codes[code].Load() == 0 {
			t.Errorf("no call ended by %s (%v): the schedules do not race", name, code)
		}
	}
}

func raceTransit(t *testing.T, rnd *rand.Rand, n int, codes *[wire.MaxCode + 1]atomic.Int64) {
	h := newHouse(t, Options{})
	l := h.r.Local()
	for range n {
		one := h.serve("one")
		one.keeps = rnd.IntN(8) == 0
		spec := transitSpec{method: "Move", target: one.session}
		if rnd.IntN(8) == 0 {
			spec.edit = func(r *wire.Request) { r.Options = wire.RunLate }
		}
		f := spec.frame(h)
		o := &answers{}
		c := h.borrow(o, &f)
		life := c.Life()
		var start, done sync.WaitGroup
		start.Add(1)
		race := func(act func(b *Batch)) {
			yields := rnd.IntN(4)
			done.Go(func() {
				b := Batch{Now: h.now}
				start.Wait()
				for range yields {
					runtime.Gosched()
				}
				act(&b)
			})
		}
		// newest takes the slot of the request, if it came.
		newest := func() (Ticket, bool) {
			one.mu.Lock()
			defer one.mu.Unlock()
			if len(one.frames) == 0 {
				return Ticket{}, false
			}
			return one.slots.Release(one.frames[0].CallID)
		}
		why := []wire.Code{wire.Cancelled, wire.Expired}[rnd.IntN(2)]
		race(func(b *Batch) { l.Submit(b, c) })
		if rnd.IntN(3) == 0 {
			race(func(*Batch) { h.r.Unregister(one.session) })
		}
		if rnd.IntN(4) > 0 {
			race(func(b *Batch) {
				if ticket, ok := newest(); ok {
					h.r.End(b, ticket, &End{Code: wire.OK})
					h.r.End(b, ticket, &End{Code: wire.OK}) // again: stale
				}
			})
		}
		if rnd.IntN(2) == 0 {
			race(func(b *Batch) { l.Cancel(b, c, life, why) })
		}
		if rnd.IntN(2) == 0 {
			race(func(b *Batch) { h.r.due(b, c, life) })
		}
		if rnd.IntN(3) == 0 {
			unsent := rnd.IntN(2) == 0
			race(func(b *Batch) { // as a session ends
				h.r.Unregister(one.session)
				for _, ticket := range one.slots.Close() {
					h.r.End(b, ticket, &End{Code: wire.ConnectionLost, Unsent: unsent})
				}
			})
		}
		start.Done()
		done.Wait()
		// What is left ends by a cancel that nobody says anything to.
		for o.count() == 0 {
			l.Cancel(&h.b, c, life, why)
			h.r.due(&h.b, c, life)
		}
		h.r.due(&h.b, c, life) // over: it must not touch the call that takes its place
		l.Cancel(&h.b, c, life, why)
		h.r.Unregister(one.session)
		if n := o.count(); n != 1 {
			t.Errorf("%d answers to one call: %v", n, o.got)
			return
		}
		codes[o.got[0].Code].Add(1)
	}
	h.check()
}
