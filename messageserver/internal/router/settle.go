package router

import (
	"slices"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/retry"
	"github.com/twohop/twohop/proto/wire"
)

// grace is how long the ingress waits after a CANCEL for a word on whether the call was started.
const grace = 150 * time.Millisecond

// End is how an attempt ended. Header and Body are those of the instance's answer, if there is one.
type End struct {
	Code         wire.Code
	Unsent       bool // the request never left: nothing started, whatever Code says
	Hops         uint8
	Header, Body []byte
}

// End offers an end to an attempt. Only the first counts.
func (r *Router) End(b *Batch, t Ticket, e *End) {
	why, ok := t.take()
	if !ok {
		r.counters.Stale.Add(1)
		return
	}
	c := t.call
	switch {
	case c.local != nil:
		c.local.end(b, c, e)
		return
	case c.asked:
		r.endQuestion(b, c, e)
		return
	}
	c.done(b, c.entry, c.path.outcomeOf(e))
	if e.Code == wire.StaleRoute && c.path.claim.home == nil {
		r.counters.StaleRoutes.Add(1)
	}
	if e.Unsent || e.Code.Class() == wire.NotExecuted {
		c.starts--
	}
	switch action, wait := r.next(b, c, e, why); action {
	case retry.Reroute:
		r.counters.Reroutes.Add(1)
		c.reroutes++
		r.attempt(b, c, notExecuted(e), "the attempt was not started, and no other instance is left")
	case retry.Retry:
		r.counters.Retries.Add(1)
		r.noteUnknown(c, e.Code)
		c.retries++
		r.backOff(b, c, wait)
	default:
		r.settle(b, c, e)
	}
}

// next decides what follows an attempt of a call that was interrupted for why.
func (r *Router) next(b *Batch, c *Call, e *End, why wire.Code) (retry.Action, time.Duration) {
	if !c.kept || why != 0 {
		return retry.GiveUp, 0
	}
	f := retry.Facts{
		Reroutes:    c.reroutes,
		Retries:     c.retries,
		MaxAttempts: c.maxAttempts(),
		Arrived:     c.Attempt,
		Idempotent:  c.Request.Options&wire.Idempotent != 0 && c.path.claim.reg.Methods.ByName[c.method.name].Idempotent,
		Remaining:   c.deadline - b.Now,
	}
	switch {
	case e.Unsent && e.Code == wire.ConnectionLost, e.Code == wire.StaleRoute, e.Code == wire.Draining:
		f.End = retry.NotStarted
	case e.Unsent: // spent or cancelled in the queue: final
	case e.Code == wire.Overloaded:
		f.End = retry.Overloaded
	case e.Code.Class() == wire.Unknown:
		f.End = retry.MayHaveRun
	}
	if f.End == retry.Final || f.End != retry.MayHaveRun && !r.another(c, f.End == retry.NotStarted) {
		return retry.GiveUp, 0
	}
	action, wait := r.retry.Next(c.account.budget, f, random())
	if action == retry.GiveUp && f.End == retry.MayHaveRun && f.Idempotent && r.retry.Tokens(c.account.budget) < 1 {
		c.denied = true
		r.counters.RetriesDenied.Add(1)
	}
	return action, wait
}

// maxAttempts returns how often a call may be started, by its caller and by the rules; 0 is as often as the node allows.
func (c *Call) maxAttempts() int {
	asked, most := int(c.Request.MaxAttempts), c.settings().MaxAttempts
	if asked == 0 || most > 0 && most < asked {
		return most
	}
	return asked
}

// another reports whether there is somebody to reroute a call to, by the table as it is now: that an attempt was not
// started often means that it has changed. One that did not reach its instance may get there by another path. Where there is
// nobody, the caller gets what the instance said.
func (r *Router) another(c *Call, otherPath bool) bool {
	meth, code, _ := r.lookup(&c.Request)
	if code != wire.OK {
		return false
	}
	c.method, c.again = meth, nil
	if c.offers >= maxOffers || c.npaths == maxPaths {
		return false
	}
	if e := meth.module.byPick[c.entry.pick]; otherPath && e != nil && e.choosable() && c.way(e) != nil {
		c.again = e.pick
		return true
	}
	return r.untried(c)
}

// notExecuted returns the code of an attempt that did not start, as a caller gets it.
func notExecuted(e *End) wire.Code {
	if e.Code.Class() == wire.NotExecuted && e.Code != wire.StaleRoute {
		return e.Code
	}
	return wire.NoInstance
}

// backOff gives the turn away until the wait has passed.
func (r *Router) backOff(b *Batch, c *Call, wait time.Duration) {
	at := min(b.Now+wait, c.deadline)
	c.mu.Lock()
	c.phase = waiting
	stopped, life := c.why, c.life
	if stopped != 0 {
		c.phase = routing
	}
	c.mu.Unlock()
	if stopped != 0 {
		r.refuse(b, c, stopped, "the call was interrupted while it waited for another attempt")
		return
	}
	r.wheel.arm(&c.timer, life, at)
}

