package router

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// unmetered are the Meters of a router that has none, and their Meter.
type unmetered struct{}

func (unmetered) Meter(governance.Subject) governance.Meter { return unmetered{} }
func (unmetered) Entered()                                  {}
func (unmetered) Started()                                  {}
func (unmetered) Finished(uint16, time.Duration)            {}

// unnoted are the Refusals of a router that has none.
type unnoted struct{}

func (unnoted) Note(time.Duration, uint64, *governance.Call, governance.Verdict)       {}
func (unnoted) NoteServer(time.Duration, uint64, *governance.Call, governance.Verdict) {}

// noSettings are those of a call that no rule is about.
var noSettings governance.Settings

// settings returns what rules have set for the call.
func (c *Call) settings() *governance.Settings {
	if c.regime == nil {
		return &noSettings
	}
	return &c.regime.Settings
}

// admit asks the rules whether a call may enter. From here on the call has its regime, and keeps it: rules that change
// meanwhile are for later calls. A call whose verdict is not admitted is still to be refused.
func (r *Router) admit(b *Batch, c *Call) governance.Verdict {
	c.account.meter.Entered()
	c.regime = c.account.regime(r.opts.Governor)
	if c.regime == nil || c.regime.Policy == nil {
		return governance.Verdict{}
	}
	c.state(b)
	v := c.regime.Policy.Admit(b.Now, &c.facts)
	if !v.Admitted() {
		r.opts.Refusals.Note(b.Now, c.RPCID, &c.facts, v)
		return v
	}
	c.admitted = true
	return v
}

// state writes down the facts that policies look at. Its strings are those of the account and of the caller's session.
func (c *Call) state(b *Batch) {
	q, s := &c.Request, &c.account.subject
	set := c.settings()
	budget := cmp.Or(c.Budget, set.DefaultTimeout)
	if set.MaxTimeout > 0 && (budget == 0 || budget > set.MaxTimeout) {
		budget = set.MaxTimeout
	}
	if budget > 0 {
		budget = max(c.Arrived+budget-b.Now, 1) // 0 would be none
	}
	c.facts = governance.Call{
		Caller: s.Caller, CallerInstance: c.Instance, CallerIP: c.From,
		Module: s.Module, Method: s.Method, Group: s.Group,
		OneWay: c.Flags&wire.FlagOneWay != 0, Idempotent: q.Options&wire.Idempotent != 0, Critical: criticality(c.Flags),
		Attempt: c.Attempt, Budget: budget, Size: len(c.header) + len(c.body),
	}
}

// TurnAway takes over a call that Keep has taken and that its origin has no room for: it is counted as every other call, and
// refused.
func (r *Router) TurnAway(b *Batch, c *Call, why string) {
	r.counters.Submitted.Add(1)
	r.inFlight.Add(1)
	c.account = r.account(b.Now, c.Caller, &c.Request)
	c.account.meter.Entered()
	r.refuse(b, c, wire.Overloaded, why)
}

// criticality returns what the flags of a request say.
func criticality(f wire.Flags) governance.Criticality {
	switch {
	case f&wire.FlagHigh != 0:
		return governance.High
	case f&wire.FlagLow != 0:
		return governance.Low
	}
	return governance.Normal
}

// leave tells the rules and the statistics how a call ended, once.
func (c *Call) leave(now time.Duration, code wire.Code) {
	if c.account == nil {
		return // a question of the node's, or in transit
	}
	if c.admitted {
		c.admitted = false
		c.regime.Policy.Settle(now, &c.facts, settled(code, c.nhad > 0))
	}
	c.account.meter.Finished(uint16(code), max(now-c.Arrived, 0))
}

// settled translates how a call ended for the policies that admitted it. What this node ended without having sent it to an
// instance (nobody fits, it expired while it was held, all queues are full) is as if it had been refused at once.
func settled(code wire.Code, sent bool) governance.Outcome {
	switch code.Class() {
	case wire.Success:
		return governance.Succeeded
	case wire.Executed:
		return governance.Failed
	case wire.Unknown:
		return governance.Unknown
	}
	if code == wire.Cancelled || !sent {
		return governance.Local
	}
	return governance.Refused
}

