package rpcserver

import (
	"net/netip"
	"time"
	"unsafe"

	"github.com/twohop/twohop/proto/wire"
)

// facts are the parts of a request's header that policies look at, as places in the task's copy of it.
type facts struct{ invoker, ip, digest, messageID span }

// span is a part of a header, which has at most 20 KiB.
type span struct{ from, to uint16 }

// spanOf says where part lies in whole, of which it is a subslice: they end at the same capacity.
func spanOf(whole, part []byte) span {
	if part == nil {
		return span{}
	}
	from := cap(whole) - cap(part)
	return span{uint16(from), uint16(from + len(part))}
}

func factsOf(header []byte, h *wire.Request) facts {
	return facts{
		spanOf(header, h.Stamp.InvokerModule), spanOf(header, h.Stamp.InvokerIP), spanOf(header, h.Digest), spanOf(header, h.MessageID),
	}
}

// part returns a part of the task's header.
func (t *task) part(s span) []byte { return t.asked.header[s.from:s.to] }

// refusal is why a handler is not started.
type refusal struct {
	code       wire.Code
	rule       *rule // nil: no rule says so
	message    string
	retryAfter time.Duration
	body       []byte
	bodyType   string
}

// admit decides whether a task's handler may start now. One that may not has been answered.
func (s *Server) admit(t *task) bool {
	now, late := s.client.Clock().Now(), t.late
	var decided *rule // about late
	p := s.enforced.current.Load()
	if p != nil {
		if own := p.methods[t.method.name]; own != nil || p.others != nil {
			lists := [...]*checks{own, p.others}
			if r := s.restrict(t, &lists, now); r.code != 0 {
				s.turnDown(t, p, &r)
				return false
			}
			late, decided = s.lateness(t, &lists, now)
		}
	}
	if late || now < t.due {
		return true
	}
	r := refusal{code: wire.Expired, rule: decided, message: "its time was up before the handler could start"}
	s.turnDown(t, p, &r)
	return false
}

// restrict asks what may refuse a call whatever time it has left. The zero refusal admits it.
func (s *Server) restrict(t *task, lists *[2]*checks, now time.Duration) refusal {
	invoker := t.part(t.facts.invoker)
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := range l.off {
			if c := &l.off[i]; c.applies(invoker) && s.enforces(&c.rule, t, wire.Degraded) {
				return refusal{code: wire.Degraded, rule: &c.rule, message: "it is switched off", body: c.body, bodyType: c.contentType}
			}
		}
	}
	if denied := s.checkAddress(t, lists, invoker); denied != nil {
		return refusal{code: wire.Denied, rule: denied, message: "calls from " + string(t.part(t.facts.ip)) + " are not allowed"}
	}
	if r := s.checkPasswords(t, lists, invoker, now); r.code != 0 {
		return r
	}
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := range l.rates {
			c := &l.rates[i]
			if !c.applies(invoker) {
				continue
			}
			if ok, after := c.bucket.Take(now); !ok && s.enforces(&c.rule, t, wire.RateLimited) {
				return refusal{code: wire.RateLimited, rule: &c.rule, message: "this instance runs no more calls a second", retryAfter: after}
			}
		}
	}
	return refusal{}
}

// checkAddress returns the rule that does not let the call in from where it comes, or nil.
func (s *Server) checkAddress(t *task, lists *[2]*checks, invoker []byte) *rule {
	var from netip.Addr
	parsed := false
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := range l.addresses {
			c := &l.addresses[i]
			if !c.applies(invoker) {
				continue
			}
			if !parsed {
				from, parsed = address(t.part(t.facts.ip)), true
			}
			if !(from.IsValid() && c.allowed.Allows(from)) && s.enforces(&c.rule, t, wire.Denied) {
				return &c.rule
			}
		}
	}
	return nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// address returns the address that a stamp says, or none.
func address(text []byte) netip.Addr {
	switch {
	case len(text) == 0:
		return netip.Addr{}
	case string(text) == "unix":
		return loopback
	}
	// A copy would be the only allocation of a check. The header does not change, and nothing keeps the text.
	from, err := netip.ParseAddr(unsafe.String(&text[0], len(text))) //nolint:gosec // see above
	if err != nil {
		return netip.Addr{}
	}
	return from
}

// lateness says whether the call runs although its time is up, and which rule said that it does not.
func (s *Server) lateness(t *task, lists *[2]*checks, now time.Duration) (late bool, decided *rule) {
	invoker := t.part(t.facts.invoker)
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := range l.lates {
			c := &l.lates[i]
			switch {
			case !c.applies(invoker):
			case !c.shadow && c.run:
				return true, nil
			case !c.shadow && t.late:
				return false, &c.rule
			case !c.shadow:
				return false, nil
			case !c.run && t.late && now >= t.due:
				s.enforces(&c.rule, t, wire.Expired)
			}
		}
	}
	return t.late, nil
}

// enforces reports whether what a rule refuses is refused. In shadow it is counted, and logged once a second, and runs.
func (s *Server) enforces(r *rule, t *task, code wire.Code) bool {
	if !r.shadow {
		return true
	}
	s.stats.shadowed.Add(1)
	s.seldom(r.cause, func(unsaid int) {
		s.opts.Logger.Info("a rule in shadow would refuse", "rule", r.id, "code", code.String(), "method", t.method.name,
			"caller", string(t.part(t.facts.invoker)), "rpc_id", t.asked.rpcID, "unsaid", unsaid)
	})
	return false
}

// turnDown answers a call whose handler is not started.
func (s *Server) turnDown(t *task, p *policy, r *refusal) {
	s.count(t, r.code)
	said := wire.Refusal{Message: r.message, RetryAfterMS: milliseconds(r.retryAfter)}
	if r.rule != nil {
		said.RuleID, said.RuleVersion = r.rule.id, p.version
	}
	if len(r.body) > 0 {
		said.ContentType = r.bodyType
	}
	s.respond(t, r.code, wire.AppendRefusal(nil, &said), r.body)
}

// count counts a call whose handler is not started, by the name of why.
func (s *Server) count(t *task, code wire.Code) {
	switch code {
	case wire.Degraded:
		s.stats.degraded.Add(1)
	case wire.Denied:
		s.stats.denied.Add(1)
	case wire.BadDigest:
		s.stats.badDigest.Add(1)
	case wire.Replayed:
		s.stats.replayed.Add(1)
	case wire.RateLimited:
		s.stats.rateLimited.Add(1)
	case wire.Overloaded:
		s.stats.overloaded.Add(1)
	case wire.Expired:
		s.stats.expired.Add(1)
	}
	t.method.counts.left(code)
}

// milliseconds rounds up: who comes back then is not too early.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, 1<<32-1))
}
