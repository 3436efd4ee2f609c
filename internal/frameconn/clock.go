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

// stallSlack is how late a tick may be before the process counts as not having run. Below it lies the scheduler.
const stallSlack = 5 * time.Millisecond

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
	if end := time.Duration(c.stallEnd.Load()); end > since {
		stalled = min(time.Duration(c.stallLen.Load()), now-since)
	}
	if due := time.Duration(c.due.Load()); due != 0 && now-due > stallSlack {
		stalled = max(stalled, min(now-due, now-since))
	}
	return stalled
}
