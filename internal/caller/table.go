package caller

import (
	"math/rand/v2"
	"time"
)

// table holds the calls that are on a session, under the id that they have there: generation‖slot. A slot that is used
// again has another generation, so that the answer to its earlier call finds nothing. Guarded by Client.mu.
type table struct {
	slots []slot
	free  []uint32
	base  uint32 // generation of new slots, random
}

type slot struct {
	call       *call
	due        time.Duration
	generation uint32
}

func newTable() table { return table{base: rand.Uint32()} } //nolint:gosec // an id, not a secret

// put gives the call an id.
func (t *table) put(cl *call) (id uint64) {
	var i uint32
	if n := len(t.free); n > 0 {
		i = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot{generation: t.base})
	}
	s := &t.slots[i]
	s.generation++
	if s.generation == 0 {
		s.generation = 1 // an id is never 0
	}
	s.call, s.due = cl, cl.due
	return uint64(s.generation)<<32 | uint64(i)
}

// find returns the slot of an id, or nil.
func (t *table) find(id uint64) *slot {
	i := uint32(id)
	if int(i) >= len(t.slots) {
		return nil
	}
	s := &t.slots[i]
	if s.call == nil || s.generation != uint32(id>>32) {
		return nil
	}
	return s
}

// clear empties the slot of an id that find has found.
func (t *table) clear(id uint64) {
	t.slots[uint32(id)].call = nil
	t.free = append(t.free, uint32(id))
}

// waiting is an ordered queue of calls that wait for a session. Guarded by Client.mu.
type waiting struct {
	first, last *call
	count, size int
}

// push puts a call where its order says: at the end, mostly.
func (w *waiting) push(cl *call) {
	after := w.last
	for after != nil && after.order > cl.order {
		after = after.prev
	}
	cl.prev, cl.queue = after, w
	if after == nil {
		cl.next, w.first = w.first, cl
	} else {
		cl.next, after.next = after.next, cl
	}
	if cl.next == nil {
		w.last = cl
	} else {
		cl.next.prev = cl
	}
	w.count++
	w.size += cl.size()
}

// remove takes a call out that is there.
func (w *waiting) remove(cl *call) {
	if cl.prev == nil {
		w.first = cl.next
	} else {
		cl.prev.next = cl.next
	}
	if cl.next == nil {
		w.last = cl.prev
	} else {
		cl.next.prev = cl.prev
	}
	cl.next, cl.prev, cl.queue = nil, nil, nil
	w.count--
	w.size -= cl.size()
}

// full reports whether no more calls may wait. One more is taken while there is room, however large it is.
func (w *waiting) full() bool { return w.count >= maxWaiting || w.size >= maxWaitingSize }
