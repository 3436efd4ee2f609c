package session

import (
	"errors"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// flight is a call in flight.
type flight struct {
	call *router.Call
	life uint64
}

// takeRequest is the ingress: a call of this module.
func (c *session) takeRequest(f *wire.Frame) error {
	if c.currentState() == stateLeaving {
		return c.refuse(f, wire.Draining, "the session is closing")
	}
	o := &c.room.opts
	call := o.Router.Call()
	call.Origin, call.Caller, call.Stamp = c, c.caller, c.stamp
	call.Instance, call.From = c.login.GetInstance(), c.from.ip
	call.ID = f.CallID
	call.Arrived = c.conn.Arrived()
	call.Budget = time.Duration(f.BudgetMS) * time.Millisecond
	if err := call.Keep(f); err != nil {
		o.Router.Drop(call)
		return c.refuseMalformed(f, err)
	}
	call.RPCID = o.NextID()
	receivedAt := c.wallClock()
	if f.Flags&wire.FlagOneWay != 0 {
		o.Router.OneWay(&c.batch, call, receivedAt)
		return nil
	}
	switch twice, room := c.enter(call); {
	case twice:
		o.Router.Drop(call)
		return errTwice
	case !room:
		o.Router.TurnAway(&c.batch, call, "the session has too many calls in flight")
		return nil
	}
	o.Router.Submit(&c.batch, call, receivedAt)
	return nil
}

// wallClock returns when this batch was read, in Unix µs. It is read once per batch.
func (c *session) wallClock() uint64 {
	if now := c.conn.Now(); c.wallAt != now {
		c.wall, c.wallAt = uint64(time.Now().UnixMicro()), now
	}
	return c.wall
}

// errTwice is a breach, whatever else is wrong with the request: an answer would be taken for the first call's.
var errTwice = breach("call_id of a request is that of a call in flight")

// enter counts a call as in flight, unless its id is or there is no room.
func (c *session) enter(call *router.Call) (twice, room bool) {
	life := call.Life()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice = c.flights[call.ID]; twice {
		return true, false
	}
	if len(c.flights) >= c.room.opts.MaxInFlight {
		return false, false
	}
	c.flights[call.ID] = flight{call, life}
	return false, true
}

// inFlight returns how many calls of this module are in flight.
func (c *session) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.flights)
}

func (c *session) findFlight(id uint64) (f flight, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok = c.flights[id]
	return f, ok
}

// refuseMalformed refuses a request for what wire says of it.
func (c *session) refuseMalformed(f *wire.Frame, err error) error {
	var why *wire.Error
	if !errors.As(err, &why) {
		return err
	}
	if !answerable(f) {
		c.room.counters.BadOneWay.Add(1)
	}
	return c.refuse(f, why.Code, why.Reason)
}

// answerable reports whether a RESPONSE to a request would find its call.
func answerable(f *wire.Frame) bool { return f.Flags&wire.FlagOneWay == 0 && f.CallID != 0 }

// refuse answers a request that the router has not seen. One that has no answer is counted.
func (c *session) refuse(f *wire.Frame, code wire.Code, reason string) error {
	if !answerable(f) {
		c.room.opts.Router.Counters().OneWayRefused[code].Add(1)
		return nil
	}
	if _, twice := c.findFlight(f.CallID); twice {
		return errTwice
	}
	c.reply(f.CallID, code, reason)
	return nil
}

// reply queues an answer of this node. For the reader.
func (c *session) reply(callID uint64, code wire.Code, reason string) {
	c.scratch = wire.AppendRefusal(c.scratch[:0], &wire.Refusal{Message: reason, Node: c.room.opts.Node, Hop: 1})
	c.answer(&c.batch, callID, 0, &router.Answer{Code: code, Hops: 1, Header: c.scratch})
}

// Answer implements router.Origin.
func (c *session) Answer(b *router.Batch, call *router.Call, a *router.Answer) {
	c.mu.Lock()
	delete(c.flights, call.ID)
	gone := c.gone
	c.mu.Unlock()
	if gone {
		c.room.counters.LostAnswers.Add(1)
		return
	}
	c.answer(b, call.ID, call.RPCID, a)
}

// answer queues a RESPONSE for this module.
func (c *session) answer(b *router.Batch, callID, rpcID uint64, a *router.Answer) {
	f := wire.Frame{
		Kind: wire.KindResponse, CallID: callID, RPCID: rpcID, Status: a.Code, Hops: a.Hops, Header: a.Header, Body: a.Body,
	}
	wake, err := c.conn.Send(frameconn.Answers, &f, false)
	if err != nil {
		c.room.counters.LostAnswers.Add(1)
		return
	}
	if wake {
		b.Wake(c.conn)
	}
}

// takeCancel ends a call of this module early.
func (c *session) takeCancel(f *wire.Frame) error {
	fl, ok := c.findFlight(f.CallID)
	if !ok {
		c.room.counters.UnknownCancels.Add(1)
		return nil
	}
	c.room.opts.Router.Cancel(&c.batch, fl.call, fl.life, f.Status)
	return nil
}
