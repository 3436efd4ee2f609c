package wire

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
)

// Limits of a POLICY.
const (
	MaxPolicy       = 1 << 20 // bytes of the message
	MaxRestrictions = 4096
	MaxKeys         = 16 // passwords of one restriction
	MaxSecret       = 1024
	MaxCIDR         = 64 // bytes of an address and its length in bits
)

// PolicyFrame returns the frame that carries p. The error says which limit p breaks, and is an *Error: such a policy must not
// be sent, the server would close.
func PolicyFrame(p *pb.Policy) (Frame, error) {
	if err := CheckPolicy(p); err != nil {
		return Frame{}, err
	}
	message, err := proto.Marshal(p)
	if err != nil {
		return Frame{}, badRequest("POLICY: %v", err)
	}
	f := Frame{Kind: KindPolicy}
	switch {
	case len(message) > MaxPolicy:
		return Frame{}, &Error{Code: TooLarge, Reason: fmt.Sprintf("POLICY has %d bytes, must have at most %d", len(message), MaxPolicy)}
	case len(message) > math.MaxUint16:
		f.Body = message
	default:
		f.Header = message
	}
	return f, nil
}

// ReadPolicy reads what a POLICY carries: its header and behind it its body are one message. The error is nil or an *Error,
// and ends the session: nothing of such a policy may be in force. What the prefixes of addresses mean is not looked at.
func ReadPolicy(f *Frame) (*pb.Policy, error) {
	if n := len(f.Header) + len(f.Body); n > MaxPolicy {
		return nil, &Error{Code: TooLarge, Reason: fmt.Sprintf("POLICY has %d bytes, must have at most %d", n, MaxPolicy)}
	}
	message := f.Header
	if len(f.Body) > 0 {
		message = append(append(make([]byte, 0, len(f.Header)+len(f.Body)), f.Header...), f.Body...)
	}
	p := &pb.Policy{}
	if err := proto.Unmarshal(message, p); err != nil {
		return nil, badRequest("POLICY: %v", err)
	}
	if err := CheckPolicy(p); err != nil {
		return nil, err
	}
	return p, nil
}

// CheckPolicy reports the first limit that a POLICY breaks, or nil. The error is an *Error with BAD_REQUEST and names the
// restriction, and nothing of a secret.
func CheckPolicy(p *pb.Policy) error {
	if n := len(p.GetRestrictions()); n > MaxRestrictions {
		return badRequest("POLICY has %d restrictions, must have at most %d", n, MaxRestrictions)
	}
	rates := map[string]*pb.Rate{}
	for i, r := range p.GetRestrictions() {
		err := checkRestriction(r)
		if rate := r.GetRate(); err == nil && rate != nil {
			known := rates[r.GetRuleId()]
			if known != nil && (known.GetPerSecond() != rate.GetPerSecond() || known.GetBurst() != rate.GetBurst()) {
				err = badRequest("the rule has another rate in an earlier restriction, must have one: its restrictions share a bucket")
			}
			rates[r.GetRuleId()] = rate
		}
		if problem, ok := errors.AsType[*Error](err); ok {
			return badRequest("POLICY: restriction %d, rule %q: %s", i+1, clip([]byte(r.GetRuleId())), problem.Reason)
		}
	}
	return nil
}

func checkRestriction(r *pb.Restriction) error {
	if err := CheckName("rule_id", r.GetRuleId()); err != nil {
		return err
	}
	if r.GetMethod() != "" {
		if err := CheckMethod(r.GetMethod()); err != nil {
			return err
		}
	}
	if err := checkOptionalName("caller", []byte(r.GetCaller())); err != nil {
		return err
	}
	switch kind := r.GetKind().(type) {
	case *pb.Restriction_Off:
		return checkPrintable("fallback_type", []byte(kind.Off.GetFallbackType()), MaxContentType)
	case *pb.Restriction_Addresses:
		return checkAddresses(kind.Addresses)
	case *pb.Restriction_Passwords:
		return checkKeys(kind.Passwords.GetKeys())
	case *pb.Restriction_Rate:
		return checkRate(kind.Rate)
	case *pb.Restriction_Late:
		if kind.Late != pb.Late_LATE_DISCARD && kind.Late != pb.Late_LATE_RUN {
			return badRequest("late is %d, must be discard or run", int32(kind.Late))
		}
		return nil
	}
	return badRequest("it has no kind that is known, must have one")
}

func checkAddresses(a *pb.Addresses) error {
	if len(a.GetAllowCidr())+len(a.GetDenyCidr()) == 0 {
		return badRequest("addresses has neither allow_cidr nor deny_cidr, must have one at least")
	}
	for _, list := range [][]string{a.GetAllowCidr(), a.GetDenyCidr()} {
		for _, cidr := range list {
			if err := checkPrintable("cidr", []byte(cidr), MaxCIDR); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkKeys(keys []*pb.Key) error {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return badRequest("there are %d keys, must be 1 to %d", len(keys), MaxKeys)
	}
	for i, k := range keys {
		if n := len(k.GetSecret()); n == 0 || n > MaxSecret {
			return badRequest("the secret of key_id %d has %d bytes, must have 1 to %d", k.GetKeyId(), n, MaxSecret)
		}
		for _, other := range keys[:i] {
			if other.GetKeyId() == k.GetKeyId() {
				return badRequest("key_id %d stands twice", k.GetKeyId())
			}
		}
	}
	return nil
}

func checkRate(r *pb.Rate) error {
	for _, n := range []struct {
		name  string
		value float64
	}{{"per_second", r.GetPerSecond()}, {"burst", r.GetBurst()}} {
		if math.IsNaN(n.value) || math.IsInf(n.value, 0) || n.value < 0 {
			return badRequest("%s is %v, must be 0 or more, and finite", n.name, n.value)
		}
	}
	return nil
}
