package router

import (
	"errors"

	"github.com/twohop/twohop/proto/wire"
)

// Ask takes over a call of this node itself, for the node at the other end of a link. Keep must have taken it; Origin, Stamp
// and Budget are the asker's, as for Submit. It goes over via or nowhere: no instance is looked up, nothing is tried again,
// and a link that is gone is NO_ROUTE. Cancel ends it early.
func (r *Router) Ask(b *Batch, c *Call, via Target) {
	r.counters.Asked.Submitted.Add(1)
	c.mu.Lock()
	c.phase = routing
	c.mu.Unlock()
	c.asked = true
	if r.inFlight.Add(1)+r.local.inFlight.Load() > int64(r.opts.MaxInFlight) {
		r.refuse(b, c, wire.Overloaded, "the node has too many calls in flight")
		return
	}
	c.kept = false // it is sent once: the asker's bytes do
	c.stamp(0)
	c.runLate = c.Request.Options&wire.RunLate != 0
	budget := c.Budget
	if budget <= 0 {
		budget = r.opts.DefaultTimeout
	}
	c.deadline = c.Arrived + budget
	if c.deadline <= b.Now {
		r.refuse(b, c, wire.Expired, "the budget was spent before the question was sent")
		return
	}
	r.wheel.arm(&c.timer, c.life, c.deadline)
	switch stopped, err := c.sendQuestion(b, via); {
	case stopped != 0:
		r.refuse(b, c, stopped, "the question was interrupted before it was sent")
	case err == nil:
	case errors.Is(err, ErrGone):
		r.refuse(b, c, wire.NoRoute, "the link to the node is gone")
	default:
		r.refuse(b, c, wire.Overloaded, "the queue of the link to the node is full")
	}
}

// sendQuestion gives the attempt to the link. See Call.queueLocked.
func (c *Call) sendQuestion(b *Batch, via Target) (stopped wire.Code, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != 0 {
		return c.why, nil
	}
	b.frame = wire.Frame{
		Kind: wire.KindRequest, Flags: c.Flags, Attempt: c.Attempt, Hops: 1, BudgetMS: budgetMS(c.deadline - b.Now), RPCID: c.RPCID,
		Header: c.header, Body: c.body,
	}
	c.starts++
	return 0, c.queueLocked(b, via)
}

// endQuestion settles a question with the end of its attempt. The caller has the turn, and the call is gone afterwards.
func (r *Router) endQuestion(b *Batch, c *Call, e *End) {
	if code, why, refused := e.pinned(wire.NoRoute); refused {
		r.refuse(b, c, code, why)
		return
	}
	b.answer = Answer{Code: e.Code, Hops: e.Hops, Header: e.Header, Body: e.Body}
	r.finish(b, c)
}
