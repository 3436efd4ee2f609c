package rpcserver

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/access"
	"github.com/twohop/twohop/governance/ratelimit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// policy is what the newest POLICY restricts, compiled. It does not change; what its buckets count does.
type policy struct {
	version uint64
	methods map[string]*checks // of the methods that a restriction names
	others  *checks            // of all methods, nil if there are none
}

// checks are restrictions by kind, each kind in the order of the POLICY.
type checks struct {
	off       []offCheck
	addresses []addressCheck
	passwords []passwordCheck
	rates     []rateCheck
	lates     []lateCheck
}

// rule is what every check knows of where it comes from.
type rule struct {
	id     string
	caller string // empty: all callers
	shadow bool
	cause  string // under which its shadow is logged
}

type (
	offCheck struct {
		rule
		body        []byte
		contentType string
	}
	addressCheck struct {
		rule
		allowed *access.Set
	}
	passwordCheck struct {
		rule
		keys []governance.Key
	}
	rateCheck struct {
		rule
		bucket *ratelimit.Bucket
	}
	lateCheck struct {
		rule
		run bool
	}
)

// applies reports whether calls of the module are meant.
func (r *rule) applies(invoker []byte) bool { return r.caller == "" || r.caller == string(invoker) }

// enforcement holds the newest policy, whichever node sent it.
type enforcement struct {
	current atomic.Pointer[policy] // nil where nothing is restricted
	known   atomic.Bool            // a policy has come
	nonces  *nonces

	// Guarded by mu.
	mu      sync.Mutex
	mark    governance.Mark
	buckets map[string]*ratelimit.Bucket // by rule
}

// replace puts a policy in force, unless it is older than the one that is. Of two with one mark the later counts: rules end by
// themselves, and the document goes on without them. An error means that it is broken, and that nothing has changed.
func (e *enforcement) replace(p *pb.Policy, now time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	mark := governance.Mark{Epoch: p.GetEpoch(), Version: p.GetVersion()}
	if mark.Less(e.mark) {
		return nil
	}
	next, buckets, err := e.compileLocked(p, now)
	if err != nil {
		return err
	}
	e.mark, e.buckets = mark, buckets
	e.current.Store(next)
	e.known.Store(true)
	return nil
}

// newest returns the mark of the policy in force.
func (e *enforcement) newest() governance.Mark {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mark
}

// compileLocked returns what a policy says, nil if that is nothing, and the buckets of its rules: those that there are
// already go on, with the new rate.
func (e *enforcement) compileLocked(p *pb.Policy, now time.Duration) (*policy, map[string]*ratelimit.Bucket, error) {
	if len(p.GetRestrictions()) == 0 {
		return nil, nil, nil
	}
	next := &policy{version: p.GetVersion(), methods: map[string]*checks{}}
	buckets, rates := map[string]*ratelimit.Bucket{}, map[string]*pb.Rate{}
	for _, r := range p.GetRestrictions() {
		into := next.of(r.GetMethod())
		is := rule{id: r.GetRuleId(), caller: r.GetCaller(), shadow: r.GetShadow(), cause: "shadow of " + r.GetRuleId()}
		switch kind := r.GetKind().(type) {
		case *pb.Restriction_Off:
			into.off = append(into.off, offCheck{is, kind.Off.GetFallbackBody(), kind.Off.GetFallbackType()})
		case *pb.Restriction_Addresses:
			set, err := addressSet(r)
			if err != nil {
				return nil, nil, err
			}
			into.addresses = append(into.addresses, addressCheck{is, set})
		case *pb.Restriction_Passwords:
			into.passwords = append(into.passwords, passwordCheck{is, keys(kind.Passwords)})
		case *pb.Restriction_Rate:
			rates[is.id] = kind.Rate
			bucket := buckets[is.id]
			if bucket == nil {
				bucket = e.buckets[is.id]
			}
			if bucket == nil {
				bucket = ratelimit.NewBucket(kind.Rate.GetPerSecond(), kind.Rate.GetBurst())
			}
			buckets[is.id] = bucket
			into.rates = append(into.rates, rateCheck{is, bucket})
		case *pb.Restriction_Late:
			into.lates = append(into.lates, lateCheck{is, kind.Late == pb.Late_LATE_RUN})
		}
	}
	for id, rate := range rates { // last, when nothing can fail any more
		buckets[id].Set(now, rate.GetPerSecond(), rate.GetBurst())
	}
	return next, buckets, nil
}

// of returns the checks of a method, or of all methods for "".
func (p *policy) of(method string) *checks {
	if method == "" {
		if p.others == nil {
			p.others = &checks{}
		}
		return p.others
	}
	c := p.methods[method]
	if c == nil {
		c = &checks{}
		p.methods[method] = c
	}
	return c
}

// addressSet returns the addresses of a restriction. The error is a *wire.Error, which ends the session.
func addressSet(r *pb.Restriction) (*access.Set, error) {
	var a governance.Addresses
	for _, list := range []struct {
		from []string
		to   *[]netip.Prefix
	}{{r.GetAddresses().GetAllowCidr(), &a.Allow}, {r.GetAddresses().GetDenyCidr(), &a.Deny}} {
		for _, text := range list.from {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, &wire.Error{Code: wire.BadRequest, Reason: "POLICY: rule " + r.GetRuleId() + ": " + err.Error()}
			}
			*list.to = append(*list.to, prefix)
		}
	}
	return access.NewSet(&a), nil
}

func keys(p *pb.Passwords) []governance.Key {
	all := make([]governance.Key, 0, len(p.GetKeys()))
	for _, k := range p.GetKeys() {
		all = append(all, governance.Key{ID: k.GetKeyId(), Secret: k.GetSecret()})
	}
	return all
}
