package caller

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// sweepStep is how coarse deadlines are: calls that are due within it end together.
const sweepStep = 5 * time.Millisecond

// armLocked sees to it that the sweep runs when a call is due. While calls that start later are due later, as most are, the
// timer stays as it is.
func (c *Client) armLocked(due time.Duration) {
	if c.nextSweep != 0 && c.nextSweep <= due+sweepStep {
		return
	}
	wait := max(due-c.clock.Now(), sweepStep)
	c.nextSweep = c.clock.Now() + wait
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(wait, c.sweep)
	} else {
		c.sweeper.Reset(wait)
	}
}

// sweep ends the calls that are due, and runs again when the next one is.
func (c *Client) sweep() {
	var spent, late []*call
	now := c.clock.Now()
	c.mu.Lock()
	c.nextSweep = 0
	next := time.Duration(0)
	note := func(due time.Duration) {
		if next == 0 || due < next {
			next = due
		}
	}
	for cl := c.waiting.first; cl != nil; {
		following := cl.next
		if cl.due <= now {
			c.waiting.remove(cl)
			spent = append(spent, cl)
		} else {
			note(cl.due)
		}
		cl = following
	}
	var vain []*call
	for cl := c.parked.first; cl != nil; {
		following := cl.next
		if cl.due <= now {
			c.parked.remove(cl)
			vain = append(vain, cl)
		} else {
			note(cl.due)
		}
		cl = following
	}
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.call == nil {
			continue
		}
		if s.due <= now {
			cl := s.call
			c.takeLocked(cl.session, cl.id)
			late = append(late, cl)
		} else {
			note(s.due)
		}
	}
	if next != 0 {
		c.armLocked(next)
	}
	c.mu.Unlock()
	for _, cl := range spent {
		if cl.oneWay {
			c.stats.oneWayDropped.Add(1)
		}
		err := cl.spent()
		if state, open := c.outlook(); !open {
			err.Message += ", and there was no session: " + state.String()
		}
		cl.end(err)
	}
	for _, cl := range vain {
		cl.end(cl.answered)
	}
	var woken []*Session
	for _, cl := range late {
		why := wire.Expired
		if cl.cancelled.Load() {
			why = wire.Cancelled
		}
		s := cl.session
		taken, wake := c.takeBack(cl, why)
		if wake {
			woken = append(woken, s)
		}
		if taken {
			cl.end(cl.spent())
		} else {
			cl.end(cl.lateEnd())
		}
	}
	flushAll(woken)
}

// flushAll has sessions write what was queued.
func flushAll(sessions []*Session) {
	for _, s := range sessions {
		s.conn.Flush()
	}
}

// takeBack cancels what is left of a call that has been taken out of its slot, and reports whether it never left, and whether the
// caller is to flush its session.
func (c *Client) takeBack(cl *call, why wire.Code) (taken, wake bool) {
	taken, wake = cl.session.conn.Cancel(cl.id, why)
	if taken {
		cl.attempts--
	}
	return taken, wake
}

// giveUp ends a call early: at once if it never left, else with what the nodes say about it, or CANCELLED_RUNNING
// after graceTime. For the goroutine that waits for its end.
func (c *Client) giveUp(cl *call) {
	c.mu.Lock()
	cl.cancelled.Store(true)
	if cl.queue != nil {
		cl.queue.remove(cl)
		c.mu.Unlock()
		cl.end(cl.spent())
		return
	}
	s, id := cl.session, cl.id
	var slot *slot
	if s != nil {
		slot = c.table.find(id)
	}
	if slot == nil || slot.call != cl {
		c.mu.Unlock()
		return // it is ending, or about to be sent: who does that looks at cancelled
	}
	slot.due = min(slot.due, c.clock.Now()+graceTime-2*sweepStep)
	c.armLocked(slot.due)
	borrowed := cl.parts.Load() > 1
	c.mu.Unlock()
	if !borrowed && c.cancelOn(s, id) {
		s.conn.Flush()
	}
}

// cancelOn tells a session's node that a call is not wanted any more. wake is as for Conn.Send.
func (c *Client) cancelOn(s *Session, id uint64) (wake bool) {
	taken, wake := s.conn.Cancel(id, wire.Cancelled)
	if taken {
		if cl := c.take(s, id); cl != nil {
			cl.attempts--
			cl.end(cl.spent())
		}
	}
	return wake
}
