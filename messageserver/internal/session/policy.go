package session

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// policies tells servers what they have to enforce next to their handlers, when that has changed.
type policies struct {
	// Held while the rules are asked and POLICY is queued, so that the last one that a module gets is the newest.
	telling sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	changes uint64 // how often the rules have changed
	pending bool   // servers are going to be told
}

// RulesChanged says that Options.Governor has other restrictions than before. All open server sessions are told, also those
// for which they are the same: their POLICY_OK says that the new document is in force. It does not block.
func (s *Sessions) RulesChanged() {
	p := &s.policies
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
	if !p.pending {
		p.pending = true
		go s.tellPolicies()
	}
}

func (s *Sessions) ruleChanges() uint64 {
	s.policies.mu.Lock()
	defer s.policies.mu.Unlock()
	return s.policies.changes
}

// tellPolicies tells every server its policy, one module after the other: a policy may be large, and is written to the servers of a
// module before that of the next one is made.
func (s *Sessions) tellPolicies() {
	p := &s.policies
	p.mu.Lock()
	p.pending = false
	p.mu.Unlock()
	servers := make(map[string][]*session)
	for _, c := range s.snapshot() {
		if c.isOpen() && c.isServer() {
			servers[c.login.GetModule()] = append(servers[c.login.GetModule()], c)
		}
	}
	for module, sessions := range servers {
		s.tellModule(module, sessions)
	}
}

// tellModule tells servers of a module its policy. From any goroutine.
func (s *Sessions) tellModule(module string, sessions []*session) {
	p := &s.policies
	wake := make([]*session, 0, len(sessions))
	p.telling.Lock()
	f := s.policyFrame(module)
	for _, c := range sessions {
		if c.sendPolicy(f) {
			wake = append(wake, c)
		}
	}
	p.telling.Unlock()
	for _, c := range wake {
		c.conn.Flush()
	}
}

// tellPolicy tells one server its policy. From any goroutine.
func (c *session) tellPolicy() { c.room.tellModule(c.login.GetModule(), []*session{c}) }

// policyAgain is how soon a policy is told again for which there was no room.
const policyAgain = 100 * time.Millisecond

// sendPolicy queues a POLICY, and reports whether the connection has to be flushed. A server that does not read has no room for
// it: it is told the newest later, and goes on with what it has until then.
func (c *session) sendPolicy(f wire.Frame) (wake bool) {
	wake, err := c.conn.Send(frameconn.Control, &f, false)
	if errors.Is(err, frameconn.ErrFull) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.owed && !c.gone {
			c.owed = true
			time.AfterFunc(policyAgain, func() {
				c.mu.Lock()
				c.owed = false
				c.mu.Unlock()
				c.tellPolicy()
			})
		}
		return false
	}
	return err == nil && wake
}

// policyFrame returns what the servers of a module have to enforce. A policy that no frame can carry is told as far as the
// document's mark: what it says is then enforced at the ingress only, and the log says so.
func (s *Sessions) policyFrame(module string) wire.Frame {
	mark, restrictions := s.opts.Governor.Restrictions(module)
	p := &pb.Policy{Epoch: mark.Epoch, Version: mark.Version, Restrictions: make([]*pb.Restriction, 0, len(restrictions))}
	for i := range restrictions {
		p.Restrictions = append(p.Restrictions, restriction(&restrictions[i]))
	}
	f, err := wire.PolicyFrame(p)
	if err == nil {
		return f
	}
	s.log("policy not told", err, "module", module, "restrictions", len(restrictions))
	f, _ = wire.PolicyFrame(&pb.Policy{Epoch: mark.Epoch, Version: mark.Version}) // it breaks no limit
	return f
}

// restriction translates one rule for the frame.
func restriction(r *governance.Restriction) *pb.Restriction {
	m := &pb.Restriction{RuleId: r.RuleID, Method: r.Method, Caller: r.Caller, Shadow: r.Shadow}
	switch {
	case r.Off != nil:
		m.Kind = &pb.Restriction_Off{Off: &pb.Off{FallbackBody: r.Off.Fallback, FallbackType: r.Off.FallbackType}}
	case r.Addresses != nil:
		m.Kind = &pb.Restriction_Addresses{Addresses: &pb.Addresses{
			AllowCidr: texts(r.Addresses.Allow), DenyCidr: texts(r.Addresses.Deny),
		}}
	case len(r.Password) > 0:
		keys := make([]*pb.Key, 0, len(r.Password))
		for _, k := range r.Password {
			keys = append(keys, &pb.Key{KeyId: k.ID, Secret: k.Secret})
		}
		m.Kind = &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: keys}}
	case r.Rate != nil:
		m.Kind = &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: r.Rate.PerSecond, Burst: r.Rate.Burst}}
	case r.Late == governance.LateDiscard:
		m.Kind = &pb.Restriction_Late{Late: pb.Late_LATE_DISCARD}
	case r.Late == governance.LateRun:
		m.Kind = &pb.Restriction_Late{Late: pb.Late_LATE_RUN}
	}
	return m
}

func texts(prefixes []netip.Prefix) []string {
	all := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}

// Enforcing says how many server sessions of a module there are, of all modules for "", and how many of them have said that
// they enforce the document with the given mark, or a newer one.
func (s *Sessions) Enforcing(module string, mark governance.Mark) (servers, enforcing int) {
	for _, c := range s.snapshot() {
		if c.currentState() != stateOpen || !c.isServer() || module != "" && c.login.GetModule() != module {
			continue
		}
		servers++
		c.mu.Lock()
		if c.policyOK && !c.enforces.Less(mark) {
			enforcing++
		}
		c.mu.Unlock()
	}
	return servers, enforcing
}
