package router

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// choose finds where the next attempt goes, and counts it at the instance: to another path of the instance that the last one
// was for and did not reach, else to another instance. Nil is nobody.
func (r *Router) choose(b *Batch, c *Call) (*entry, *path) {
	m := c.method
	if c.again != nil {
		e := m.module.byPick[c.again]
		c.again = nil
		if e != nil && e.choosable() {
			if p := c.way(e); p != nil {
				e.pick.Begin()
				c.picker = nil
				return e, p
			}
		}
	}
	s, one := m.chooser(&c.Request)
	for c.ntried < maxTried {
		e := one
		switch {
		case one != nil:
			if c.hasTried(one.pick) {
				return nil, nil
			}
			one.pick.Begin()
			c.picker = nil
		case s == nil:
			return nil, nil
		default:
			c.picker = s.picker(c.balance())
			i := c.picker.Pick(b.Now, governance.Choice{HashKey: c.Request.HashKey, Tried: c.tried[:c.ntried]})
			if i == nil {
				return nil, nil
			}
			e = m.module.byPick[i]
		}
		c.tried[c.ntried] = e.pick
		c.ntried++
		if p := c.way(e); p != nil {
			return e, p
		}
		c.done(b, e, governance.Local) // it was tried under another name, or as another process
	}
	return nil, nil
}

// balance returns how an instance is chosen: as the caller asks, else as rules say. A rule for hash has no effect on calls
// without a key, which would all go to one instance.
func (c *Call) balance() wire.Balance {
	if c.Request.Balance != 0 {
		return c.Request.Balance
	}
	by := wire.Balance(c.settings().Balance)
	if by == wire.BalanceHash && len(c.Request.HashKey) == 0 {
		return 0
	}
	return by
}

// way returns the first path of an instance that the call has not tried and whose session has the method, or nil.
func (c *Call) way(e *entry) *path {
	for i := range e.paths[:e.usable] {
		p := &e.paths[i]
		reg := p.claim.reg
		if slices.Contains(c.paths[:c.npaths], reg.Session) || e.methods == nil && !c.method.in(reg.Methods) {
			continue
		}
		return p
	}
	return nil
}

func (c *Call) hasTried(i *governance.Instance) bool { return slices.Contains(c.tried[:c.ntried], i) }

// done tells the balancer how an attempt ended.
func (c *Call) done(b *Batch, e *entry, o governance.Outcome) {
	if c.picker == nil {
		e.pick.End(b.Now, o)
		return
	}
	c.picker.Done(b.Now, e.pick, o)
}

// outcomeOf translates how an attempt ended for the balancer. What the caller brought about (a bad body, a spent budget, a
// cancel) says nothing about the instance; nor does what a node refused, or a link that was lost.
func (p *path) outcomeOf(e *End) governance.Outcome {
	switch e.Code.Class() {
	case wire.Success:
		return governance.Succeeded
	case wire.Executed:
		return governance.Failed
	case wire.Unknown:
		if p.claim.home == nil && e.Hops == 0 {
			return governance.Local
		}
		return governance.Unknown
	}
	refused := e.Code == wire.Overloaded || e.Code == wire.Draining || e.Code == wire.StaleRoute
	if e.Unsent || !refused || p.claim.home == nil && madeByNode(e.Header) {
		return governance.Local
	}
	return governance.Refused
}

// madeByNode reports whether a response's header says which node made it. Modules cannot write that.
func madeByNode(h []byte) bool {
	const fieldNode = 1000
	for len(h) > 0 {
		num, _, n := protowire.ConsumeField(h)
		if n < 0 {
			return false
		}
		if num == fieldNode {
			return true
		}
		h = h[n:]
	}
	return false
}

// frame returns the request as it goes over p, but for the call_id.
func (c *Call) frame(p *path, left time.Duration) wire.Frame {
	wire.SetTarget(c.header, p.claim.reg.Session)
	return wire.Frame{
		Kind:     wire.KindRequest,
		Flags:    c.Flags,
		Attempt:  uint8(min(int(c.Attempt)+c.retries, 255)),
		Hops:     1,
		BudgetMS: budgetMS(left),
		RPCID:    c.RPCID,
		Header:   c.header,
		Body:     c.body,
	}
}

// attempt sends the call to an instance, or settles it with the given refusal where none is left. The caller has the turn
// and gives it away.
func (r *Router) attempt(b *Batch, c *Call, code wire.Code, why string) {
	for c.offers < maxOffers && c.npaths < maxPaths {
		left := c.deadline - b.Now
		if left <= 0 && !c.runLate {
			code, why = wire.Expired, "the budget was spent before an instance was chosen"
			break
		}
		e, p := r.choose(b, c)
		if e == nil {
			break
		}
		stopped, err := r.send(b, c, e, p, left)
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
			c.offers++
			code, why = wire.Overloaded, "the queue of every instance that was asked is full"
		}
		if !r.lookAgain(c, e) {
			break
		}
	}
	r.refuseAll(b, c, code, why)
}

// lookAgain takes the table as it is now, for an attempt that follows one that did not reach e: its other paths come first.
func (r *Router) lookAgain(c *Call, e *entry) bool {
	meth, code, _ := r.lookup(&c.Request)
	if code != wire.OK {
		return false
	}
	c.method, c.again = meth, e.pick
	return true
}

// send gives one attempt to e over p. Without an error, and not stopped, it is sent, and the turn is given away. stopped is why
// the call was interrupted meanwhile.
func (r *Router) send(b *Batch, c *Call, e *entry, p *path, left time.Duration) (stopped wire.Code, err error) {
	c.paths[c.npaths] = p.claim.reg.Session
	c.npaths++
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != 0 {
		c.done(b, e, governance.Local)
		return c.why, nil
	}
	b.frame = c.frame(p, left)
	if err := c.queueLocked(b, p.via); err != nil {
		c.done(b, e, governance.Local)
		return 0, err
	}
	c.entry, c.path = e, p
	c.starts++
	c.offers++
	c.account.meter.Started()
	if p.claim.home != nil {
		r.counters.OneHop.Add(1)
	} else {
		r.counters.TwoHop.Add(1)
	}
	if c.nhad < maxTried && !slices.Contains(c.had[:c.nhad], e.pick) {
		c.had[c.nhad] = e.pick
		c.nhad++
	}
	return 0, nil
}
