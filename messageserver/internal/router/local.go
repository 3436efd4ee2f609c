package router

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Local carries the calls that come from other nodes to the sessions of this one. It knows nothing else: neither the table
// nor a link, so that a call cannot cross a third node whatever tables say. Such a call goes to the session that its ingress
// has chosen or nowhere, is tried once, and has no deadline here: its ingress keeps the time and sends CANCEL. Safe for
// concurrent use.
type Local struct {
	// Static after construction.
	node     string
	most     int64         // calls at once, those of this node's modules among them
	others   *atomic.Int64 // how many of these there are
	now      func() time.Duration
	calls    *sync.Pool
	wheel    *wheel
	counters *Transit
	stale    *atomic.Uint64 // ends that came after another one

	homes    homes // the sessions of this node
	inFlight atomic.Int64
}

// home is a session of this node that is registered, immutable.
type home struct {
	reg    *Registration
	target Target
}

// Call returns an empty call to fill and Submit, or to give back with Drop.
func (l *Local) Call() *Call { return l.calls.Get().(*Call) }

// Drop gives back a call that was not submitted.
func (l *Local) Drop(c *Call) {
	c.reset()
	l.calls.Put(c)
}

// InFlight returns how many calls are submitted and not settled.
func (l *Local) InFlight() int64 { return l.inFlight.Load() }

// Submit takes over a call that Borrow has taken, with a budget.
func (l *Local) Submit(b *Batch, c *Call) {
	l.counters.Submitted.Add(1)
	c.mu.Lock()
	c.phase = routing
	c.mu.Unlock()
	c.local = l
	if l.inFlight.Add(1)+l.others.Load() > l.most {
		l.refuse(b, c, wire.Overloaded, "the node has too many calls in flight")
		return
	}
	h, code, why := l.find(b, c)
	if code != wire.OK {
		l.refuse(b, c, code, why)
		return
	}
	c.home = h
	if c.runLate {
		// Nobody sends CANCEL after it: it must not be waited for without an end.
		l.wheel.arm(&c.timer, c.life, c.deadline+grace)
	}
	switch stopped, err := l.send(b, c); {
	case stopped != 0:
		l.refuse(b, c, stopped, "the call was interrupted before it was sent")
	case err == nil:
	case errors.Is(err, ErrGone):
		l.refuse(b, c, wire.StaleRoute, "the session is closing")
	default:
		l.refuse(b, c, wire.Overloaded, "the queue of the instance is full")
	}
}

// find returns the session that a call is for, if it may go there.
func (l *Local) find(b *Batch, c *Call) (h *home, code wire.Code, why string) {
	req := &c.Request
	h = l.homes.find(req.Stamp.Target)
	switch {
	case h == nil:
		return nil, wire.StaleRoute, "the session is not registered at this node"
	case h.reg.Module != string(req.Module), len(req.Instance) > 0 && h.reg.Instance != string(req.Instance),
		len(req.Group) > 0 && h.reg.Group != string(req.Group):
		return nil, wire.StaleRoute, "the session is that of another instance"
	}
	contract, has := h.reg.Methods.ByName[string(req.Method)]
	if !has && !wire.Reserved(string(req.Method)) {
		return nil, wire.Unimplemented, "the instance does not have the method"
	}
	c.runLate = req.Stamp.Late.Runs(contract.RunLate || req.Options&wire.RunLate != 0)
	c.deadline = c.Arrived + c.Budget
	if c.deadline <= b.Now && !c.runLate {
		return nil, wire.Expired, "the budget was spent on the way"
	}
	return h, wire.OK, ""
}

// transit returns the request as it goes to the session: as it came, one node further.
func (c *Call) transit(left time.Duration) wire.Frame {
	return wire.Frame{
		Kind: wire.KindRequest, Flags: c.Flags, Attempt: c.Attempt, Hops: 2, BudgetMS: budgetMS(left), RPCID: c.RPCID,
		Header: c.header, Body: c.body,
	}
}

// send gives the attempt to the session. See Call.queueLocked.
func (l *Local) send(b *Batch, c *Call) (stopped wire.Code, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != 0 {
		return c.why, nil
	}
	b.frame = c.transit(c.deadline - b.Now)
	return 0, c.queueLocked(b, c.home.target)
}

