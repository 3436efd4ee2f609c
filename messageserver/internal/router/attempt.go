package router

import (
	"errors"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// pick chooses the next instance for a call, or nil. A named instance is offered a call once.
func (r *Router) pick(b *Batch, c *Call) *entry {
	s, one := c.method.chooser(&c.Request)
	var e *entry
	switch {
	case one != nil:
		if c.ntried > 0 {
			return nil
		}
		one.pick.Begin()
		c.picker, e = nil, one
	case s == nil:
		return nil
	default:
		c.picker = s.pickers[c.Request.Balance]
		i := c.picker.Pick(b.Now, governance.Choice{HashKey: c.Request.HashKey, Tried: c.tried[:c.ntried]})
		if i == nil {
			return nil
		}
		e = c.method.module.byPick[i]
	}
	if c.ntried < maxTried {
		c.tried[c.ntried] = e.pick
		c.ntried++
	}
	return e
}

// done tells the balancer how an attempt ended.
func (c *Call) done(b *Batch, e *entry, o governance.Outcome) {
	if c.picker == nil {
		e.pick.End(b.Now, o)
		return
	}
	c.picker.Done(b.Now, e.pick, o)
}

// outcomeOf translates an instance's answer for the balancer. What the caller brought about (a bad body, a spent budget, a
// cancel) says nothing about the instance.
func outcomeOf(code wire.Code) governance.Outcome {
	switch code.Class() {
	case wire.Success:
		return governance.Succeeded
	case wire.Executed:
		return governance.Failed
	case wire.Unknown:
		return governance.Unknown
	}
	if code == wire.Overloaded || code == wire.Draining || code == wire.StaleRoute {
		return governance.Refused
	}
	return governance.Local
}

// frame returns the request as it goes to e.
func (c *Call) frame(e *entry, id uint64, left time.Duration) wire.Frame {
	wire.SetTarget(c.header, e.Session)
	return wire.Frame{
		Kind:     wire.KindRequest,
		Flags:    c.Flags,
		Attempt:  uint8(min(int(c.Attempt)+c.retries, 255)),
		Hops:     1,
		BudgetMS: uint32(min(max(left/time.Millisecond, 1), 1<<32-1)),
		CallID:   id,
		RPCID:    c.RPCID,
		Header:   c.header,
		Body:     c.body,
	}
}

// attempt sends the call to an instance, or settles it with the given refusal where none is left. The caller has the turn
// and gives it away.
func (r *Router) attempt(b *Batch, c *Call, code wire.Code, why string) {
	for c.ntried < maxTried {
		left := c.deadline - b.Now
		if left <= 0 && !c.runLate {
			code, why = wire.Expired, "the budget was spent before an instance was chosen"
			break
		}
		e := r.pick(b, c)
		if e == nil {
			break
		}
		stopped, err := r.send(b, c, e, left)
		if stopped != 0 {
			code, why = stopped, "the call was interrupted before it was sent"
			break
		}
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrGone):
			code, why = wire.NoInstance, "the connection of every instance that was asked is closing"
		default:
			code, why = wire.Overloaded, "the queue of every instance that was asked is full"
		}
	}
	r.refuse(b, c, code, why)
}

// send gives one attempt to e. Without an error, and not stopped, it is sent, and the turn is given away. stopped is why the
// call was interrupted meanwhile.
//
// The call's lock is held while the attempt is queued, the one place where a lock is held and another room entered: who
// wants to end the call finds it either not sent or sent, with its slot. Targets never wait for a call's lock.
func (r *Router) send(b *Batch, c *Call, e *entry, left time.Duration) (stopped wire.Code, err error) {
	target := e.target
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != 0 {
		c.done(b, e, governance.Local)
		return c.why, nil
	}
	err = ErrGone
	c.turn++
	if id, ok := target.Slots().Take(Ticket{c, c.turn}); ok {
		b.frame = c.frame(e, id, left)
		if err = target.Send(b, &b.frame, c.runLate); err == nil {
			c.phase, c.entry, c.slotID = underWay, e, id
			c.starts++
			if c.nhad < maxTried {
				c.had[c.nhad] = e.pick
				c.nhad++
			}
			return 0, nil
		}
		target.Slots().Release(id)
	}
	c.done(b, e, governance.Local)
	return 0, err
}
