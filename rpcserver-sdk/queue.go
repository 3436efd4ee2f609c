package rpcserver

import (
	"sync"
	"time"

	"github.com/twohop/twohop/internal/caller"
)

// idleTime is how long a worker stays that has nothing to do.
const idleTime = 5 * time.Second

// queue holds the tasks that wait for a worker, and the workers. Workers are woken one at a time: whoever gets a task
// while more are waiting wakes the next. So fast handlers are served by few workers, and slow ones by as many as there may
// be.
type queue struct {
	// Static after construction.
	limit       int // tasks that may wait
	concurrency int
	clock       func() time.Duration
	run         func(*task)

	// Guarded by mu.
	mu      sync.Mutex
	ready   list // that may run now, in order
	chains  map[chainKey]*chain
	waiting int // in ready and in chains
	busy    int // workers that run a task
	workers map[*worker]struct{}
	idle    []*worker // the last one slept least
	waking  bool      // a worker has been woken and has not looked yet
	reaper  *time.Timer
	stopped bool
	ended   chan struct{} // closed when stopped and no worker is left
}

// worker is a goroutine that runs tasks.
type worker struct {
	wake  chan struct{} // one slot
	task  *task         // that it runs; guarded by queue.mu
	since time.Duration // when it fell idle; guarded by queue.mu
}

func newQueue(limit, concurrency int, clock func() time.Duration, run func(*task)) *queue {
	return &queue{
		limit: limit, concurrency: concurrency, clock: clock, run: run,
		chains: map[chainKey]*chain{}, workers: map[*worker]struct{}{}, ended: make(chan struct{}),
	}
}

// push adds a task, and reports whether there was room: for what may run at once, and for what may wait behind it.
// Somebody calls wake afterwards. A queue that was stopped takes nothing.
func (q *queue) push(t *task) (room, stopped bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || q.waiting >= q.limit+q.concurrency-q.busy {
		return false, q.stopped
	}
	q.waiting++
	if !q.chainLocked(t) {
		q.ready.push(t)
	}
	return true, false
}

// wake sees to it that somebody takes what is ready.
func (q *queue) wake() {
	q.mu.Lock()
	w, fresh := q.wakeLocked()
	q.mu.Unlock()
	q.start(w, fresh)
}

// wakeLocked returns the worker that is to be started, if one is.
func (q *queue) wakeLocked() (w *worker, fresh bool) {
	if q.ready.first == nil || q.waking {
		return nil, false
	}
	if n := len(q.idle); n > 0 {
		w = q.idle[n-1]
		q.idle = q.idle[:n-1]
	} else {
		if len(q.workers) >= q.concurrency {
			return nil, false
		}
		w, fresh = &worker{wake: make(chan struct{}, 1)}, true
		q.workers[w] = struct{}{}
	}
	q.waking = true
	return w, fresh
}

func (q *queue) start(w *worker, fresh bool) {
	switch {
	case w == nil:
	case fresh:
		go q.work(w)
	default:
		w.wake <- struct{}{}
	}
}

// work is a worker's goroutine.
func (q *queue) work(w *worker) {
	defer q.leave(w) // also when a handler ends the goroutine
	woken := true
	for {
		q.mu.Lock()
		if woken {
			woken, q.waking = false, false
		}
		q.doneLocked(w)
		t := q.ready.first
		if t == nil {
			if !q.restLocked(w) {
				q.mu.Unlock()
				return
			}
			q.mu.Unlock()
			if _, more := <-w.wake; !more {
				return
			}
			woken = true
			continue
		}
		q.ready.remove(t)
		q.waiting--
		w.task = t
		q.busy++
		next, fresh := q.wakeLocked()
		q.mu.Unlock()
		q.start(next, fresh)
		q.run(t)
	}
}

// doneLocked notes that the worker is through with its task.
func (q *queue) doneLocked(w *worker) {
	if t := w.task; t != nil {
		w.task = nil
		q.busy--
		q.unchainLocked(t)
	}
}

// restLocked lets the worker sleep. It reports false if it is to end.
func (q *queue) restLocked(w *worker) bool {
	if q.stopped {
		return false
	}
	w.since = q.clock()
	q.idle = append(q.idle, w)
	if q.reaper == nil {
		q.reaper = time.AfterFunc(idleTime, q.reap)
	}
	return true
}

// reap ends the workers that have slept for idleTime.
func (q *queue) reap() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, n := q.clock(), 0
	for n < len(q.idle) && now-q.idle[n].since >= idleTime {
		close(q.idle[n].wake)
		n++
	}
	q.idle = append(q.idle[:0], q.idle[n:]...)
	if len(q.idle) == 0 || q.stopped {
		q.reaper = nil
		return
	}
	q.reaper = time.AfterFunc(max(q.idle[0].since+idleTime-now, time.Millisecond), q.reap)
}

// leave takes a worker out.
func (q *queue) leave(w *worker) {
	q.mu.Lock()
	q.doneLocked(w)
	delete(q.workers, w)
	next, fresh := q.wakeLocked()
	if q.stopped && len(q.workers) == 0 {
		close(q.ended)
	}
	q.mu.Unlock()
	q.start(next, fresh)
}

// stop lets the workers end when they are through, and returns the tasks that wait: nobody runs them any more. It is called
// once.
func (q *queue) stop() (left []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	left = q.removeAllLocked(nil)
	if q.reaper != nil {
		q.reaper.Stop()
	}
	for _, w := range q.idle {
		close(w.wake)
	}
	q.idle = nil
	if len(q.workers) == 0 {
		close(q.ended)
	}
	return left
}

// find returns the task of a request, and removes it if it waits.
func (q *queue) find(s *caller.Session, id uint64) (t *task, waited bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for t := range q.allLocked {
		if t.session == s && t.callID == id {
			q.removeLocked(t)
			return t, true
		}
	}
	for w := range q.workers {
		if t := w.task; t != nil && t.session == s && t.callID == id {
			return t, false
		}
	}
	return nil, false
}

// remove takes out the tasks of a session that wait.
func (q *queue) remove(s *caller.Session) []*task {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removeAllLocked(s)
}

// removeAllLocked takes out the tasks of a session that wait, or all for nil.
func (q *queue) removeAllLocked(s *caller.Session) (removed []*task) {
	for t := range q.allLocked {
		if s == nil || t.session == s {
			removed = append(removed, t)
		}
	}
	for _, t := range removed {
		q.removeLocked(t)
	}
	return removed
}

// running returns the tasks that are being run.
func (q *queue) running() (tasks []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := range q.workers {
		if w.task != nil {
			tasks = append(tasks, w.task)
		}
	}
	return tasks
}

// load returns how many tasks wait and run, and how long the oldest has been waiting.
func (q *queue) load(now time.Duration) (waiting, running int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.ready.first; t != nil {
		oldest = now - t.queued
	}
	for w := range q.workers {
		if w.task != nil {
			running++
		}
	}
	return q.waiting, running, oldest
}