// OneWay takes over a one-way call that Borrow has taken. A refusal is counted by its code.
func (l *Local) OneWay(b *Batch, c *Call) {
	h, code, _ := l.find(b, c)
	if code == wire.OK {
		b.frame = c.transit(c.deadline - b.Now)
		switch err := h.target.Send(b, &b.frame, c.runLate); {
		case errors.Is(err, ErrGone):
			code = wire.StaleRoute
		case err != nil:
			code = wire.Overloaded
		}
	}
	if code == wire.OK {
		l.counters.OneWay.Add(1)
	} else {
		l.counters.OneWayRefused[code].Add(1)
	}
	l.Drop(c)
}

// Cancel ends a call early, for what its ingress says: CANCELLED or EXPIRED. life is that of Call.Life; a call that is over by
// then is left alone. A word on what came of it is waited for as long as the ingress does.
func (l *Local) Cancel(b *Batch, c *Call, life uint64, why wire.Code) {
	was, target, id, ok := c.stop(life, why)
	if !ok || was != underWay {
		return
	}
	l.wheel.arm(&c.timer, life, b.Now+grace)
	if !target.Cancel(b, id, why) {
		return
	}
	t, ok := target.Slots().Release(id)
	if !ok {
		return
	}
	if _, ok := t.take(); !ok {
		l.stale.Add(1)
		return
	}
	l.end(b, c, &End{Code: why, Unsent: true})
}

// end settles a call with the end of its attempt. The caller has the turn, and the call is gone afterwards.
func (l *Local) end(b *Batch, c *Call, e *End) {
	if code, why, refused := e.pinned(wire.StaleRoute); refused {
		l.refuse(b, c, code, why)
		return
	}
	b.answer = Answer{Code: e.Code, Hops: 2, Header: e.Header, Body: e.Body}
	if c.Flags&wire.FlagWantReceiver != 0 {
		reg := c.home.reg
		b.scratch = append(b.scratch[:0], e.Header...)
		b.scratch = wire.AppendReceiver(b.scratch, reg.Module, reg.Instance, reg.UUID, l.node)
		l.appendHop(b, c)
	}
	l.finish(b, c)
}

// pinned returns what a node says of an attempt that there is no other one for, where no instance has said it. lost is the
// code of one that did not reach anybody.
func (e *End) pinned(lost wire.Code) (code wire.Code, why string, refused bool) {
	switch class := e.Code.Class(); {
	case e.Unsent && class == wire.NotExecuted:
		return e.Code, "the call ended before it was sent", true
	case e.Unsent:
		return lost, "the connection was lost before the call was sent", true
	case class == wire.Unknown && len(e.Header) == 0:
		return e.Code, unknownText(e.Code), true
	}
	return 0, "", false
}

// refuse ends a call with an answer of this node. The caller has the turn, and the call is gone afterwards.
func (l *Local) refuse(b *Batch, c *Call, code wire.Code, why string) {
	if code == wire.StaleRoute {
		l.counters.StaleRoutes.Add(1)
	}
	b.scratch = wire.AppendRefusal(b.scratch[:0], &wire.Refusal{Message: why, Node: l.node, Hop: 2})
	b.answer = Answer{Code: code, Hops: 2, Header: b.scratch}
	if c.Flags&wire.FlagWantReceiver != 0 {
		l.appendHop(b, c)
	}
	l.finish(b, c)
}

// appendHop appends to the scratch header, which becomes the answer's, how long the call was in this node's hands.
func (l *Local) appendHop(b *Batch, c *Call) {
	b.scratch = wire.AppendHopTime(b.scratch, l.node, c.micros(l.now()))
	b.answer.Header = b.scratch
}

// finish gives the batch's answer to the origin.
func (l *Local) finish(b *Batch, c *Call) {
	a := &b.answer
	l.wheel.disarm(&c.timer, c.life)
	l.counters.Settled[a.Code.Class()].Add(1)
	l.inFlight.Add(-1)
	c.Origin.Answer(b, c, a)
	*a = Answer{}
	l.Drop(c)
}
