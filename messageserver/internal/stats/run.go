package stats

import (
	"context"
	"sync"
	"time"
)

// Run counts seconds and minutes until ctx is done, and writes what there is then. It is called once. It returns nil: what
// fails is told by Troubles.
func (b *Books) Run(ctx context.Context) error {
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		for {
			select {
			case <-b.wake:
				b.settle()
			case <-done:
				return
			}
		}
	})
	b.count(ctx)
	close(done)
	writer.Wait()
	now := b.opts.Now()
	b.tick(now, b.opts.Wall())
	b.close(now, b.minute)
	b.settle()
	b.rollups.close()
	return nil
}

// Close gives the file back. Run does so at its end; it is for Books that do not run. It may be called twice.
func (b *Books) Close() { b.rollups.close() }

// count ticks right after each full second of the wall clock: a minute ends when it ends.
func (b *Books) count(ctx context.Context) {
	wall := b.opts.Wall()
	timer := time.NewTimer(wall.Truncate(time.Second).Add(time.Second).Sub(wall))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if b.tick(b.opts.Now(), b.opts.Wall()) {
			select {
			case b.wake <- struct{}{}:
			default: // it is awake, and looks again
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tick counts a second, or as many as have passed, and reports whether a minute was over.
func (b *Books) tick(now time.Duration, wall time.Time) bool {
	b.sample(now)
	minute := minuteOf(wall)
	if minute.Equal(b.runningMinute()) {
		return false
	}
	b.close(now, minute)
	return true
}

func (b *Books) runningMinute() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.minute
}

// sample reads what has entered.
func (b *Books) sample(now time.Duration) {
	b.lock(now)
	defer b.mu.Unlock()
	seconds := int((now - b.sampled + time.Second/2) / time.Second)
	if seconds < 1 {
		return
	}
	b.sampled = now
	b.second += int64(seconds)
	for _, s := range b.list {
		gained := s.sample(now, b.second, seconds)
		if gained == 0 {
			continue
		}
		b.countCallerLocked(s.caller, gained)
	}
}

// close ends the minute that is running and begins the next one. A wall clock that was set ends it, too: early, or late. Only
// Run calls it.
func (b *Books) close(now time.Duration, next time.Time) {
	var reported []HandlerCounts
	if b.opts.Handlers != nil {
		reported = b.opts.Handlers()
	}
	over, methods, idle := b.take(now, next, reported)
	b.rollups.push(over)
	b.judge.push(over.minute, methods)
	gone := b.forget(idle)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropLocked(gone)
}

// take takes what the minute has counted: by subject, and by method. The minutes of a process are numbered in the order of their
// ends, under the lock: who has seen a number in the file finds that minute in memory afterwards. It returns the subjects that may be dropped, too.
func (b *Books) take(now time.Duration, next time.Time, reported []HandlerCounts) (over rollup, methods map[[2]string]*tally, idle []*subject) {
	b.lock(now)
	defer b.mu.Unlock()
	methods = make(map[[2]string]*tally)
	records := make([]record, 0, len(b.list))
	var scratch, all tally
	b.minutes++
	slot := b.minutes % ring
	b.began[slot] = b.minute
	overflowing := false
	for _, s := range b.list {
		gained := s.take(&scratch)
		s.minutes[slot] = 0
		if gained == nil {
			continue
		}
		s.minutes[slot] = uint32(min(gained.entered, 1<<32-1))
		records = append(records, record{s.name, gained})
		key := [2]string{s.name.module, s.name.method}
		if methods[key] == nil {
			methods[key] = new(tally)
		}
		methods[key].add(gained)
		all.add(gained)
		overflowing = overflowing || s.other
	}
	b.closed = b.closed.plus(all.sums())
	if b.opts.Handlers != nil {
		b.handlers.add(now, reported, methods)
	}
	b.replaceCallersLocked()
	b.overflowLocked(overflowing)
	over = rollup{minute: b.minute, number: uint64(b.minutes), records: records}
	if next.Before(b.minute) { // the clock was set back: minutes come again that memory may have no more
		b.whole = later(b.whole, b.minute.Add(time.Minute))
	}
	b.lastSpan, b.closedAt, b.minute = now-b.closedAt, now, next
	return over, methods, b.idleLocked(now)
}

// overflowLocked remembers since when calls are counted as Other's. It is over after an hour without one.
func (b *Books) overflowLocked(overflowing bool) {
	switch {
	case overflowing && b.full.IsZero():
		b.full, b.lastFull = b.minute, b.minutes
		b.opts.Log.Warn("stats_overflow", "subjects", b.opts.MaxCallers)
	case overflowing:
		b.lastFull = b.minutes
	case !b.full.IsZero() && b.minutes-b.lastFull >= ring:
		b.full = time.Time{}
	}
}
