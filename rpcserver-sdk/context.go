package rpcserver

import (
	"context"
	"sync"
	"time"
)

// requestKey is what a handler's context keeps its request under.
type requestKey struct{}

// handlerContext is a handler's context. It is cheaper than context.WithDeadline: there is no timer and no channel until
// somebody asks for Done.
type handlerContext struct {
	// Static after construction.
	request  *Request
	deadline time.Time // zero: none

	// Guarded by mu.
	mu    sync.Mutex
	done  chan struct{} // nil until it is asked for
	err   error
	timer *time.Timer
	after map[*func()]struct{} // to be called at the end
}

// Deadline returns when the caller stops waiting.
func (c *handlerContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Value returns the request for requestKey, and nothing else.
func (c *handlerContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.request
	}
	return nil
}

// Err returns why the context has ended, or nil.
func (c *handlerContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.end(context.DeadlineExceeded)
		return c.Err()
	}
	return err
}

// Done is closed when the context ends.
func (c *handlerContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.watchLocked()
		}
	}
	return c.done
}

// watchLocked starts the timer of the deadline.
func (c *handlerContext) watchLocked() {
	if c.timer == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
	}
}

// AfterFunc is what context.AfterFunc and contexts made from this one use instead of a goroutine.
func (c *handlerContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.watchLocked()
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, pending := c.after[&f]
		delete(c.after, &f)
		return pending
	}
}

// end ends the context, once.
func (c *handlerContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.done != nil {
		close(c.done)
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}

// String names the context for logs.
func (c *handlerContext) String() string { return "rpcserver.Context(" + c.request.Method + ")" }
