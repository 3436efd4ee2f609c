package wire_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// controlMessage returns an empty message of the name that PROTOCOL.md uses in the table of kinds.
func controlMessage(name string) proto.Message {
	for _, m := range []proto.Message{
		&pb.Login{}, &pb.Challenge{}, &pb.Proof{}, &pb.Welcome{}, &pb.Refuse{}, &pb.Goaway{}, &pb.RequestHeader{}, &pb.ResponseHeader{},
		&pb.Policy{}, &pb.PolicyOk{}, &pb.Lease{}, &pb.Methods{}, &pb.Nodes{}, &pb.Hello{}, &pb.Snapshot{}, &pb.Delta{}, &pb.Heartbeat{},
		&pb.Resync{}, &pb.Goodbye{}, &pb.PingReport{}, &pb.HandlerCounts{}, &pb.OutcomeQuery{}, &pb.OutcomeReport{},
	} {
		if string(m.ProtoReflect().Descriptor().Name()) == name {
			return m
		}
	}
	panic("no message " + name)
}

func wholeLogin() *pb.Login {
	return &pb.Login{
		VersionMin: 1, VersionMax: 2, Features: math.MaxUint64, Module: "pay", Instance: "pay-1", InstanceUuid: "0f8fad5b-d9cb-469f-a165-70867728950e",
		Stamp: &pb.Stamp{N: 1<<63 - 1, Node: "n1"}, Group: "blue", Role: pb.Role_ROLE_BOTH, Lifetime: pb.Lifetime_LIFETIME_SHORT,
		Methods: []*pb.Method{
			{Name: "Charge", Reachable: true, DefaultTimeoutMs: 3000},
			{Name: "Balance", Idempotent: true, Visibility: pb.Visibility_VISIBILITY_EXTERNAL, RunLate: true},
		},
		Weight: 1000, Zone: "eu", AppVersion: "1.2.3", Needs: []string{"ledger", "web.mail"}, Sdk: "go/1", KeyId: 2, ScramClientFirst: []byte("n,,n=pay,r=nonce"),
	}
}

