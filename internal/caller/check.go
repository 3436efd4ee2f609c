package caller

import (
	"errors"
	"fmt"
)

// ConsistencyCheck compares what the client counts with what it holds. It may be called at any time.
func (c *Client) ConsistencyCheck() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	onSession := map[*Session]int{}
	held := 0
	for i := range c.table.slots {
		cl := c.table.slots[i].call
		if cl == nil {
			continue
		}
		held++
		onSession[cl.session]++
		if uint32(cl.id) != uint32(i) || cl.queue != nil {
			errs = append(errs, fmt.Errorf("caller: slot %d holds a call with id %#x, queued %v", i, cl.id, cl.queue != nil))
		}
	}
	if held+len(c.table.free) != len(c.table.slots) {
		errs = append(errs, fmt.Errorf("caller: %d slots, of which %d are held and %d free", len(c.table.slots), held, len(c.table.free)))
	}
	for _, s := range c.sessions {
		if s.inFlight != onSession[s] {
			errs = append(errs, fmt.Errorf("caller: %s counts %d calls in flight, %d are", s, s.inFlight, onSession[s]))
		}
		delete(onSession, s)
	}
	if len(onSession) > 0 {
		errs = append(errs, fmt.Errorf("caller: calls are on %d sessions that have ended", len(onSession)))
	}
	of := map[*path]*Session{}
	for _, s := range c.usable {
		if !s.usable || s.leaving {
			errs = append(errs, fmt.Errorf("caller: %s is among those for calls, usable %v, leaving %v", s, s.usable, s.leaving))
		}
		if other := of[s.path]; other != nil {
			errs = append(errs, fmt.Errorf("caller: %s and %s are of one path", s, other))
		}
		of[s.path] = s
	}
	errs = append(errs, c.waiting.check(), c.parked.check())
	if c.parked.first != nil && (c.move == nil || c.move.next != nil) {
		errs = append(errs, errors.New("caller: calls wait for a move that is not under way"))
	}
	open := held + c.waiting.count + c.parked.count
	if open > 0 && c.nextSweep == 0 && !c.closed {
		errs = append(errs, errors.New("caller: calls are open and nobody looks at their deadlines"))
	}
	return errors.Join(errs...)
}

func (w *waiting) check() error {
	count, size := 0, 0
	for cl := w.first; cl != nil; cl = cl.next {
		count++
		size += cl.size()
		if cl.queue != w || cl.next != nil && cl.next.order < cl.order {
			return errors.New("caller: the queue is out of order")
		}
	}
	if count != w.count || size != w.size {
		return fmt.Errorf("caller: the queue counts %d calls of %d bytes, %d of %d are there", w.count, w.size, count, size)
	}
	return nil
}
