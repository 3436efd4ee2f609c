package caller

import (
	"context"
	"errors"
	"slices"
)

// A move is how a caller comes to a node that a NO_ROUTE named: the next session is opened beside the one that is there, which
// takes calls until then. Only the calls that want to go elsewhere wait for it, parked; they end as they were answered when it
// does not come about. An address where that failed is not tried again for vainTime, unless a node says anew that it is there.

// move is the search for a session beside another one. There is one at a time.
type move struct {
	// Static after construction.
	from  *Session
	nodes []string // that it may lead to
	stop  context.CancelFunc
	over  chan struct{} // closed at its end

	// Guarded by Client.mu.
	next *Session // what was opened
}

// route says where a call may go that a node had no route for.
type route uint8

const (
	routeNone  route = iota
	routeNow         // a session is there, or on its way whatever the call wants
	routeLater       // a move is under way
)

// elsewhereLocked sees to it that a call goes to another node than that of s, which drains. It reports whether there is one.
func (c *Client) elsewhereLocked(cl *call, s *Session) bool {
	switch {
	case c.takeOtherLocked(cl, s, nil):
		return true
	case c.closed || c.stopping:
		return false
	case s.leaving:
		return true // the next session is on its way
	case c.opts.Server != nil:
		return false // a server stays where it is registered
	}
	others := slices.DeleteFunc(c.knownLocked(), func(address string) bool {
		return address == s.address || c.nodeLocked(address) == s.node
	})
	if len(others) == 0 {
		return false
	}
	if len(s.path.hints) == 0 {
		s.path.hintLocked(others)
	}
	c.leaveLocked(s)
	return true
}

// takeOtherLocked has a call go over another session than s, to one of these nodes, or to any for nil. It reports whether there
// is one.
func (c *Client) takeOtherLocked(cl *call, s *Session, nodes []string) bool {
	for i, other := range c.usable {
		if other != s && (nodes == nil || slices.Contains(nodes, other.node)) {
			c.usable[0], c.usable[i] = other, c.usable[0]
			cl.via = other // whoever else moves the others meanwhile
			return true
		}
	}
	return false
}

// routeLocked sees to it that a call goes to one of the nodes that the node of s says are worth trying.
func (c *Client) routeLocked(cl *call, s *Session, try []string) route {
	switch {
	case len(try) == 0:
		return routeNone
	case c.takeOtherLocked(cl, s, try):
		return routeNow
	case c.closed || c.stopping:
		return routeNone
	case s.leaving:
		return routeNow // the next session is on its way
	case c.opts.Server != nil || c.parked.full():
		return routeNone
	case c.move != nil:
		worth := func(node string) bool { return slices.Contains(c.move.nodes, node) }
		if c.move.next == nil && slices.ContainsFunc(try, worth) {
			return routeLater
		}
		return routeNone
	}
	now := c.clock.Now()
	if c.addresses.everMoved && now-c.addresses.moved < movesAtLeast {
		return routeNone
	}
	var addresses []string
	for _, node := range try {
		if node != s.node {
			addresses = append(addresses, c.addressesLocked(node)...)
		}
	}
	addresses = slices.DeleteFunc(addresses, func(a string) bool {
		return c.addresses.vain[a] > now || c.addresses.rests[a] > now || c.takenLocked(s.path, a)
	})
	if len(addresses) == 0 {
		return routeNone
	}
	ctx, stop := context.WithCancel(c.ctx)
	c.move = &move{from: s, nodes: try, stop: stop, over: make(chan struct{})}
	c.running.Add(1)
	go c.search(ctx, c.move, addresses)
	return routeLater
}

// parkLocked has a call wait for the move. answered is how it ends if that does not come about.
func (c *Client) parkLocked(cl *call, answered *Error) {
	cl.answered = answered
	cl.due = cl.deadline
	c.parked.push(cl)
	c.armLocked(cl.due)
}

// unparkLocked has the calls that wait for the move wait for a session instead: via, or any for nil.
func (c *Client) unparkLocked(via *Session) {
	for cl := c.parked.first; cl != nil; cl = c.parked.first {
		c.parked.remove(cl)
		cl.answered, cl.via = nil, via
		c.againLocked(cl)
	}
}

// search is the goroutine of a move.
func (c *Client) search(ctx context.Context, m *move, addresses []string) {
	defer c.running.Done()
	defer close(m.over)
	defer m.stop()
	p := m.from.path
	for _, address := range addresses {
		nc, err := c.dial(ctx, address, true)
		var next *Session
		if err == nil {
			next, err = p.enter(ctx, nc, address, true)
		}
		if err == nil {
			if c.succeed(m, next) {
				return
			}
			next.conn.Shutdown(errLeft)
			<-next.ended
			err = next.conn.Cause()
		}
		if ctx.Err() != nil {
			break
		}
		if !c.inVain(address, err) {
			break
		}
	}
	c.mu.Lock()
	c.move = nil
	why := c.refusal
	if c.closed {
		why = closedError()
	}
	var ends []*call
	if why == nil && m.from.leaving {
		c.unparkLocked(nil)
	}
	for cl := c.parked.first; cl != nil; cl = c.parked.first {
		c.parked.remove(cl)
		ends = append(ends, cl)
	}
	c.mu.Unlock()
	for _, cl := range ends {
		if why != nil {
			cl.end(why.again())
		} else {
			cl.end(cl.answered)
		}
	}
}

// succeed puts a session in the place of the one that the move is from. It reports false if it is not fit for that.
func (c *Client) succeed(m *move, next *Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.leaving || c.closed || c.stopping {
		return false
	}
	m.next = next
	p := m.from.path
	p.aim, p.last, p.node = next.address, next.address, next.node
	c.addresses.moved, c.addresses.everMoved = c.clock.Now(), true
	if !m.from.leaving {
		c.leaveLocked(m.from)
	}
	c.openLocked(next)
	c.unparkLocked(next)
	return true
}

// inVain notes that a move to an address failed. It reports whether another one may be tried.
func (c *Client) inVain(address string, err error) bool {
	c.opts.Logger.Warn("no session beside the one that is there", "address", address, "error", err)
	refused, isRefusal := errors.AsType[*Error](err)
	if isRefusal && refused.Code == CodeReplaced {
		c.replace(refused)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	noteUntil(c.addresses.vain, address, now, now+vainTime)
	if isRefusal {
		c.addresses.refusedLocked(address, now, refused)
	}
	return true
}

// successor ends the move from a session that is not served any more, and returns what it has led to, or nil.
func (c *Client) successor(s *Session) *Session {
	c.mu.Lock()
	m := c.move
	c.mu.Unlock()
	if m == nil || m.from != s {
		return nil
	}
	m.stop()
	<-m.over
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.next != nil {
		c.move = nil
	}
	return m.next
}