func messageVectors(t *testing.T) (all []messageVector) {
	node := []*pb.Node{{Name: "n2", Address: "10.0.0.2:7000"}}
	methods := wholeLogin().GetMethods()
	digest := &pb.Digest{KeyId: 1, Nonce: []byte("0123456789abcdef"), TimestampMs: 1700000000000, Mac: make([]byte, 32)}
	add := func(kind wire.Kind, f wire.Frame, m proto.Message) {
		h, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		f.Kind, f.Header = kind, h
		name := string(m.ProtoReflect().Descriptor().Name())
		all = append(all, messageVector{
			Name: fmt.Sprintf("%s with %s", kind, name), Kind: uint8(kind), Message: name,
			Hex: hex.EncodeToString(encode(f)), Fields: plain(m),
		})
	}
	add(1, wire.Frame{}, wholeLogin())
	add(2, wire.Frame{}, &pb.Challenge{ScramServerFirst: []byte("r=nonce,s=c2FsdA==,i=4096")})
	add(3, wire.Frame{}, &pb.Proof{ScramClientFinal: []byte("c=biws,r=nonce,p=cHJvb2Y=")})
	add(4, wire.Frame{}, &pb.Welcome{
		Version: 1, Features: 1 << 63, ScramServerFinal: []byte("v=c2ln"), Node: "n1", Session: 1<<63 - 1, Stamp: &pb.Stamp{N: 5, Node: "n1"},
		Limits:      &pb.Limits{MaxFrame: wire.MaxFrame, MaxMessage: wire.MaxMessage, MaxInFlight: 1024, MaxHeader: wire.MaxHeader},
		HeartbeatMs: 5000, DeadMs: 12000, Nodes: node, RulesVersion: math.MaxUint64, Mesh: "prod", Number: 511, Incarnation: 7,
	})
	add(5, wire.Frame{}, &pb.Refuse{Code: 22, Message: "too many logins", RetryAfterMs: 500, Try: node, MinIncarnation: 9})
	add(10, wire.Frame{}, &pb.Goaway{Code: 26, Message: "restart", RetryAfterMs: 1, Try: node})
	add(16, wire.Frame{Flags: 16, CallID: 9, BudgetMS: 2000, Attempt: 1}, &pb.RequestHeader{
		Module: "pay", Method: "Charge", Group: "blue", Instance: "pay-1", Balance: pb.Balance_BALANCE_HASH, HashKey: []byte{0, 255}, Options: 7, MessageId: "order 7",
		MaxAttempts: 3, DelayMs: 10, ValidForMs: 20, FirstAttemptAgeMs: 30, UserData: []byte{1}, ContentType: "application/json", Digest: digest,
		Metadata:      []*pb.Metadata{{Key: "traceparent", Value: "00-00"}, {Key: "k", Value: "é"}},
		InvokerModule: "web", InvokerInstance: "web-3", InvokerIp: "2001:db8::1", InvokerSession: 1 << 62, InvokerCall: math.MaxUint64, IngressNode: "n1",
		ReceivedAt: 1700000000000000, Target: 77, MessageAttempt: 2, Fence: 8, Redelivered: true, LeaseMs: 30000, Late: 2,
	})
	add(17, wire.Frame{CallID: 9, Status: 96}, &pb.ResponseHeader{
		AppCode: "E42", Message: "no", ContentType: "text/plain", RetryAfterMs: 5, Details: []*pb.Metadata{{Key: "k", Value: "v"}}, Permanent: true,
		Node: "n1", Hop: 2, RuleId: "r1", RuleVersion: math.MaxUint64, Try: []string{"n2", "n3"},
		Unknown:  []*pb.Receiver{{Module: "pay", Instance: "pay-1", InstanceUuid: "u1", Node: "n2"}},
		Receiver: &pb.Receiver{Module: "pay", Instance: "pay-2", InstanceUuid: "u2", Node: "n1"},
		Attempts: 2, HopTimes: []*pb.HopTime{{Node: "n1", Micros: 120}}, Durability: pb.Durability_DURABILITY_REPLICATED, MessageState: pb.MessageState_MESSAGE_STATE_DONE,
	})
	add(24, wire.Frame{}, wholePolicy())
	add(25, wire.Frame{}, &pb.PolicyOk{Epoch: 1, Version: 2})
	add(26, wire.Frame{CallID: 9}, &pb.Lease{LeaseMs: 30000, Fence: 8})
	add(27, wire.Frame{}, &pb.Methods{Methods: methods})
	add(28, wire.Frame{}, &pb.Nodes{Nodes: node})
	add(32, wire.Frame{}, &pb.Hello{
		VersionMin: 1, VersionMax: 1, Features: 1, Mesh: "prod", Node: "n1", Number: 511, BootId: make([]byte, 16), Incarnation: 1700000000000, MembershipHash: 3,
		ScramClientFirst: []byte("n,,n=prod,r=nonce"), KnownIncarnation: 4, KnownVersion: 5, KnownDigest: make([]byte, 16), ModuleAddress: "10.0.0.1:7070",
	})
	entries := []*pb.Entry{{
		Session: 1 << 62, Module: "pay", Instance: "pay-1", InstanceUuid: "u1", Group: "blue", Weight: 100, Zone: "eu", AppVersion: "1",
		Stamp: &pb.Stamp{N: 1, Node: "n1"}, ContractHash: math.MaxUint64, Draining: true, AgeMs: 5000,
	}}
	contracts := []*pb.Contract{{Hash: math.MaxUint64, Methods: methods}}
	add(33, wire.Frame{}, &pb.Snapshot{Incarnation: 1, Version: 2, Index: 1, Last: true, Count: 1, Digest: make([]byte, 16), Entries: entries, Contracts: contracts})
	add(34, wire.Frame{}, &pb.Delta{Incarnation: 1, FromVersion: 2, ToVersion: 3, Put: entries, Del: []uint64{math.MaxUint64, 1}, Contracts: contracts, Index: 4, Last: true, Count: 5, Digest: make([]byte, 16)})
	add(35, wire.Frame{}, &pb.Heartbeat{
		Incarnation: 1, Version: 2, Digest: make([]byte, 16), Count: 3, Sequence: 4, HeardSequence: 5, RulesEpoch: 6, RulesVersion: 7, RulesHash: make([]byte, 32),
		Reaches: []uint32{0, 511}, LateMs: 8, HeardAgoUs: 9, MembershipHash: math.MaxUint64,
	})
	add(36, wire.Frame{}, &pb.Resync{HaveIncarnation: 1, HaveVersion: 2})
	add(37, wire.Frame{}, &pb.Goodbye{Reason: "stop", DrainMs: 30000})
	return all
}