// again makes the attempt that a call has waited for. The table may have changed meanwhile, and with it the contracts. An
// instance that had the call gets it again only where there is no other; one that only had no room may have some now. The
// caller has the turn.
func (r *Router) again(b *Batch, c *Call) {
	meth, code, why := r.lookup(&c.Request)
	if code == wire.OK && !meth.contract.Idempotent {
		code, why = wire.NoInstance, "no instance that is left promises that the method is idempotent"
	}
	if code != wire.OK {
		r.refuseAll(b, c, code, why)
		return
	}
	c.method = meth
	c.tried, c.ntried = c.had, c.nhad
	if !r.untried(c) {
		c.ntried = 0
	}
	c.npaths, c.offers, c.again = 0, 0, nil
	r.wheel.arm(&c.timer, c.life, c.deadline)
	r.attempt(b, c, wire.NoInstance, "no instance is left for another attempt")
}

// untried reports whether there is an instance that has not had the call.
func (r *Router) untried(c *Call) bool {
	s, one := c.method.chooser(&c.Request)
	if one != nil {
		return !c.hasTried(one.pick)
	}
	return s != nil && c.ntried < maxTried && slices.ContainsFunc(s.instances, func(i *governance.Instance) bool {
		return !c.hasTried(i)
	})
}

// due is the wheel's word that a call's time has come.
func (r *Router) due(b *Batch, c *Call, life uint64) {
	c.mu.Lock()
	if c.life != life {
		c.mu.Unlock()
		return
	}
	switch phase := c.phase; {
	case phase == waiting:
		c.phase = routing
		c.mu.Unlock()
		if c.held {
			r.start(b, c)
			return
		}
		r.again(b, c)
	case phase == interrupted, phase == underWay && c.runLate:
		// Nobody can say any more: the turn is taken from the attempt.
		c.phase = routing
		why := c.why
		c.mu.Unlock()
		c.target.Slots().Release(c.slotID)
		r.giveUp(b, c, why)
	case phase == underWay:
		c.mu.Unlock()
		r.interrupt(b, c, life, wire.Expired)
	default: // somebody has the turn, and looks at the deadline before anything is sent
		c.mu.Unlock()
		r.wheel.arm(&c.timer, life, b.Now+wheelTick)
	}
}

// giveUp settles a call whose attempt has not ended in time, or not in time after it was interrupted for why. The caller
// has the turn.
func (r *Router) giveUp(b *Batch, c *Call, why wire.Code) {
	code, outcome := wire.Timeout, governance.Unknown
	if why == wire.Cancelled {
		code, outcome = wire.CancelledRunning, governance.Local
	}
	switch {
	case c.local != nil:
		c.local.end(b, c, &End{Code: code})
	case c.asked:
		r.endQuestion(b, c, &End{Code: code})
	default:
		c.done(b, c.entry, outcome)
		r.settle(b, c, &End{Code: code})
	}
}

// Cancel ends a call early: CANCELLED because its caller gave it up, EXPIRED because its time is up by the caller's own
// clock. life is that of Call.Life; a call that is over by then is left alone.
func (r *Router) Cancel(b *Batch, c *Call, life uint64, why wire.Code) { r.interrupt(b, c, life, why) }

// interrupt sends a CANCEL after an attempt and waits for what comes of it.
func (r *Router) interrupt(b *Batch, c *Call, life uint64, why wire.Code) {
	was, target, id, ok := c.stop(life, why)
	if !ok {
		return
	}
	switch was {
	case waiting:
		r.refuse(b, c, why, "the call was interrupted while it waited for another attempt")
	case underWay:
		r.wheel.arm(&c.timer, life, b.Now+grace)
		if !target.Cancel(b, id, why) {
			return
		}
		if t, ok := target.Slots().Release(id); ok {
			r.End(b, t, &End{Code: why, Unsent: true})
		}
	}
}

// noteUnknown remembers an attempt that may have run.
func (r *Router) noteUnknown(c *Call, code wire.Code) {
	c.unknown = code
	reg := c.path.claim.reg
	c.lost = wire.AppendUnknown(c.lost, reg.Module, reg.Instance, reg.UUID, c.path.claim.owner.node)
}

