package frameconn

import (
	"context"
	"sync/atomic"
	"time"
)

// Clock is a process's coarse monotonic clock. It also notices when the process did not run (a stop signal, a starved
// machine, a suspended guest): what arrived meanwhile is older than it looks. All methods may be called concurrently.
type Clock struct {
	// Static after construction.
	start time.Time

	due      atomic.Int64 // when the next tick is expected, ns since start; 0 while nobody ticks
	stallEnd atomic.Int64 // end of the last stall that a tick noticed
	stallLen atomic.Int64 // its length
}

const (
	// stallSlack is how late a tick may be before the process counts as not having run. Below it lies the scheduler.
	stallSlack = 5 * time.Millisecond
	// catchUp is how long after a stall a reader may come to what arrived in it: all of them wake at once.
	catchUp = 200 * time.Millisecond
)

// NewClock returns a clock that starts at 1 ns. It notices stalls only while Run runs.
func NewClock() *Clock { return &Clock{start: time.Now().Add(-1)} }

// Now returns the time since the clock's start.
func (c *Clock) Now() time.Duration { return time.Since(c.start) }

// Run calls tick until ctx is done; tick returns when it wants to be called next, at most 20 ms later whatever it
// says. It is the loop that a process's timing wheel hangs on.
func (c *Clock) Run(ctx context.Context, tick func(now time.Duration) (next time.Duration)) {
	const longest = 20 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer c.due.Store(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := c.Now()
		if due := time.Duration(c.due.Load()); due != 0 && now-due > stallSlack {
			c.stallLen.Store(int64(now - due))
			c.stallEnd.Store(int64(now))
		}
		c.due.Store(0) // a slow tick is no stall
		wait := min(max(tick(now)-now, time.Millisecond), longest)
		now = c.Now()
		c.due.Store(int64(now + wait))
		timer.Reset(wait)
	}
}

// Stalled returns for how long the process did not run since the given time, as far as the clock knows: the last
// noticed stall, or the one that is ending now and whose tick has not come yet.
func (c *Clock) Stalled(since, now time.Duration) time.Duration {
	stalled := time.Duration(0)
	// due first: a tick that notices a stall stores its end before it moves due, so one of the two shows it.
	if due := time.Duration(c.due.Load()); due != 0 && now-due > stallSlack {
		stalled = min(now-due, now-since)
	}
	if end := time.Duration(c.stallEnd.Load()); end > since {
		stalled = max(stalled, min(time.Duration(c.stallLen.Load()), now-since))
	}
	return stalled
}

// unheard returns how far back what is read now may have come although the reader was waiting for it since the given
// time: to the beginning of a stall that has just ended. If one ended longer ago, the reader would have had it before.
func (c *Clock) unheard(since, now time.Duration) time.Duration {
	back := time.Duration(0)
	if due := time.Duration(c.due.Load()); due != 0 && now-due > stallSlack {
		back = now - due
	}
	if end := time.Duration(c.stallEnd.Load()); end > since && now-end < catchUp {
		back = max(back, now-end+time.Duration(c.stallLen.Load()))
	}
	return min(back, now-since)
}