func loginVectors(t *testing.T) (all []loginVector) {
	add := func(name, code string, problems int, change func(l *pb.Login)) {
		l := wholeLogin()
		if change != nil {
			change(l)
		}
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		v := loginVector{Name: name, Login: hex.EncodeToString(raw), Code: code, Problems: problems}
		if code == "OK" && len(l.GetMethods()) < 10 {
			v.Fields = plain(l)
		}
		all = append(all, v)
	}
	ok := func(name string, change func(l *pb.Login)) { add(name, "OK", 0, change) }
	bad := func(name string, change func(l *pb.Login)) { add(name, "BAD_REQUEST", 1, change) }
	caller := func(l *pb.Login) { l.Role, l.Methods = pb.Role_ROLE_CALLER, nil }

	ok("everything", nil)
	ok("the smallest caller", func(l *pb.Login) {
		proto.Reset(l)
		l.VersionMin, l.VersionMax, l.Module, l.InstanceUuid, l.Role = 1, 1, "web", "u", pb.Role_ROLE_CALLER
	})
	ok("a server", func(l *pb.Login) { l.Role = pb.Role_ROLE_SERVER })
	ok("a server that reports its methods later", func(l *pb.Login) { l.Methods = nil })
	bad("role 0", func(l *pb.Login) { l.Role = 0 })
	bad("role 4", func(l *pb.Login) { l.Role = 4 })
	bad("lifetime 2", func(l *pb.Login) { l.Lifetime = 2 })
	bad("a caller with methods", func(l *pb.Login) { l.Role = pb.Role_ROLE_CALLER })
	ok("a caller without an instance", func(l *pb.Login) { caller(l); l.Instance = "" })
	bad("a server without an instance", func(l *pb.Login) { l.Instance = "" })
	bad("no versions", func(l *pb.Login) { l.VersionMin, l.VersionMax = 0, 0 })
	bad("versions from 0", func(l *pb.Login) { l.VersionMin = 0 })
	bad("versions out of order", func(l *pb.Login) { l.VersionMin, l.VersionMax = 2, 1 })
	ok("versions that are not spoken yet", func(l *pb.Login) { l.VersionMin, l.VersionMax = 9, 9 })
	for _, f := range []struct {
		name     string
		required bool
		field    func(l *pb.Login) *string
	}{
		{"module", true, func(l *pb.Login) *string { return &l.Module }},
		{"instance", true, func(l *pb.Login) *string { return &l.Instance }},
		{"stamp.node", true, func(l *pb.Login) *string { return &l.Stamp.Node }},
		{"needs", true, func(l *pb.Login) *string { return &l.Needs[0] }},
		{"group", false, func(l *pb.Login) *string { return &l.Group }},
		{"zone", false, func(l *pb.Login) *string { return &l.Zone }},
	} {
		set := func(v string) func(l *pb.Login) { return func(l *pb.Login) { *f.field(l) = v } }
		ok(f.name+" of 127 bytes", set(long(127)))
		bad(f.name+" of 128 bytes", set(long(128)))
		bad(f.name+" with a line feed", set("a\n"))
		bad(f.name+" with a blank", set("a b"))
		if f.required {
			bad(f.name+" empty", set(""))
		} else {
			ok(f.name+" empty", set(""))
		}
	}
	bad("module that begins with _", func(l *pb.Login) { l.Module = "_node" })
	ok("module with _ inside", func(l *pb.Login) { l.Module = "pay_eu" })
	bad("instance_uuid empty", func(l *pb.Login) { l.InstanceUuid = "" })
	ok("instance_uuid of 64 bytes", func(l *pb.Login) { l.InstanceUuid = long(64) })
	bad("instance_uuid of 65 bytes", func(l *pb.Login) { l.InstanceUuid = long(65) })
	bad("instance_uuid with a slash", func(l *pb.Login) { l.InstanceUuid = "a/b" })
	ok("no stamp", func(l *pb.Login) { l.Stamp = nil })
	bad("stamp.n 0", func(l *pb.Login) { l.Stamp.N = 0 })
	bad("stamp.n 2^63", func(l *pb.Login) { l.Stamp.N = 1 << 63 })
	ok("weight 0", func(l *pb.Login) { l.Weight = 0 })
	bad("weight 1001", func(l *pb.Login) { l.Weight = 1001 })
	ok("app_version of 127 bytes", func(l *pb.Login) { l.AppVersion = long(127) })
	bad("app_version of 128 bytes", func(l *pb.Login) { l.AppVersion = long(128) })
	bad("sdk with a control character", func(l *pb.Login) { l.Sdk = "go\x1b" })
	needs := func(n int) func(l *pb.Login) {
		return func(l *pb.Login) { l.Needs = strings.Split(strings.Repeat("m,", n-1)+"m", ",") }
	}
	ok("needs 64 modules", needs(64))
	bad("needs 65 modules", needs(65))
	methods := func(n int) func(l *pb.Login) {
		return func(l *pb.Login) {
			l.Methods = nil
			for i := range n {
				l.Methods = append(l.Methods, &pb.Method{Name: "M" + strconv.Itoa(i)})
			}
		}
	}
	ok("1024 methods", methods(1024))
	bad("1025 methods", methods(1025))
	for name, v := range []string{"", "a.b", "_ping", "a b", "a\x00", long(128)} {
		bad(fmt.Sprintf("bad method %d", name), func(l *pb.Login) { l.Methods[0].Name = v })
	}
	bad("a method twice", func(l *pb.Login) { l.Methods[1].Name = l.GetMethods()[0].GetName() })
	bad("visibility 3", func(l *pb.Login) { l.Methods[0].Visibility = 3 })
	add("five problems at once", "BAD_REQUEST", 5, func(l *pb.Login) {
		l.Module, l.Role, l.Weight, l.InstanceUuid, l.Methods[0].Name = "", 0, 5000, "", "_x"
	})
	add("1024 problems are counted", "BAD_REQUEST", 1024, func(l *pb.Login) {
		methods(1024)(l)
		for _, m := range l.GetMethods() {
			m.Name = "_" + m.GetName()
		}
	})
	return all
}