// noteServer looks whether an instance has refused a call by a rule, and notes it.
func (r *Router) noteServer(b *Batch, c *Call, e *End) {
	id, version := ruleOf(e.Header)
	if len(id) == 0 {
		return
	}
	c.state(b)
	r.opts.Refusals.NoteServer(b.Now, c.RPCID, &c.facts, governance.Verdict{Code: uint16(e.Code), RuleID: string(id), RuleVersion: version})
}

// ruleOf returns the rule that an instance names in the header of its answer.
func ruleOf(h []byte) (id []byte, version uint64) {
	const fieldRuleID, fieldRuleVersion = 1002, 1003
	for len(h) > 0 {
		num, typ, n := protowire.ConsumeTag(h)
		if n < 0 {
			return nil, 0
		}
		size := protowire.ConsumeFieldValue(num, typ, h[n:])
		if size < 0 {
			return nil, 0
		}
		switch value := h[n : n+size]; {
		case num == fieldRuleID && typ == protowire.BytesType:
			id, _ = protowire.ConsumeBytes(value)
		case num == fieldRuleVersion && typ == protowire.VarintType:
			version, _ = protowire.ConsumeVarint(value)
		}
		h = h[n+size:]
	}
	return id, version
}

// refuseByRule ends a call that a rule has refused.
func (r *Router) refuseByRule(b *Batch, c *Call, v *governance.Verdict) {
	code := wire.Code(v.Code)
	b.scratch = wire.AppendRefusal(b.scratch[:0], &wire.Refusal{
		Message: ruleText(code), Node: r.opts.Node, Hop: 1, RuleID: v.RuleID, RuleVersion: v.RuleVersion,
		RetryAfterMS: milliseconds(v.RetryAfter), ContentType: v.FallbackType,
	})
	b.answer = Answer{Code: code, Hops: 1, Header: r.appendFacts(b, c, code, false), Body: v.Fallback}
	r.finish(b, c)
}

// ruleText says in words what a rule has done.
func ruleText(code wire.Code) string {
	switch code {
	case wire.Denied:
		return "a rule denies this call"
	case wire.RateLimited:
		return "a rule limits the rate of these calls"
	case wire.Overloaded:
		return "a rule limits how many of these calls are in flight"
	case wire.Degraded:
		return "a rule has switched these calls off"
	}
	return "a rule refuses this call"
}

// milliseconds rounds up, so that who comes back after them does not come too early.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, 1<<32-1))
}

// pace holds a call that a rate limit lets start later. One that would have no time left then is refused at once: the limits know of
// the budget that a call brings or a rule gives, not of its contract's.
func (r *Router) pace(b *Batch, c *Call, v *governance.Verdict) {
	if b.Now+v.Wait < c.deadline {
		r.hold(b, c, v.Wait)
		return
	}
	late := *v
	late.Code, late.RetryAfter = uint16(wire.RateLimited), v.Wait
	r.opts.Refusals.Note(b.Now, c.RPCID, &c.facts, late)
	r.refuseByRule(b, c, &late)
}

// hold gives the turn of a new call away until its rate limit lets it start.
func (r *Router) hold(b *Batch, c *Call, wait time.Duration) {
	if !c.kept {
		// The body is still in the reader's buffer.
		c.body = slices.Clone(c.body)
		c.keptSize = int64(len(c.buffer) + len(c.body))
		if r.kept.Add(c.keptSize) > r.opts.MaxKept {
			r.refuse(b, c, wire.Overloaded, "the node holds too many requests that wait for their turn")
			return
		}
	}
	c.held = true
	r.backOff(b, c, wait)
}

// start makes the first attempt of a call that was held. The table may have changed meanwhile.
func (r *Router) start(b *Batch, c *Call) {
	c.held = false
	meth, code, why := r.lookup(&c.Request)
	if code != wire.OK {
		r.refuseAll(b, c, code, why)
		return
	}
	c.method = meth
	r.wheel.arm(&c.timer, c.life, c.deadline)
	r.attempt(b, c, wire.NoInstance, noneFits)
}

// noneFits is what a call is told for which no instance was found.
const noneFits = "no instance that has the method and fits the address can be chosen"
