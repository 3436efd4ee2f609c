package rpcserver

import (
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// digestWindow is how far a digest's time may be from this process's wall clock.
const digestWindow = 120 * time.Second

// checkPasswords wants the digest that passwords demand. All that apply must be satisfied, and the nonce is taken once.
func (s *Server) checkPasswords(t *task, lists *[2]*checks, invoker []byte, now time.Duration) refusal {
	var d digest
	var demanded *rule // a rule that the digest has satisfied; one in shadow only where no other has
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := range l.passwords {
			c := &l.passwords[i]
			if !c.applies(invoker) {
				continue
			}
			wrong := d.check(s, t, c.keys)
			switch {
			case wrong == "":
				if demanded == nil || demanded.shadow {
					demanded = &c.rule
				}
			case s.enforces(&c.rule, t, wire.BadDigest):
				return refusal{code: wire.BadDigest, rule: &c.rule, message: wrong}
			}
		}
	}
	if demanded == nil || t.asked.flags&wire.FlagDelivery != 0 {
		return refusal{}
	}
	switch s.enforced.nonces.take(&d.Digest, now, d.remaining) {
	case nonceSeen:
		if s.enforces(demanded, t, wire.Replayed) {
			return refusal{code: wire.Replayed, rule: demanded, message: "the digest's nonce was used before"}
		}
	case nonceFull:
		if s.enforces(demanded, t, wire.Overloaded) {
			return refusal{
				code: wire.Overloaded, rule: demanded, message: "too many digests are remembered", retryAfter: overloadedRetry * time.Millisecond,
			}
		}
	case nonceFresh:
	}
	return refusal{}
}

// digest is a call's digest, read when it is first asked for.
type digest struct {
	wire.Digest

	read      bool
	missing   bool
	remaining time.Duration // until it leaves the window
}

// check returns what is wrong with the digest for a method with these passwords, or "". What it says tells nothing of a
// password: not even whether the key is one of the method's.
func (d *digest) check(s *Server, t *task, keys []governance.Key) (wrong string) {
	if !d.read {
		d.read = true
		at := t.part(t.facts.digest)
		d.missing = len(at) == 0 || d.Walk(at) != nil
		// Compared as differences of seconds, which a made-up time cannot overflow.
		wall := time.Now()
		sent := time.UnixMilli(int64(min(d.TimestampMS, 1<<52)))
		d.remaining = sent.Add(digestWindow).Sub(wall)
	}
	if d.missing {
		return "the method has a password, and the call has no digest"
	}
	if t.asked.flags&wire.FlagDelivery == 0 && (d.remaining < 0 || d.remaining > 2*digestWindow) {
		return "the digest's time is more than 120 s from this instance's clock"
	}
	for i := range keys {
		if k := &keys[i]; k.ID == d.KeyID && d.Verify(k.Secret, t.part(t.facts.invoker), []byte(s.opts.Module), []byte(t.method.name),
			t.part(t.facts.messageID), t.asked.Body) {
			return ""
		}
	}
	return "the digest is not that of a password of the method"
}
