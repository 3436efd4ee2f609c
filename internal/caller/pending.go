package caller

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Call calls module.Method and waits for the end. See the SDKs for what in and out may be.
func (c *Client) Call(ctx context.Context, name string, in, out any, opts ...CallOption) error {
	cl := c.newCall()
	if err := c.begin(ctx, cl, name, in, out, opts); err != nil {
		c.free(cl)
		return err
	}
	c.await(ctx, cl)
	err := cl.finish(out)
	c.free(cl)
	if err != nil {
		return err
	}
	return nil
}

// CallRaw calls a method with bytes and returns the bytes of its answer.
func (c *Client) CallRaw(ctx context.Context, name string, body []byte, opts ...CallOption) ([]byte, error) {
	cl := c.newCall()
	cl.raw, cl.answer, cl.body = true, nil, body
	if err := c.launch(ctx, cl, name, "", opts); err != nil {
		c.free(cl)
		return nil, err
	}
	c.await(ctx, cl)
	answer, err := cl.answer, cl.err
	c.free(cl)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// begin encodes the argument of a call and starts it.
func (c *Client) begin(ctx context.Context, cl *call, name string, in, out any, opts []CallOption) *Error {
	if raw, ok := out.(*[]byte); ok {
		cl.raw, cl.answer = true, nil
		if raw != nil {
			cl.answer = (*raw)[:0]
		}
	}
	body, contentType, err := Encode(cl.buffer[:0], in, out)
	if err != nil {
		cl.name = name
		return cl.judge(fail(CodeBadRequest, "the argument cannot be encoded").because(err))
	}
	if contentType != "" && len(body) > 0 {
		cl.buffer = body
	}
	cl.body = body
	return c.launch(ctx, cl, name, contentType, opts)
}

// launch writes what is constant from the start of a call on, and starts it.
func (c *Client) launch(ctx context.Context, cl *call, name, contentType string, opts []CallOption) *Error {
	cl.name = name
	for _, o := range opts {
		o.ApplyToCall(&cl.settings)
	}
	if cl.settings.password.set {
		cl.invoker = c.opts.Login.GetModule()
	}
	err := cl.encode(&c.names, contentType)
	if err == nil {
		now := c.clock.Now()
		if err = c.limit(ctx, cl, now); err == nil {
			err = c.start(cl, now)
		}
	}
	if err != nil {
		return cl.judge(err)
	}
	return nil
}

// limit sets the call's deadline.
func (c *Client) limit(ctx context.Context, cl *call, now time.Duration) *Error {
	if err := ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fail(CodeExpired, "the time was up before the call was made")
		}
		return fail(CodeCancelled, "the caller gave up before the call was made")
	}
	left := cl.settings.timeout
	if deadline, ok := ctx.Deadline(); ok {
		until := time.Until(deadline)
		if left == 0 || until < left {
			left = until
		}
	} else if left == 0 {
		left = c.opts.Timeout
	}
	if left <= 0 {
		return fail(CodeExpired, "the time was up before the call was made")
	}
	cl.deadline = now + left
	return nil
}

// await waits for the end. A context that is cancelled ends the call early; one whose deadline has passed does not: the
// end comes within graceTime, and says what is known.
func (c *Client) await(ctx context.Context, cl *call) {
	done := ctx.Done()
	if done == nil {
		<-cl.done
		return
	}
	select {
	case <-cl.done:
		return
	case <-done:
	}
	if !expired(ctx) {
		c.giveUp(cl)
	}
	<-cl.done
}

// expired reports whether a context ended by its own deadline, which is the call's as well.
func expired(ctx context.Context) bool {
	_, has := ctx.Deadline()
	return has && errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// finish returns how the call ended, and decodes its answer into out.
func (cl *call) finish(out any) *Error {
	if cl.err != nil {
		return cl.err
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = cl.answer
		return nil
	}
	contentType := cl.contentType
	if contentType == "" {
		contentType = cl.asked
	}
	if err := Decode(contentType, cl.answer, out); err != nil {
		e := fail(CodeAnswerLost, "the answer cannot be decoded").because(err)
		e.RPCID = cl.rpcID
		return cl.judge(e)
	}
	return nil
}

// OneWay sends a call that is not answered. It fails only for what is known here.
func (c *Client) OneWay(ctx context.Context, name string, in any, opts ...CallOption) error {
	cl := c.newCall()
	cl.oneWay = true
	err := c.begin(ctx, cl, name, in, nil, opts)
	if err != nil || !cl.kept {
		c.free(cl)
	}
	if err != nil {
		return err
	}
	return nil
}

// Pending is a call that somebody does not wait for yet.
type Pending struct {
	// Static after construction.
	client *Client
	call   *call
	out    any
	done   chan struct{}
	stop   func() bool // ends the watch over the context

	once sync.Once
	err  error
}

// Go starts a call and returns at once. What in and out are must not be touched before the end.
func (c *Client) Go(ctx context.Context, name string, in, out any, opts ...CallOption) *Pending {
	p := &Pending{client: c, call: c.newCall(), out: out, done: make(chan struct{})}
	p.call.ended = p.done
	if err := c.begin(ctx, p.call, name, in, out, opts); err != nil {
		p.once.Do(func() { p.err = err })
		close(p.done)
		return p
	}
	if ctx.Done() != nil {
		p.stop = context.AfterFunc(ctx, func() {
			if !expired(ctx) {
				c.giveUp(p.call)
			}
		})
	}
	return p
}

// Done is closed at the call's end.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait waits for the end, decodes the answer and returns how the call ended; again and from anywhere, too.
func (p *Pending) Wait() error {
	<-p.done
	p.once.Do(func() {
		if p.stop != nil {
			p.stop()
		}
		if err := p.call.finish(p.out); err != nil {
			p.err = err
		}
	})
	return p.err
}
