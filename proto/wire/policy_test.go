package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// wholePolicy has a restriction of each kind, with every field set.
func wholePolicy() *pb.Policy {
	return &pb.Policy{Epoch: 1, Version: math.MaxUint64, Restrictions: []*pb.Restriction{
		{RuleId: "r1", Method: "Charge", Caller: "web", Shadow: true, Kind: &pb.Restriction_Off{Off: &pb.Off{FallbackBody: []byte("{}"), FallbackType: "application/json"}}},
		{RuleId: "r2", Kind: &pb.Restriction_Addresses{Addresses: &pb.Addresses{AllowCidr: []string{"10.0.0.0/8", "2001:db8::/32"}, DenyCidr: []string{"10.1.0.0/16"}}}},
		{RuleId: "r3", Method: "Charge", Kind: &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: []*pb.Key{{KeyId: 1, Secret: []byte("secret")}, {Secret: []byte{0, 255}}}}}},
		{RuleId: "r4", Caller: "web", Kind: &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: 0.5, Burst: 10}}},
		{RuleId: "r5", Kind: &pb.Restriction_Late{Late: pb.Late_LATE_RUN}},
	}}
}

// policyVectors are made from one restriction each, so that each says one thing.
func policyVectors(t *testing.T) (all []policyVector) {
	add := func(name, code string, p *pb.Policy) {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		v := policyVector{Name: name, Policy: hex.EncodeToString(raw), Code: code}
		if code == "OK" && len(raw) < 1000 {
			v.Fields = plain(p)
		}
		all = append(all, v)
	}
	one := func(code, name string, change func(r *pb.Restriction)) {
		r := &pb.Restriction{RuleId: "r", Kind: &pb.Restriction_Off{Off: &pb.Off{}}}
		change(r)
		add(name, code, &pb.Policy{Epoch: 1, Version: 2, Restrictions: []*pb.Restriction{r}})
	}
	ok := func(name string, change func(r *pb.Restriction)) { one("OK", name, change) }
	bad := func(name string, change func(r *pb.Restriction)) { one("BAD_REQUEST", name, change) }
	add("nothing", "OK", &pb.Policy{})
	add("everything", "OK", wholePolicy())
	for _, f := range []struct {
		name     string
		required bool
		field    func(r *pb.Restriction) *string
	}{
		{"rule_id", true, func(r *pb.Restriction) *string { return &r.RuleId }},
		{"method", false, func(r *pb.Restriction) *string { return &r.Method }},
		{"caller", false, func(r *pb.Restriction) *string { return &r.Caller }},
	} {
		set := func(v string) func(r *pb.Restriction) { return func(r *pb.Restriction) { *f.field(r) = v } }
		ok(f.name+" of 127 bytes", set(long(127)))
		bad(f.name+" of 128 bytes", set(long(128)))
		bad(f.name+" with a blank", set("a b"))
		if f.required {
			bad(f.name+" empty", set(""))
		} else {
			ok(f.name+" empty", set(""))
		}
	}
	bad("method with a dot", func(r *pb.Restriction) { r.Method = "a.b" })
	bad("no kind", func(r *pb.Restriction) { r.Kind = nil })
	bad("fallback_type with a line feed", func(r *pb.Restriction) { r.GetOff().FallbackType = "a\n" })
	addresses := func(a *pb.Addresses) func(r *pb.Restriction) {
		return func(r *pb.Restriction) { r.Kind = &pb.Restriction_Addresses{Addresses: a} }
	}
	ok("allow one", addresses(&pb.Addresses{AllowCidr: []string{"::1/128"}}))
	ok("deny one", addresses(&pb.Addresses{DenyCidr: []string{"0.0.0.0/0"}}))
	bad("no addresses", addresses(&pb.Addresses{}))
	bad("an address of 65 bytes", addresses(&pb.Addresses{DenyCidr: []string{long(65)}}))
	keys := func(keys ...*pb.Key) func(r *pb.Restriction) {
		return func(r *pb.Restriction) { r.Kind = &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: keys}} }
	}
	many := func(n int) (all []*pb.Key) {
		for i := range n {
			all = append(all, &pb.Key{KeyId: uint32(i), Secret: []byte("s")})
		}
		return all
	}
	bad("no key", keys())
	ok("16 keys", keys(many(16)...))
	bad("17 keys", keys(many(17)...))
	bad("a key twice", keys(many(1)[0], many(1)[0]))
	bad("a key without a secret", keys(&pb.Key{KeyId: 1}))
	ok("a secret of 1024 bytes", keys(&pb.Key{Secret: []byte(long(1024))}))
	bad("a secret of 1025 bytes", keys(&pb.Key{Secret: []byte(long(1025))}))
	rate := func(perSecond, burst float64) func(r *pb.Restriction) {
		return func(r *pb.Restriction) {
			r.Kind = &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: perSecond, Burst: burst}}
		}
	}
	ok("a rate of 0", rate(0, 0))
	bad("a rate below 0", rate(-1, 1))
	bad("a burst below 0", rate(1, -1))
	bad("a rate that is no number", rate(math.NaN(), 1))
	bad("an infinite burst", rate(1, math.Inf(1)))
	late := func(l pb.Late) func(r *pb.Restriction) {
		return func(r *pb.Restriction) { r.Kind = &pb.Restriction_Late{Late: l} }
	}
	ok("late discard", late(pb.Late_LATE_DISCARD))
	bad("late unset", late(pb.Late_LATE_UNSET))
	bad("late 3", late(3))
	two := func(a, b float64) *pb.Policy {
		p := &pb.Policy{Restrictions: []*pb.Restriction{{RuleId: "r", Method: "A"}, {RuleId: "r", Method: "B"}}}
		rate(a, 1)(p.GetRestrictions()[0])
		rate(b, 1)(p.GetRestrictions()[1])
		return p
	}
	add("one rule, one rate", "OK", two(5, 5))
	add("one rule, two rates", "BAD_REQUEST", two(5, 6))
	crowd := func(n int) *pb.Policy {
		p := &pb.Policy{}
		for range n {
			p.Restrictions = append(p.Restrictions, &pb.Restriction{RuleId: "r", Kind: &pb.Restriction_Off{Off: &pb.Off{}}})
		}
		return p
	}
	add("4096 restrictions", "OK", crowd(4096))
	add("4097 restrictions", "BAD_REQUEST", crowd(4097))
	return all
}

