package caller

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// path keeps one session open. Its goroutine dials, logs in, and starts again when the session is left or lost.
type path struct {
	client *Client

	// Owned by run.
	failures  int
	fruitless int             // tries since a session was open
	old       []chan struct{} // successors that sessions which were left wait for

	// Guarded by Client.mu.
	state State
}

const (
	backoffStep = 500 * time.Millisecond
	backoffMax  = 30 * time.Second
	refusedMin  = 5 * time.Second // before a node that refused for good is asked again
	settled     = time.Second     // a session that lasted so long was a success
	flushAgain  = 5 * time.Millisecond
)

func (p *path) run(ctx context.Context) {
	defer p.client.running.Done()
	defer p.supersede() // nothing follows: what was left need not wait
	for ctx.Err() == nil {
		address := p.client.nextAddress()
		p.set(StateConnecting, address, nil, nil)
		s, err := p.connect(ctx, address)
		if err != nil {
			if !p.failed(ctx, address, err) {
				return
			}
			continue
		}
		opened := p.client.clock.Now()
		p.serve(ctx, s)
		if p.client.clock.Now()-opened >= p.client.opts.settled {
			p.failures = 0
		}
		if !p.after(ctx, s) {
			return
		}
	}
}

// failed waits after a connection that did not come about. It reports whether to try again.
func (p *path) failed(ctx context.Context, address string, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	c := p.client
	wait := p.backoff()
	p.fruitless++
	if p.fruitless >= c.addressCount() {
		p.supersede() // there is no other node: what was left need not wait for one
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		wait = max(wait, refused.RetryAfter)
		if final(refused.Code) {
			wait = max(wait, refusedMin+rand.N(backoffMax-refusedMin)) //nolint:gosec // jitter
			c.refuseAll(refused)
		}
		if refused.Code == CodeReplaced {
			p.set(StateReplaced, address, nil, err)
			c.opts.Logger.Error("session replaced", "address", address, "error", err)
			return false
		}
	}
	p.set(StateWaiting, address, nil, err)
	c.opts.Logger.Warn("no session", "address", address, "error", err, "retry_in", wait.Round(time.Millisecond))
	return p.pause(ctx, wait)
}

// final reports whether another try is unlikely to help the calls that wait.
func final(code Code) bool {
	switch code {
	case CodeUnauthenticated, CodeDenied, CodeBadRequest, CodeReplaced:
		return true
	}
	return false
}

func (p *path) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve is the time of an open session: it sends what waits, until the session is left or lost.
func (p *path) serve(ctx context.Context, s *Session) {
	c := p.client
	c.mu.Lock()
	s.usable = !s.leaving && !c.closed
	if s.usable {
		c.usable = append(c.usable, s)
		close(c.opened)
		c.opened = make(chan struct{})
	}
	c.refusal = nil
	c.mu.Unlock()
	p.set(StateOpen, s.address, s, nil)
	c.opts.Logger.Info("session open", "node", s.node, "address", s.address, "session", s.id)
	if c.opts.OnConnect != nil {
		c.opts.OnConnect(s.connection())
	}
	p.fruitless = 0
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
		case <-ctx.Done():
			return
		}
		if c.flush() {
			again.Reset(flushAgain)
		}
	}
}

// after decides how to go on once a session does not take calls any more. It reports whether to try again.
func (p *path) after(ctx context.Context, s *Session) bool {
	c := p.client
	c.mu.Lock()
	goaway := s.goaway
	c.unusableLocked(s)
	stopping := c.closed || c.stopping
	c.mu.Unlock()
	if stopping || ctx.Err() != nil {
		s.close()
		p.set(StateClosed, s.address, nil, s.cause())
		return false
	}
	if s.hasEnded() {
		s.tellEnd()
	} else {
		successor := make(chan struct{})
		p.old = append(p.old, successor)
		c.running.Add(1)
		go s.retire(ctx, successor)
	}
	wait := time.Duration(0)
	if goaway != nil {
		wait = goaway.RetryAfter
		if goaway.Code == CodeReplaced {
			p.set(StateReplaced, s.address, nil, goaway)
			c.opts.Logger.Error("session replaced", "node", s.node, "address", s.address, "error", goaway)
			c.refuseAll(goaway)
			return false
		}
	}
	if s.hasEnded() {
		wait = max(wait, p.backoff())
	}
	p.set(StateWaiting, s.address, nil, s.cause())
	return p.pause(ctx, wait)
}

// backoff returns how long to wait after a failure: full jitter.
func (p *path) backoff() time.Duration {
	wait := rand.N(min(backoffMax, p.client.opts.backoffStep<<min(p.failures, 10))) //nolint:gosec // jitter
	p.failures++
	return wait
}

// supersede lets the sessions go that were left.
func (p *path) supersede() {
	for _, successor := range p.old {
		close(successor)
	}
	p.old = nil
}