// settle ends a call with the end of its last attempt. The caller has the turn, and the call is gone afterwards.
func (r *Router) settle(b *Batch, c *Call, e *End) {
	switch {
	case !c.kept && (e.Unsent && e.Code == wire.ConnectionLost || e.Code == wire.StaleRoute) && r.another(c, true):
		// Its SDK sends it again for this code.
		r.refuse(b, c, wire.StaleRoute, "the attempt was not started, and this node has not kept the request for another one")
		return
	case e.Unsent || e.Code == wire.StaleRoute:
		r.refuseAll(b, c, notExecuted(e), "the attempt was not started, and there is no other one")
		return
	}
	switch class := e.Code.Class(); {
	case class == wire.Unknown:
		r.noteUnknown(c, e.Code)
		if len(e.Header) == 0 {
			why := unknownText(e.Code)
			if c.denied {
				why += "; it was not tried again, because the retries of the caller at this module are used up"
			}
			r.refuse(b, c, e.Code, why)
			return
		}
	case class == wire.NotExecuted && c.unknown != 0:
		r.refuse(b, c, c.unknown, "the last attempt ended "+e.Code.String()+", and an earlier one may have run")
		return
	}
	if e.Code.Class() == wire.NotExecuted && len(e.Header) > 0 {
		r.noteServer(b, c, e)
	}
	b.answer = Answer{Code: e.Code, Hops: e.Hops, Header: e.Header, Body: e.Body}
	if c.Flags&wire.FlagWantReceiver != 0 || len(c.lost) > 0 && e.Code.Class() == wire.Unknown {
		b.scratch = append(b.scratch[:0], e.Header...)
		b.answer.Header = r.appendFacts(b, c, e.Code, true)
	}
	r.finish(b, c)
}

func unknownText(code wire.Code) string {
	switch code {
	case wire.Timeout:
		return "no answer came within the budget"
	case wire.ConnectionLost:
		return "the connection to the instance was lost after the request was sent"
	case wire.CancelledRunning:
		return "the call was cancelled, and no answer came"
	}
	return "the instance could not say"
}

// appendFacts appends to the scratch header who answered, if an instance did, how often the call was started, and how
// long it took.
func (r *Router) appendFacts(b *Batch, c *Call, code wire.Code, answered bool) []byte {
	h := b.scratch
	if code.Class() == wire.Unknown {
		h = append(h, c.lost...)
	}
	if c.Flags&wire.FlagWantReceiver != 0 {
		if answered && c.path.claim.home != nil { // else the node that has the session has said it
			reg := c.path.claim.reg
			h = wire.AppendReceiver(h, reg.Module, reg.Instance, reg.UUID, r.opts.Node)
		}
		h = wire.AppendHopTime(h, r.opts.Node, c.micros(r.now()))
	}
	if c.starts > 1 {
		h = wire.AppendAttempts(h, uint32(c.starts))
	}
	b.scratch = h
	return h
}

// refuseAll refuses a call for which nobody is left. Where somebody would be if this node reached all others, or may be because
// it has not heard of all, it says so, and which nodes may do.
func (r *Router) refuseAll(b *Batch, c *Call, code wire.Code, why string) {
	switch code {
	case wire.NoInstance:
		if meth, found, _ := r.lookup(&c.Request); found == wire.OK {
			if owners := meth.nodesAway(&c.Request); len(owners) > 0 {
				r.counters.NoRoutes.Add(1)
				r.refuse(b, c, wire.NoRoute, "the instances that fit are at nodes that this one is not connected to", r.opts.Try(owners)...)
				return
			}
		}
	case wire.NoModule, wire.Unimplemented:
	default:
		r.refuse(b, c, code, why)
		return
	}
	if unheard := r.opts.Unheard(); len(unheard) > 0 {
		if try := r.opts.Try(unheard); len(try) > 0 {
			r.counters.NoRoutes.Add(1)
			r.refuse(b, c, wire.NoRoute, "this node has not heard of all others since it started, and one that it reaches has", try...)
			return
		}
	}
	r.refuse(b, c, code, why)
}

// refuse ends a call with an answer of this node. The caller has the turn, and the call is gone afterwards.
func (r *Router) refuse(b *Batch, c *Call, code wire.Code, why string, try ...string) {
	if c.unknown != 0 && code.Class() == wire.NotExecuted {
		why = "an earlier attempt may have run, another one ended " + code.String() + ": " + why
		code = c.unknown
	}
	b.scratch = wire.AppendRefusal(b.scratch[:0], &wire.Refusal{Message: why, Node: r.opts.Node, Hop: 1, Try: try})
	b.answer = Answer{Code: code, Hops: 1, Header: r.appendFacts(b, c, code, false)}
	r.finish(b, c)
}

// finish gives the batch's answer to the origin.
func (r *Router) finish(b *Batch, c *Call) {
	a := &b.answer
	r.wheel.disarm(&c.timer, c.life)
	if c.asked {
		r.counters.Asked.Settled[a.Code.Class()].Add(1)
	} else {
		r.counters.Settled[a.Code.Class()].Add(1)
		r.counters.Codes[a.Code].Add(1)
	}
	c.leave(b.Now, a.Code)
	r.kept.Add(-c.keptSize)
	r.inFlight.Add(-1)
	c.Origin.Answer(b, c, a)
	*a = Answer{}
	r.Drop(c)
}

// micros returns how long the call has been in this node's hands, as an answer says it.
func (c *Call) micros(now time.Duration) uint32 {
	return uint32(min(max(now-c.Arrived, 0)/time.Microsecond, 1<<32-1))
}
