package frameconn

import (
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

const (
	staleQueue     = time.Second // a queue whose oldest frame is older takes no requests
	controlReserve = 64 << 10    // bytes of control frames that a full queue still takes
)

// Send queues one message and copies it. wake tells the caller to call Flush when its batch is complete; otherwise
// somebody else will: the writer that runs, or the connection's reader at the end of its batch. The error is ErrFull, or the cause of the end, or TOO_LARGE for what no connection takes. A
// request's budget is lowered by the time that it waits here; runLate keeps it although that spends it.
//
// Frames of one lane leave in order, except that a REQUEST or RESPONSE over wire.PartSize is sent in parts, which
// later ones overtake. All other kinds are sent whole: the other side's largest frame bounds them.
func (c *Conn) Send(l Lane, f *wire.Frame, runLate bool) (wake bool, err error) {
	size := f.Size()
	var large *outgoing
	if size > wire.PartSize {
		if large, err = c.prepareLarge(l, f, runLate); err != nil {
			return false, err
		}
	}
	c.mu.Lock()
	now := c.timeLocked(l)
	if err = c.refusalLocked(l, now); err == nil {
		if large != nil {
			size = len(large.data)
			c.lanes[l].large = append(c.lanes[l].large, large)
		} else {
			ch := c.lanes[l].tail(now, size)
			ch.append(f)
			if l == Requests {
				ch.note(f, now, runLate)
			}
		}
		c.addLocked(l, size)
		wake = c.wakeLocked(now)
	}
	c.mu.Unlock()
	if err != nil {
		c.refused(l, err)
	}
	return wake, err
}

// timeLocked returns the time for a message that comes to a lane. To read a clock for each costs more than to copy a small one:
// what is about to be written in one piece with others counts as old as the first of them. Not so requests, whose budgets their
// own age is taken from, and not what comes while the reader hands over, which may take long.
func (c *Conn) timeLocked(l Lane) time.Duration {
	if waiting := c.lanes[l].chunks; l != Requests && c.writer == wanted && !c.batch && len(waiting) > 0 {
		return waiting[len(waiting)-1].at
	}
	return c.clock.Now()
}

// prepareLarge copies a message that goes in parts, before the lock is taken, and not for nothing if there is no room.
func (c *Conn) prepareLarge(l Lane, f *wire.Frame, runLate bool) (*outgoing, error) {
	switch {
	case len(f.Header) > wire.PartSize/2:
		return nil, tooLarge(len(f.Header), wire.PartSize/2)
	case f.Size() > wire.MaxJoining:
		return nil, tooLarge(f.Size(), wire.MaxJoining)
	case !inParts(f.Kind):
		return nil, nil
	}
	now := c.clock.Now()
	c.mu.Lock()
	err := c.refusalLocked(l, now)
	c.mu.Unlock()
	if err != nil {
		c.refused(l, err)
		return nil, err
	}
	return newOutgoing(f, now, runLate), nil
}

// refusalLocked returns why the lane takes no message now, or nil.
func (c *Conn) refusalLocked(l Lane, now time.Duration) error {
	if c.closed || c.flushing {
		return c.cause
	}
	var full bool
	switch l {
	case Control:
		full = c.queued >= c.limits.Queue+controlReserve
	case Answers:
		full = c.queued >= c.limits.Queue
	default:
		full = c.queued >= c.limits.Queue || c.requests >= c.limits.Queue/2 || now-c.oldestLocked(now) >= staleQueue
	}
	if full {
		return ErrFull
	}
	return nil
}

// refused counts, and gives up a pure caller that does not take its answers.
func (c *Conn) refused(l Lane, err error) {
	if !errors.Is(err, ErrFull) {
		return
	}
	c.stats.full.Add(1)
	c.mu.Lock()
	slow := l == Answers && c.limits.PauseReading
	c.mu.Unlock()
	if slow {
		c.Close(ErrSlow)
	}
}

// oldestLocked returns since when the oldest frame has been waiting, now if none is. Large messages do not count: what
// waits behind them overtakes them.
func (c *Conn) oldestLocked(now time.Duration) time.Duration {
	oldest := now
	if c.hands.taken {
		oldest = c.hands.at
	}
	for i := range c.lanes {
		if waiting := c.lanes[i].chunks; len(waiting) > 0 {
			oldest = min(oldest, waiting[0].at)
		}
	}
	return oldest
}

// addLocked notes that bytes came to the queue, or with a negative n that they left it.
func (c *Conn) addLocked(l Lane, n int) {
	c.queued += n
	if l == Requests {
		c.requests += n
	}
}

// wakeLocked reports whether the caller has to see to it that the writer starts. Who comes to a batch that takes long does, for
// all that was queued in it.
func (c *Conn) wakeLocked(now time.Duration) bool {
	if c.writer == writing || c.writer == unstarted {
		return false
	}
	first := c.writer == idle
	c.writer = wanted
	if c.batch && now-c.batchAt >= fresh {
		c.batch = false
		return true
	}
	return first && !c.batch
}

// Flush writes what is queued, as far as the kernel takes it at once; a goroutine writes the rest. It is for whom Send or
// Cancel told to wake, at the end of a batch; for others it does nothing. Handler.Spent may be called by it.
func (c *Conn) Flush() {
	if c.becomeWriter() {
		c.writeNow()
	}
}

// FlushSoon is Flush for who has one message of many: it lets other goroutines add theirs first.
func (c *Conn) FlushSoon() {
	if c.becomeWriter() {
		runtime.Gosched()
		c.writeNow()
	}
}

// becomeWriter makes the caller the writer if one is wanted and the reader will not see to it.
func (c *Conn) becomeWriter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer != wanted || c.batch || c.closed {
		return false
	}
	c.writer = writing
	return true
}

// Cancel ends a request early. A request that is still queued is taken back: it was not sent, and nothing is. Otherwise
// a CANCEL follows it in its lane; wake is as for Send. After the end it does nothing: see EachUnsent.
func (c *Conn) Cancel(callID uint64, why wire.Code) (takenBack, wake bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.flushing {
		return false, false
	}
	l := &c.lanes[Requests]
	if ch, r := l.find(callID); r != nil {
		ch.dropped, r.dropped = true, true
		return true, false
	}
	for i, o := range l.large {
		if o.callID != callID {
			continue
		}
		if o.started {
			o.cancelled, o.cancel = true, why
			return false, false
		}
		c.addLocked(Requests, -len(o.data))
		l.large = slices.Delete(l.large, i, i+1)
		return true, false
	}
	c.appendCancelLocked(callID, why)
	return false, c.wakeLocked(c.clock.Now())
}

func (c *Conn) appendCancelLocked(callID uint64, why wire.Code) {
	f := wire.Frame{Kind: wire.KindCancel, CallID: callID, Status: why}
	now := c.clock.Now()
	ch := c.lanes[Requests].tail(now, f.Size())
	ch.append(&f)
	ch.note(&f, now, false)
	c.addLocked(Requests, f.Size())
}