func TestPolicyVectors(t *testing.T) {
	for _, v := range load[policyVector](t, "policies.json") {
		t.Run(v.Name, func(t *testing.T) {
			raw := unhex(v.Policy)
			// Wherever it is cut into header and body, it is the same message.
			for _, at := range []int{0, len(raw) / 2, len(raw)} {
				p, err := wire.ReadPolicy(&wire.Frame{Kind: wire.KindPolicy, Header: raw[:at:at], Body: raw[at:]})
				if code(err) != v.Code {
					t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
				}
				if v.Fields != nil {
					wantFields(t, p, v.Fields)
				}
				if err == nil {
					f, err := wire.PolicyFrame(p)
					if err != nil {
						t.Fatal(err)
					}
					again, err := wire.ReadPolicy(&f)
					if err != nil || !proto.Equal(again, p) {
						t.Errorf("sent again: %v", err)
					}
				}
			}
		})
	}
}

// TestALongPolicy: a mebibyte fits into one frame, and not a byte more.
func TestALongPolicy(t *testing.T) {
	of := func(n int) *pb.Policy {
		return &pb.Policy{Restrictions: []*pb.Restriction{{RuleId: "r", Kind: &pb.Restriction_Off{Off: &pb.Off{FallbackBody: make([]byte, n)}}}}}
	}
	around := proto.Size(of(1<<20-100)) - (1<<20 - 100)
	for _, size := range []int{100, math.MaxUint16, math.MaxUint16 + 1, wire.MaxPolicy, wire.MaxPolicy + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := of(size - around)
			for n := proto.Size(p); n != size; n = proto.Size(p) {
				p = of(len(p.GetRestrictions()[0].GetOff().GetFallbackBody()) + size - n)
			}
			f, err := wire.PolicyFrame(p)
			if size > wire.MaxPolicy {
				if code(err) != "TOO_LARGE" {
					t.Errorf("a policy of %d bytes: %v", size, err)
				}
				raw, _ := proto.Marshal(p)
				if _, err := wire.ReadPolicy(&wire.Frame{Kind: wire.KindPolicy, Body: raw}); code(err) != "TOO_LARGE" {
					t.Errorf("it is read: %v", err)
				}
				return
			}
			if err != nil || f.Size() > wire.MaxFrame+wire.NodeExtra+4 || (len(f.Body) > 0) != (size > math.MaxUint16) {
				t.Fatalf("frame of %d bytes, %d of them body: %v", f.Size(), len(f.Body), err)
			}
			decoded, _, err := wire.Decode(encode(f), wire.MaxFrame+wire.NodeExtra)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := wire.ReadPolicy(&decoded); err != nil || !proto.Equal(got, p) {
				t.Errorf("it is read back: %v", err)
			}
		})
	}
}

// TestABrokenPolicySaysWhere, and keeps its secrets.
func TestABrokenPolicySaysWhere(t *testing.T) {
	p := wholePolicy()
	p.GetRestrictions()[2].GetPasswords().GetKeys()[1].KeyId = 1
	err := wire.CheckPolicy(p)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Reason != `POLICY: restriction 3, rule "r3": key_id 1 stands twice` {
		t.Errorf("got %v", err)
	}
	if _, err := wire.PolicyFrame(p); err == nil {
		t.Error("it is sent")
	}
	p.GetRestrictions()[2].GetPasswords().Keys[1] = &pb.Key{KeyId: 2, Secret: bytes.Repeat([]byte("geheim"), 200)}
	if err := wire.CheckPolicy(p); err == nil || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "secret\"") {
		t.Errorf("got %v", err)
	}
	if _, err := wire.ReadPolicy(&wire.Frame{Header: []byte{0xff}}); code(err) != "BAD_REQUEST" {
		t.Errorf("what is no message: %v", err)
	}
}