// countProblems counts what an error of CheckLogin names, with those that it only counts.
func countProblems(err error) int {
	var e *wire.Error
	if !errors.As(err, &e) {
		return 0
	}
	reasons := strings.Split(e.Reason, "; ")
	var more int
	if n, _ := fmt.Sscanf(reasons[len(reasons)-1], "and %d more", &more); n == 1 {
		return len(reasons) - 1 + more
	}
	return len(reasons)
}

func versionVectors() []versionVector {
	return []versionVector{
		{1, 1, "OK", 1}, {1, 2, "OK", 1}, {1, math.MaxUint32, "OK", 1},
		{2, 2, "UNIMPLEMENTED", 0}, {2, 255, "UNIMPLEMENTED", 0},
		{0, 0, "BAD_REQUEST", 0}, {0, 1, "BAD_REQUEST", 0}, {2, 1, "BAD_REQUEST", 0}, {math.MaxUint32, 1, "BAD_REQUEST", 0},
	}
}

func partsVectors() (all []partsVector) {
	more := wire.FlagMore
	first := func(kind wire.Kind, flags wire.Flags, id uint64, body string) wire.Frame {
		f := wire.Frame{Kind: kind, Flags: flags, CallID: id, Body: []byte(body)}
		if kind == wire.KindRequest {
			f.Header = call()
		}
		return f
	}
	part := func(of wire.Kind, flags wire.Flags, id uint64, body string) wire.Frame {
		return wire.Frame{Kind: wire.KindPart, Flags: flags, CallID: id, Status: wire.Code(of), Body: []byte(body)}
	}
	request := func(id uint64, body string) joined {
		return joined{16, strconv.FormatUint(id, 10), hex.EncodeToString(call()), hex.EncodeToString([]byte(body))}
	}
	response := func(id uint64, body string) joined {
		return joined{17, strconv.FormatUint(id, 10), "", hex.EncodeToString([]byte(body))}
	}
	add := func(name, code string, messages []joined, frames ...wire.Frame) {
		v := partsVector{Name: name, Code: code, Messages: append([]joined{}, messages...)}
		for _, f := range frames {
			v.Frames = append(v.Frames, hex.EncodeToString(encode(f)))
		}
		all = append(all, v)
	}
	add("one frame", "OK", []joined{request(7, "abc")}, first(16, 0, 7, "abc"))
	add("two frames", "OK", []joined{request(7, "abcd")}, first(16, more, 7, "ab"), part(16, 0, 7, "cd"))
	add("three frames", "OK", []joined{response(7, "abcdef")}, first(17, more, 7, "ab"), part(17, more, 7, "cd"), part(17, 0, 7, "ef"))
	add("empty parts", "OK", []joined{request(7, "")}, first(16, more, 7, ""), part(16, more, 7, ""), part(16, 0, 7, ""))
	add("a small one between", "OK", []joined{response(9, "x"), request(7, "abcd")},
		first(16, more, 7, "ab"), first(17, 0, 9, "x"), part(16, 0, 7, "cd"))
	add("one call_id, both kinds", "OK", []joined{response(7, "wxyz"), request(7, "abcd")},
		first(16, more, 7, "ab"), first(17, more, 7, "wx"), part(17, 0, 7, "yz"), part(16, 0, 7, "cd"))
	add("four open", "OK", []joined{request(1, "aa"), request(2, "bb"), request(3, "cc"), request(4, "dd")},
		first(16, more, 1, "a"), first(16, more, 2, "b"), first(16, more, 3, "c"), first(16, more, 4, "d"),
		part(16, 0, 1, "a"), part(16, 0, 2, "b"), part(16, 0, 3, "c"), part(16, 0, 4, "d"))
	add("one-way", "OK", []joined{request(0, "abcd")}, first(16, more|wire.FlagOneWay, 0, "ab"), part(16, 0, 0, "cd"))
	add("nothing open", "BAD_REQUEST", nil, part(16, 0, 7, "x"))
	add("the other kind is open", "BAD_REQUEST", nil, first(16, more, 7, "ab"), part(17, 0, 7, "cd"))
	add("another call_id is open", "BAD_REQUEST", nil, first(16, more, 7, "ab"), part(16, 0, 8, "cd"))
	add("already complete", "BAD_REQUEST", []joined{request(7, "abcd")}, first(16, more, 7, "ab"), part(16, 0, 7, "cd"), part(16, 0, 7, "ef"))
	add("the same key opened twice", "BAD_REQUEST", nil, first(16, more, 7, "ab"), first(16, more, 7, "ab"))
	add("two one-way messages at a time", "BAD_REQUEST", nil, first(16, more|wire.FlagOneWay, 0, "ab"), first(16, more|wire.FlagOneWay, 0, "ab"))
	add("five open", "BAD_REQUEST", nil, first(16, more, 1, "a"), first(16, more, 2, "b"), first(16, more, 3, "c"), first(17, more, 4, "d"), first(16, more, 5, "e"))
	add("part of a LOGIN", "BAD_REQUEST", nil, part(1, 0, 7, "x"))
	withHeader := part(16, 0, 7, "cd")
	withHeader.Header = call()
	add("part with a header", "BAD_REQUEST", nil, first(16, more, 7, "ab"), withHeader)
	return all
}

