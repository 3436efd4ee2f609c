package session

import (
	"errors"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// takeRequest is the ingress: a call of this module.
func (c *session) takeRequest(f *wire.Frame) error {
	o := &c.room.opts
	call := o.Router.Call()
	call.Origin, call.Caller, call.Stamp = c, c.caller, c.stamp
	call.ID = f.CallID
	call.Arrived = c.conn.Arrived()
	call.Budget = time.Duration(f.BudgetMS) * time.Millisecond
	if err := call.Keep(f); err != nil {
		o.Router.Drop(call)
		return c.refuseRequest(f, err)
	}
	call.RPCID = o.NextID()
	receivedAt := uint64(time.Now().UnixMicro())
	if f.Flags&wire.FlagOneWay != 0 {
		o.Router.OneWay(&c.batch, call, receivedAt)
		return nil
	}
	code, reason, err := c.enter(call)
	if err != nil || code != wire.OK {
		o.Router.Drop(call)
		if err != nil {
			return err
		}
		c.answer(&c.batch, f.CallID, 0, &router.Answer{Code: code, Hops: 1, Header: c.refusalHeader(reason)})
		return nil
	}
	o.Router.Submit(&c.batch, call, receivedAt)
	return nil
}

// enter counts a call as in flight, or says why not. The error is a breach.
func (c *session) enter(call *router.Call) (code wire.Code, reason string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.flights[call.ID]; twice {
		// An answer would be taken for the first call's.
		return 0, "", breach("call_id of a request is that of a call in flight")
	}
	if c.state == stateLeaving {
		return wire.Draining, "the session is closing", nil
	}
	if len(c.flights) >= c.room.opts.MaxInFlight {
		return wire.Overloaded, "the session has too many calls in flight", nil
	}
	c.flights[call.ID] = flight{call, call.Life()}
	return wire.OK, "", nil
}

// refuseRequest answers a request that is not well formed. One that has no answer is counted.
func (c *session) refuseRequest(f *wire.Frame, err error) error {
	var why *wire.Error
	if !errors.As(err, &why) {
		return err
	}
	if f.Flags&wire.FlagOneWay != 0 || f.CallID == 0 {
		c.room.counters.BadOneWay.Add(1)
		return nil
	}
	c.answer(&c.batch, f.CallID, 0, &router.Answer{Code: why.Code, Hops: 1, Header: c.refusalHeader(why.Reason)})
	return nil
}

func (c *session) refusalHeader(reason string) []byte {
	return wire.AppendRefusal(nil, &wire.Refusal{Message: reason, Node: c.room.opts.Node, Hop: 1})
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
		if errors.Is(err, frameconn.ErrFull) && !c.isServer() {
			c.conn.Close(frameconn.ErrSlow)
		}
		return
	}
	if wake {
		b.Wake(c.conn)
	}
}

// takeCancel ends a call of this module early.
func (c *session) takeCancel(f *wire.Frame) error {
	c.mu.Lock()
	fl, ok := c.flights[f.CallID]
	c.mu.Unlock()
	if !ok {
		c.room.counters.UnknownCancels.Add(1)
		return nil
	}
	c.room.opts.Router.Cancel(&c.batch, fl.call, fl.life)
	return nil
}

// Send implements router.Target.
func (c *session) Send(b *router.Batch, f *wire.Frame, runLate bool) error {
	wake, err := c.conn.Send(frameconn.Requests, f, runLate)
	if wake {
		b.Wake(c.conn)
	}
	return err
}

// Cancel implements router.Target.
func (c *session) Cancel(b *router.Batch, id uint64, why wire.Code) (takenBack bool) {
	takenBack, wake := c.conn.Cancel(id, why)
	if wake {
		b.Wake(c.conn)
	}
	return takenBack
}

// Slots implements router.Target.
func (c *session) Slots() *router.Slots { return &c.slots }

// Spent implements frameconn.Handler: the writer took a request back.
func (c *session) Spent(id uint64) {
	t, ok := c.slots.Release(id)
	if !ok {
		return
	}
	b := router.Batch{Now: c.room.opts.Clock.Now()}
	c.room.opts.Router.End(&b, t, &router.End{Code: wire.Expired, Unsent: true})
	b.Flush()
}

// takeResponse ends an attempt that went to this module.
func (c *session) takeResponse(f *wire.Frame) error {
	t, ok := c.slots.Release(f.CallID)
	if !ok {
		c.room.counters.LateAnswers.Add(1)
		return nil
	}
	e := router.End{Code: f.Status, Hops: 1, Header: f.Header, Body: f.Body}
	if f.Status == wire.Accepted || f.Status == wire.AcceptedDup || len(f.Header) > 0 && wire.CheckResponse(f.Header) != nil {
		// Only nodes can promise what ACCEPTED says; and what cannot be read cannot be passed on.
		c.room.counters.BrokenAnswers.Add(1)
		e.Header, e.Body = nil, nil
		if class := f.Status.Class(); class == wire.Success || class == wire.Executed {
			e.Code = wire.AnswerLost
		}
	}
	c.room.opts.Router.End(&c.batch, t, &e)
	return nil
}
