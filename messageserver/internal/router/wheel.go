package router

import (
	"sync"
	"time"
)

// wheelBuckets × wheelTick is one turn of the wheel: what is due later stays in its bucket for further turns (a hashed
// wheel, scheme 6 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987).
const (
	wheelBuckets = 4096
	wheelTick    = time.Millisecond
	wheelShards  = 16
)

// timer is a call's place in the wheel. All fields but shard are guarded by the lock of its shard.
type timer struct {
	shard      uint8 // static after construction
	call       *Call
	life       uint64 // of the call that it was armed for
	at         time.Duration
	prev, next *timer // nil while it is not in a bucket
}

// wheel tells when calls are due. Safe for concurrent use; advance by one goroutine.
type wheel struct {
	shards [wheelShards]wheelShard
}

type wheelShard struct {
	// Guarded by mu.
	mu      sync.Mutex
	tick    int64                // the last one that was advanced over
	buckets [wheelBuckets]*timer // sentinels of rings, made when first used
	armed   int

	due []dueTimer // owned by advance
}

// dueTimer is a timer that fired, with the life of the call that it was armed for.
type dueTimer struct {
	call *Call
	life uint64
}

// arm sets the timer to fire at the given time, at most a tick late. A life that has been disarmed is over: arming it
// again does nothing, so that who comes late cannot set the timer of the call that took its place.
func (w *wheel) arm(t *timer, life uint64, at time.Duration) {
	s := &w.shards[t.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.life > life {
		return
	}
	t.life = life
	s.unlinkLocked(t)
	t.at = at
	s.linkLocked(t)
}

// disarm ends a life.
func (w *wheel) disarm(t *timer, life uint64) {
	s := &w.shards[t.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	t.life = life + 1
	s.unlinkLocked(t)
}

func (s *wheelShard) linkLocked(t *timer) {
	// Rounded up: never early. Never a bucket that has been passed in this turn.
	tick := max(int64((t.at+wheelTick-1)/wheelTick), s.tick+1)
	head := s.buckets[tick%wheelBuckets]
	if head == nil {
		head = new(timer)
		head.prev, head.next = head, head
		s.buckets[tick%wheelBuckets] = head
	}
	t.prev, t.next = head.prev, head
	t.prev.next, t.next.prev = t, t
	s.armed++
}

func (s *wheelShard) unlinkLocked(t *timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
	s.armed--
}

// advance calls fire for every timer that is due at now, without a lock held. It reports whether any timer is left.
func (w *wheel) advance(now time.Duration, fire func(c *Call, life uint64)) (armed bool) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		to := int64(now / wheelTick)
		from := max(s.tick+1, to-wheelBuckets+1) // one turn passes every bucket
		if s.armed == 0 {
			from = to + 1
		}
		for tick := from; tick <= to; tick++ {
			s.collectLocked(tick%wheelBuckets, now)
		}
		s.tick = max(s.tick, to)
		armed = armed || s.armed > 0
		s.mu.Unlock()
		for j, d := range s.due {
			fire(d.call, d.life)
			s.due[j] = dueTimer{}
		}
		s.due = s.due[:0]
	}
	return armed
}

func (s *wheelShard) collectLocked(bucket int64, now time.Duration) {
	head := s.buckets[bucket]
	if head == nil {
		return
	}
	for t := head.next; t != head; {
		next := t.next
		if t.at <= now {
			s.unlinkLocked(t)
			s.due = append(s.due, dueTimer{t.call, t.life})
		}
		t = next
	}
}

// len returns how many timers are armed.
func (w *wheel) len() int {
	n := 0
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += s.armed
		s.mu.Unlock()
	}
	return n
}