func hmacSHA256(key, input []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(input)
	return h.Sum(nil)
}

func digestVectors(t *testing.T) (all []digestVector) {
	for _, v := range []digestVector{
		{Name: "a call", Secret: "736563726574", Invoker: "web", Module: "pay", Method: "Charge", Nonce: "000102030405060708090a0b0c0d0e0f", TimestampMS: "1700000000000", Body: "7b7d"},
		{Name: "reachable", Secret: "736563726574", KeyID: 1, Invoker: "web", Module: "pay", Method: "Charge", MessageID: "order 7", Nonce: "000102030405060708090a0b0c0d0e0f", TimestampMS: "1700000000000", Body: "7b7d"},
		{Name: "a key id, and a secret of UTF-8", Secret: hex.EncodeToString([]byte("schlüssel")), KeyID: math.MaxUint32, Invoker: "web", Module: "pay.eu", Method: "Charge", Nonce: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", TimestampMS: "1700000000001"},
		{Name: "everything empty", TimestampMS: "0"},
		{Name: "the largest time", Secret: "00ff", Invoker: "w", Module: "p", Method: "c", Nonce: "ff", TimestampMS: "18446744073709551615", Body: "00"},
	} {
		sum := sha256.Sum256(unhex(v.Body))
		ms, _ := strconv.ParseUint(v.TimestampMS, 10, 64)
		for _, field := range []string{
			hex.EncodeToString([]byte("2HOP-digest-1")), hex.EncodeToString([]byte(v.Invoker)), hex.EncodeToString([]byte(v.Module)),
			hex.EncodeToString([]byte(v.Method)), hex.EncodeToString([]byte(v.MessageID)), v.Nonce, fmt.Sprintf("%016x", ms), hex.EncodeToString(sum[:]),
		} {
			v.Input += fmt.Sprintf("%08x%s", len(field)/2, field)
		}
		v.MAC = hex.EncodeToString(hmacSHA256(unhex(v.Secret), unhex(v.Input)))
		field, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.RequestHeader{
			Digest: &pb.Digest{KeyId: v.KeyID, Nonce: unhex(v.Nonce), TimestampMs: ms, Mac: unhex(v.MAC)},
		})
		if err != nil {
			t.Fatal(err)
		}
		v.Field = hex.EncodeToString(field)
		all = append(all, v)
	}
	return all
}
