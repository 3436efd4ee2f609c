package caller

import (
	"bytes"
	"errors"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
)

// start gives a new call its first place: on a session, or in the queue. An error means that it has none.
func (c *Client) start(cl *call, now time.Duration) *Error {
	c.mu.Lock()
	c.starts++
	cl.order = c.starts
	s, err := c.placeNewLocked(cl, now)
	c.mu.Unlock()
	if err != nil || s == nil {
		return err
	}
	f := cl.frame(now)
	wake, sendErr := s.conn.Send(frameconn.Requests, &f, cl.late())
	s.sending.Done()
	if wake {
		s.conn.FlushSoon()
	}
	if sendErr == nil {
		return nil
	}
	return c.refused(cl, s, sendErr)
}

// placeNewLocked returns the session that the caller is to send the call on, nil if it waits.
func (c *Client) placeNewLocked(cl *call, now time.Duration) (*Session, *Error) {
	switch {
	case c.closed:
		return nil, closedError()
	case c.refusal != nil:
		return nil, c.refusal.again()
	}
	s := c.usableLocked(cl)
	if s == nil || c.waiting.first != nil || c.flushing {
		if c.waiting.full() {
			return nil, fail(CodeOverloaded, "%d calls of %d bytes wait for a connection", c.waiting.count, c.waiting.size)
		}
		c.waitLocked(cl)
		return nil, nil
	}
	if err := s.fits(cl); err != nil {
		return nil, err
	}
	if !cl.oneWay && s.inFlight >= s.maxInFlight() {
		return nil, fail(CodeOverloaded, "%d calls are in flight, as many as the node takes", s.inFlight)
	}
	c.placeLocked(cl, s, now)
	return s, nil
}

// usableLocked returns the session that a call goes to, or nil.
func (c *Client) usableLocked(cl *call) *Session {
	switch {
	case cl.via != nil && cl.via.usable:
		return cl.via
	case len(c.usable) == 0:
		return nil
	}
	return c.usable[0]
}

// waitLocked puts the call into the queue. A one-way call outlives the call of OneWay there, and keeps its own body.
func (c *Client) waitLocked(cl *call) {
	if cl.oneWay && !cl.kept {
		cl.kept, cl.body = true, bytes.Clone(cl.body)
	}
	cl.due = cl.deadline
	c.waiting.push(cl)
	c.armLocked(cl.due)
}

// graceTime is how long after its deadline a call waits for what nodes say about it.
const graceTime = 200 * time.Millisecond

// placeLocked gives the call a slot and an id on s. The caller sends it and then says s.sending.Done.
func (c *Client) placeLocked(cl *call, s *Session, now time.Duration) {
	s.sending.Add(1)
	cl.session = s
	cl.attempts++
	if cl.attempts == 1 {
		cl.firstSent = now
	}
	if cl.oneWay {
		return
	}
	cl.due = cl.deadline + graceTime - 2*sweepStep
	cl.id = c.table.put(cl)
	s.inFlight++
	c.armLocked(cl.due)
}

// take takes the call with an id on s out of its slot, or returns nil if there is none: it has ended, or moved.
func (c *Client) take(s *Session, id uint64) *call {
	c.mu.Lock()
	cl := c.takeLocked(s, id)
	c.mu.Unlock()
	return cl
}

func (c *Client) takeLocked(s *Session, id uint64) *call {
	slot := c.table.find(id)
	if slot == nil || slot.call.session != s {
		return nil
	}
	cl := slot.call
	c.table.clear(id)
	s.inFlight--
	if s.inFlight == 0 && s.leaving {
		s.signalIdle()
	}
	return cl
}

// refused is what a call becomes that its connection did not take: nothing of it was sent. A call that somebody else has
// taken meanwhile is nobody's business here.
func (c *Client) refused(cl *call, s *Session, sendErr error) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !cl.oneWay && c.takeLocked(s, cl.id) == nil {
		return nil
	}
	cl.attempts--
	if errors.Is(sendErr, frameconn.ErrFull) {
		return fail(CodeOverloaded, "%s does not read fast enough", s)
	}
	switch {
	case c.closed:
		return closedError()
	case c.refusal != nil:
		return c.refusal.again()
	}
	cl.id = 0
	c.waitLocked(cl)
	c.kickLocked()
	return nil
}

// flush sends what waits, in order. It reports whether something is left although a session is usable: then it is to be
// called again a little later.
func (c *Client) flush() (again bool) {
	again, woken := c.queueWaiting()
	flushAll(woken)
	return again
}

// queueWaiting queues what waits on the sessions, and returns those that are to be flushed.
func (c *Client) queueWaiting() (again bool, woken []*Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flushing {
		return true, nil
	}
	c.flushing = true
	defer func() { c.flushing = false }()
	for !again && c.waiting.first != nil {
		cl := c.waiting.first
		s := c.usableLocked(cl)
		if s == nil {
			return false, woken
		}
		if !cl.oneWay && s.inFlight >= s.maxInFlight() {
			return true, woken
		}
		c.waiting.remove(cl)
		now, err := c.clock.Now(), s.fits(cl)
		if err == nil {
			c.placeLocked(cl, s, now)
			cl.parts.Add(1)
		}
		c.mu.Unlock()
		wake := false
		if err != nil {
			cl.end(err)
		} else {
			again, wake = c.sendWaiting(cl, s, now)
		}
		if wake {
			woken = append(woken, s)
		}
		c.mu.Lock()
	}
	return again, woken
}

// sendWaiting queues one call that has been placed, and reports whether the session's queue is full, and whether the session is
// to be flushed.
func (c *Client) sendWaiting(cl *call, s *Session, now time.Duration) (full, wake bool) {
	f := cl.frame(now)
	wake, err := s.conn.Send(frameconn.Requests, &f, cl.late())
	s.sending.Done()
	if cl.oneWay && err == nil {
		cl.end(nil)
		cl.release()
		return false, wake
	}
	c.mu.Lock()
	slot := c.table.find(cl.id)
	mine := cl.oneWay || slot != nil && slot.call == cl
	id, cancelled, closed := cl.id, cl.cancelled.Load(), c.closed
	if mine && err != nil {
		if !cl.oneWay {
			c.takeLocked(s, id)
		}
		cl.attempts--
		cl.id = 0
		full = errors.Is(err, frameconn.ErrFull)
		if !cancelled && !closed {
			c.waitLocked(cl)
		}
	}
	c.mu.Unlock()
	switch {
	case mine && err != nil && (cancelled || closed):
		cl.end(closedOr(closed, cl.spent()))
	case mine && err == nil && cancelled:
		if c.cancelOn(s, id) {
			s.conn.Flush()
		}
	}
	cl.release()
	return full, wake
}

func closedError() *Error { return fail(CodeCancelled, "").because(ErrClosed) }

func closedOr(closed bool, err *Error) *Error {
	if closed {
		return closedError()
	}
	return err
}
