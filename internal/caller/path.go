package caller

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// path keeps one session open. Its goroutine chooses an address, dials, logs in, and starts again when the session is left
// or lost. Paths of one client go to different nodes.
type path struct {
	client *Client
	first  bool // it need not wait for another path's session

	// Owned by run.
	failures int             // rounds since a session lasted
	brief    int             // sessions since one lasted
	spread   time.Duration   // the next dial comes later by at most so much, at random
	refusal  *Error          // of this round: why a node refused the login for good
	old      []chan struct{} // successors that sessions which were left wait for

	// Guarded by Client.mu.
	state  State
	aim    string          // the address that it dials, or has its session at; empty while it looks for one
	node   string          // whose session it has
	hints  []string        // to be tried next, once
	tried  map[string]bool // what failed in this round
	last   string          // what was dialed last
	nearby bool            // in this round, a machine answered that no node listens
}

const (
	backoffStep = 500 * time.Millisecond
	backoffMax  = 30 * time.Second
	backoffNear = 5 * time.Second        // the same, while a machine answers: its node is likely to start soon
	spreadLoss  = 100 * time.Millisecond // at most, before the next address is tried after a failure
	spreadNews  = time.Second            // at most, before an address is tried that has become free or known: many hear of it at once
	refusedMin  = 5 * time.Second        // before a node that refused for good is asked again
	settled     = time.Second            // a session that lasted so long was a success
	briefMax    = 2                      // sessions in a row that did not last, before the next dial waits
	flushAgain  = 5 * time.Millisecond
)

func (p *path) run(ctx context.Context) {
	defer p.client.running.Done()
	defer p.supersede() // nothing follows: what was left need not wait
	for {
		address, more := p.next(ctx)
		if address == "" {
			return
		}
		s, err := p.connect(ctx, address, more)
		if err != nil {
			if !p.failed(ctx, address, err) {
				return
			}
			continue
		}
		for s != nil {
			opened := p.client.clock.Now()
			p.serve(ctx, s)
			next := p.client.successor(s)
			if !p.after(ctx, s, next, p.client.clock.Now()-opened >= p.client.opts.settled) {
				return
			}
			s = next
		}
	}
}

// failed notes a connection that did not come about. It reports whether to go on.
func (p *path) failed(ctx context.Context, address string, err error) bool {
	c := p.client
	refused, isRefusal := errors.AsType[*Error](err)
	if isRefusal && refused.Code == CodeReplaced {
		c.replace(refused)
		p.set(StateReplaced, address, nil, err)
		c.opts.Logger.Error("session replaced", "address", address, "error", err)
		return false
	}
	p.spread = spreadLoss
	c.mu.Lock()
	p.aim = ""
	c.failedLocked([]string{address}, errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist))
	over := c.closed || c.stopping
	if isRefusal {
		c.addresses.refusedLocked(address, c.clock.Now(), refused)
		if final(refused.Code) {
			p.refusal = refused
		}
	}
	c.mu.Unlock()
	if over || ctx.Err() != nil {
		return true // next sees it, too
	}
	p.set(StateWaiting, address, nil, err)
	c.opts.Logger.Warn("no session", "address", address, "error", err)
	return true
}

// final reports whether another try is unlikely to help the calls that wait.
func final(code Code) bool {
	switch code {
	case CodeUnauthenticated, CodeDenied, CodeBadRequest:
		return true
	}
	return false
}

// serve is the time of an open session: it sends what waits, until the session is left or lost.
func (p *path) serve(ctx context.Context, s *Session) {
	c := p.client
	c.mu.Lock()
	c.openLocked(s)
	c.mu.Unlock()
	p.set(StateOpen, s.address, s, nil)
	c.opts.Logger.Info("session open", "node", s.node, "address", s.address, "session", s.id)
	if c.opts.OnConnect != nil {
		c.opts.OnConnect(s.connection())
	}
	p.refusal = nil
	p.supersede()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-c.kick:
		case <-s.left:
			return
		case <-s.ended:
			return
		case <-c.replaced:
			return
		case <-ctx.Done():
			return
		}
		if c.flush() {
			again.Reset(flushAgain)
		}
	}
}

// openLocked has new calls use a session.
func (c *Client) openLocked(s *Session) {
	if s.usable || s.leaving || c.closed || c.replacement != nil {
		return
	}
	s.usable = true
	c.usable = append(c.usable, s)
	close(c.opened)
	c.opened = make(chan struct{})
	c.refusal = nil
	c.changedLocked()
}

// after decides how to go on once a session does not take calls any more: with next, if that has been opened meanwhile, even
// if only to end that, too. lasted says that s was not lost at once. It reports whether to go on.
func (p *path) after(ctx context.Context, s, next *Session, lasted bool) bool {
	c := p.client
	ended := s.hasEnded()
	c.mu.Lock()
	c.unusableLocked(s)
	if next == nil {
		p.releaseLocked(s, ended, lasted)
	} else {
		clear(p.tried)
		c.kickLocked()
	}
	goaway, closed, stopping := s.goaway, c.closed, c.stopping
	c.mu.Unlock()
	if closed || ctx.Err() != nil {
		s.close()
		p.set(StateClosed, s.address, nil, s.cause())
		return next != nil
	}
	replaced := goaway != nil && goaway.Code == CodeReplaced && !s.superseded
	if replaced {
		c.replace(goaway)
	}
	if ended {
		s.tellEnd()
	} else {
		successor := make(chan struct{})
		p.old = append(p.old, successor)
		c.running.Add(1)
		go s.retire(ctx, successor)
	}
	if replaced {
		c.opts.Logger.Error("session replaced", "node", s.node, "address", s.address, "error", goaway)
		p.set(StateReplaced, s.address, nil, goaway)
		return next != nil
	}
	p.set(StateWaiting, s.address, nil, s.cause())
	return next != nil || !stopping || p.over()
}

// releaseLocked begins the search for the session after s.
func (p *path) releaseLocked(s *Session, ended, lasted bool) {
	c := p.client
	p.aim, p.node = "", ""
	p.brief++
	if lasted {
		p.failures, p.brief, p.nearby = 0, 0, false
		clear(p.tried)
	}
	switch {
	case p.brief > briefMax:
		p.spread = spreadNews
	case ended:
		p.spread = spreadLoss
	}
	if s.goaway != nil && s.goaway.RetryAfter > 0 {
		now := c.clock.Now()
		c.addresses.restLocked(s.address, now, now+s.goaway.RetryAfter)
	}
	c.failedLocked(append(c.addressesLocked(s.node), s.address), false)
	if !ended {
		delete(p.tried, s.address) // tried after the others: behind it may be more than one node
	}
	c.kickLocked() // this path may have taken the kick, and sends nothing any more
}

// supersede lets the sessions go that were left.
func (p *path) supersede() {
	for _, successor := range p.old {
		close(successor)
	}
	p.old = nil
}
