package wire_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// The vectors of what nodes say to each other.
type (
	helloVector struct {
		Name     string         `json:"name"`
		Hello    string         `json:"hello"`
		Code     string         `json:"code"`
		Problems int            `json:"problems"`
		Fields   map[string]any `json:"fields,omitempty"`
	}
	peerAnswerVector struct {
		Name   string         `json:"name"`
		Header string         `json:"header"`
		Code   string         `json:"code"`
		Fields map[string]any `json:"fields,omitempty"`
	}
	hashedVector struct {
		Fields   map[string]any `json:"fields"`
		Encoding string         `json:"encoding"`
		Hash     string         `json:"hash"`
	}
	registryVector struct {
		Name      string         `json:"name"`
		Entries   []hashedVector `json:"entries"`
		Contracts []hashedVector `json:"contracts"`
		Digest    string         `json:"digest"`
	}
)

func wholeHello() *pb.Hello {
	return &pb.Hello{
		VersionMin: 1, VersionMax: 2, Features: math.MaxUint64, Mesh: "prod", Node: "n1", Number: 511, BootId: []byte("0123456789abcdef"),
		Incarnation: 1<<63 - 1, MembershipHash: math.MaxUint64, ScramClientFirst: []byte("n,,n=prod,r=nonce"),
		KnownIncarnation: 4, KnownVersion: 5, KnownDigest: make([]byte, 16), ModuleAddress: "10.0.0.1:7070",
	}
}

func helloVectors(t *testing.T) (all []helloVector) {
	add := func(name, code string, problems int, change func(h *pb.Hello)) {
		h := wholeHello()
		change(h)
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		v := helloVector{Name: name, Hello: hex.EncodeToString(raw), Code: code, Problems: problems}
		if code == "OK" {
			v.Fields = plain(h)
		}
		all = append(all, v)
	}
	ok := func(name string, change func(h *pb.Hello)) { add(name, "OK", 0, change) }
	bad := func(name string, change func(h *pb.Hello)) { add(name, "BAD_REQUEST", 1, change) }
	ok("everything", func(*pb.Hello) {})
	ok("what is needed and no more", func(h *pb.Hello) {
		*h = pb.Hello{VersionMin: 1, VersionMax: 1, Mesh: "m", Node: "n", BootId: make([]byte, 16), Incarnation: 1}
	})
	ok("versions that are not spoken here", func(h *pb.Hello) { h.VersionMin, h.VersionMax = 7, 9 })
	bad("version 0", func(h *pb.Hello) { h.VersionMin = 0 })
	bad("versions out of order", func(h *pb.Hello) { h.VersionMin = 3 })
	bad("no mesh", func(h *pb.Hello) { h.Mesh = "" })
	bad("mesh of 128 bytes", func(h *pb.Hello) { h.Mesh = long(128) })
	ok("mesh of 127 bytes that begins with _", func(h *pb.Hello) { h.Mesh = "_" + long(126) })
	bad("no node", func(h *pb.Hello) { h.Node = "" })
	bad("node with a blank", func(h *pb.Hello) { h.Node = "n 1" })
	bad("node that begins with _", func(h *pb.Hello) { h.Node = "_node" })
	ok("number 0", func(h *pb.Hello) { h.Number = 0 })
	bad("number 512", func(h *pb.Hello) { h.Number = 512 })
	for _, n := range []int{0, 15, 17} {
		bad(fmt.Sprintf("boot_id of %d bytes", n), func(h *pb.Hello) { h.BootId = make([]byte, n) })
	}
	bad("incarnation 0", func(h *pb.Hello) { h.Incarnation = 0 })
	bad("incarnation 2^63", func(h *pb.Hello) { h.Incarnation = 1 << 63 })
	ok("nothing known", func(h *pb.Hello) { h.KnownIncarnation, h.KnownVersion, h.KnownDigest = 0, 0, nil })
	bad("known_digest of 15 bytes", func(h *pb.Hello) { h.KnownDigest = make([]byte, 15) })
	bad("known_digest of 32 bytes", func(h *pb.Hello) { h.KnownDigest = make([]byte, 32) })
	ok("module_address of a unix socket", func(h *pb.Hello) { h.ModuleAddress = "unix:/run/twohop/n1" })
	ok("module_address of 255 bytes", func(h *pb.Hello) { h.ModuleAddress = long(255) })
	bad("module_address of 256 bytes", func(h *pb.Hello) { h.ModuleAddress = long(256) })
	bad("module_address with a line break", func(h *pb.Hello) { h.ModuleAddress = "a:1\n" })
	add("all at once", "BAD_REQUEST", 8, func(h *pb.Hello) {
		*h = pb.Hello{Number: 512, KnownDigest: []byte{0}, ModuleAddress: "ä"}
	})
	return all
}

var linkStates = []string{"preface", "hello", "proof", "dialled", "proved", "named", "open"}

// linkVectors reads the matrix of PROTOCOL.md.
func linkVectors(t *testing.T) (all []stateVector) {
	for _, row := range table(t, append([]string{"kind"}, linkStates...)...) {
		for i, state := range linkStates {
			all = append(all, stateVector{row[0], state, row[i+1]})
		}
	}
	return all
}

func peerPrefixVectors() (all []prefixVector) {
	add := func(name, code string, f wire.Frame) {
		effect := "taken"
		switch {
		case f.Kind >= 128:
			effect = "skipped"
		case code != "OK":
			effect = "closes"
		}
		all = append(all, prefixVector{name, hex.EncodeToString(encode(f)), code, effect})
	}
	fromNodes := []wire.Kind{2, 3, 4, 5, 16, 17, 18, 19, 32, 33, 34, 35, 36, 37}
	flagsOf := map[wire.Kind]wire.Flags{16: 1 | 2 | 4 | 16 | 32 | 64, 17: 1, 19: 1}
	ofCalls := map[wire.Kind]wire.Frame{
		16: {CallID: 7, Hops: 1, BudgetMS: 1, RPCID: 9}, 17: {CallID: 7, Hops: 1, RPCID: 9, Status: 127}, 18: {CallID: 7, Status: 25}, 19: {CallID: 7, Status: 16},
	}
	for n := range 131 {
		k := wire.Kind(n)
		f := ofCalls[k]
		f.Kind = k
		switch {
		case k >= 128:
			f.Flags, f.CallID = 255, 9
			add(fmt.Sprintf("kind %d is skipped whatever it holds", k), "OK", f)
			continue
		case !slices.Contains(fromNodes, k):
			if k <= 40 || k == 127 {
				add(fmt.Sprintf("kind %d is not sent between nodes", k), "BAD_REQUEST", f)
			}
			continue
		}
		add(k.String(), "OK", f)
		with := func(what string, good bool, change func(f *wire.Frame)) {
			f, code := f, "BAD_REQUEST"
			change(&f)
			if good {
				code = "OK"
			}
			add(k.String()+" with "+what, code, f)
		}
		for bit := range 8 {
			flag := wire.Flags(1) << bit
			with(fmt.Sprintf("flag %d", flag), flagsOf[k]&flag != 0, func(f *wire.Frame) {
				f.Flags = flag
				if flag == wire.FlagOneWay && k == 16 {
					f.CallID = 0
				}
			})
		}
		call := k == 16 || k == 17
		with("a header", k != 18 && k != 19, func(f *wire.Frame) { f.Header = []byte{0x08, 0x01} })
		with("a body", call || k == 19, func(f *wire.Frame) { f.Body = []byte{0} })
		with("another call_id", ofCalls[k].CallID != 0, func(f *wire.Frame) { f.CallID = math.MaxUint64 })
		with("attempt 255", true, func(f *wire.Frame) { f.Attempt = 255 })
		if k == 16 || k == 17 || k == 18 {
			with("call_id 0", false, func(f *wire.Frame) { f.CallID = 0 })
		}
		if !call {
			continue
		}
		with("the longest header", true, func(f *wire.Frame) { f.Header = make([]byte, 20480) })
		f.Header = make([]byte, 20481)
		add(k.String()+" with a header 1 too long", "TOO_LARGE", f)
	}
	request := func(name string, good bool, f wire.Frame) {
		f.Kind = 16
		code := "BAD_REQUEST"
		if good {
			code = "OK"
		}
		add("REQUEST "+name, code, f)
	}
	request("without a budget", false, wire.Frame{CallID: 7, Hops: 1})
	request("with the longest budget", true, wire.Frame{CallID: 7, Hops: 1, BudgetMS: math.MaxUint32})
	request("with both, one-way and a call_id", false, wire.Frame{CallID: 7, Hops: 1, BudgetMS: 1, Flags: 2})
	request("with hops 0 is answered later", true, wire.Frame{CallID: 7, Hops: 0, BudgetMS: 1})
	request("with hops 2 is answered later", true, wire.Frame{CallID: 7, Hops: 2, BudgetMS: 1})
	request("without an rpc_id", true, wire.Frame{CallID: 7, Hops: 1, BudgetMS: 1})
	for _, hops := range []uint8{0, 2, 255} {
		add(fmt.Sprintf("RESPONSE with hops %d", hops), "BAD_REQUEST", wire.Frame{Kind: 17, CallID: 7, Hops: hops})
	}
	for _, status := range []wire.Code{128, 65535} {
		add(fmt.Sprintf("RESPONSE with status %d", status), "BAD_REQUEST", wire.Frame{Kind: 17, CallID: 7, Hops: 1, Status: status})
	}
	for _, c := range []wire.Code{0, 25, 27, 28, 64} {
		code := "BAD_REQUEST"
		if c == 25 || c == 28 {
			code = "OK"
		}
		add(fmt.Sprintf("CANCEL because of %s", c), code, wire.Frame{Kind: 18, CallID: 7, Status: c})
	}
	for _, c := range []wire.Code{0, 15, 16, 17, 18, 19, 272} {
		code := "BAD_REQUEST"
		if c == 16 || c == 17 {
			code = "OK"
		}
		add(fmt.Sprintf("PART of kind %d", c), code, wire.Frame{Kind: 19, CallID: 7, Status: c, Body: []byte{0}})
	}
	return all
}

func instance(module, name, uuid, node string) []byte {
	return header(nil).text(1, module).text(2, name).text(3, uuid).text(4, node)
}

func peerAnswerVectors(t *testing.T) (all []peerAnswerVector) {
	add := func(code, name string, h header) {
		v := peerAnswerVector{Name: name, Header: hex.EncodeToString(h), Code: code}
		if code == "OK" {
			var m pb.ResponseHeader
			if err := proto.Unmarshal(h, &m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v.Fields = plain(&m)
		}
		all = append(all, v)
	}
	ok := func(name string, h header) { add("OK", name, h) }
	bad := func(name string, h header) { add("BAD_REQUEST", name, h) }
	one := func() header { return nil }
	who := instance("pay", "pay-1", "u1", "n2")
	hop := header(nil).text(1, "n2").varint(2, 120)
	ok("nothing", nil)
	ok("what a server wrote", one().text(1, "E42").text(2, "no").text(3, "text/plain").varint(4, 5).bytes(5, entry("k", "v")).varint(6, 1))
	ok("what the owner appended", one().text(2, "no").bytes(1006, who).bytes(1008, hop))
	ok("what the owner refused", one().text(2, "the session left").text(1000, "n2").varint(1001, 2))
	ok("everything", one().text(1, "E").text(1000, "n2").varint(1001, 2).text(1002, "r7").varint(1003, math.MaxUint64).text(1004, "n3").
		bytes(1005, who).bytes(1006, who).varint(1007, 2).bytes(1008, hop).varint(1009, 1).varint(1010, 5))
	ok("in another order", one().bytes(1008, hop).text(1000, "n2").text(2, "no"))
	ok("empty names of an instance", one().bytes(1006, instance("", "", "", "")))
	ok("fields that are not assigned", one().varint(7, 1).text(999, "x").text(1011, "x").varint(5000, 1))
	ok("rule_version 2^64-1", one().varint(1003, math.MaxUint64))

	bad("a server's field that breaks its limit", one().text(1, long(128)))
	bad("a server's field twice", one().text(2, "a").text(2, "a"))
	for _, num := range []protowire.Number{1000, 1002, 1004, 1005, 1006, 1008} {
		bad(fmt.Sprintf("field %d as a varint", num), one().varint(num, 1))
	}
	for _, num := range []protowire.Number{1001, 1003, 1007, 1009, 1010} {
		bad(fmt.Sprintf("field %d as text", num), one().text(num, "x"))
		bad(fmt.Sprintf("field %d twice", num), one().varint(num, 1).varint(num, 1))
		if num != 1003 {
			bad(fmt.Sprintf("field %d above 32 bits", num), one().varint(num, 1<<32))
		}
	}
	for _, num := range []protowire.Number{1000, 1002} {
		bad(fmt.Sprintf("field %d twice", num), one().text(num, "x").text(num, "x"))
		bad(fmt.Sprintf("field %d that is no name", num), one().text(num, "x y"))
		bad(fmt.Sprintf("field %d empty", num), one().text(num, ""))
	}
	bad("receiver twice", one().bytes(1006, who).bytes(1006, who))
	repeat := func(num protowire.Number, content []byte, n int) (h header) {
		for range n {
			h = h.bytes(num, content)
		}
		return h
	}
	ok("try of 8 nodes", repeat(1004, []byte("n"), 8))
	bad("try of 9 nodes", repeat(1004, []byte("n"), 9))
	bad("try of an empty node", repeat(1004, nil, 1))
	ok("unknown of 4 instances", repeat(1005, who, 4))
	bad("unknown of 5 instances", repeat(1005, who, 5))
	ok("hop_times of 2 nodes", repeat(1008, hop, 2))
	bad("hop_times of 3 nodes", repeat(1008, hop, 3))
	for _, num := range []protowire.Number{1005, 1006} {
		bad(fmt.Sprintf("field %d cut off inside", num), one().bytes(num, header(nil).raw("0a05")))
		bad(fmt.Sprintf("field %d with a name of 128 bytes", num), one().bytes(num, instance("m", long(128), "u", "n")))
		bad(fmt.Sprintf("field %d with a name twice", num), one().bytes(num, header(nil).text(1, "m").text(1, "m")))
		bad(fmt.Sprintf("field %d with a number for a name", num), one().bytes(num, header(nil).varint(4, 1)))
		ok(fmt.Sprintf("field %d with more inside", num), one().bytes(num, append(slices.Clone(who), header(nil).varint(5, 1)...)))
	}
	bad("hop_times without a name", one().bytes(1008, header(nil).text(1, "n 2")))
	bad("hop_times cut off inside", one().bytes(1008, header(nil).text(1, "n2").raw("10 80")))
	bad("a group", one().raw("3b 3c"))
	bad("a trailing field that announces 100 bytes", one().text(1000, "n2").raw("3a 64"))
	filler := header(nil).text(999, long(20480-5))
	ok("header of 20480 bytes", filler)
	add("TOO_LARGE", "header of 20481 bytes", append(filler, 0))
	return all
}

// canonical encodes by hand what is hashed: ascending fields, no zero values. A stamp is always there.
func canonical(e *pb.Entry) header {
	var h header
	text := func(num protowire.Number, v string) {
		if v != "" {
			h = h.text(num, v)
		}
	}
	h = h.fixed64(1, e.GetSession())
	text(2, e.GetModule())
	text(3, e.GetInstance())
	text(4, e.GetInstanceUuid())
	text(5, e.GetGroup())
	if e.GetWeight() != 0 {
		h = h.varint(6, uint64(e.GetWeight()))
	}
	text(7, e.GetZone())
	text(8, e.GetAppVersion())
	h = h.bytes(9, header(nil).varint(1, e.GetStamp().GetN()).text(2, e.GetStamp().GetNode()))
	if e.GetContractHash() != 0 {
		h = h.fixed64(10, e.GetContractHash())
	}
	if e.GetDraining() {
		h = h.varint(11, 1)
	}
	return h
}

// canonicalMethods encodes pb.Methods by hand, with the methods sorted by name.
func canonicalMethods(methods []*pb.Method) (h header) {
	methods = slices.SortedFunc(slices.Values(methods), func(a, b *pb.Method) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, m := range methods {
		one := header(nil).text(1, m.GetName())
		for i, v := range []uint64{
			protowire.EncodeBool(m.GetIdempotent()), protowire.EncodeBool(m.GetReachable()), uint64(m.GetVisibility()),
			uint64(m.GetDefaultTimeoutMs()), protowire.EncodeBool(m.GetRunLate()),
		} {
			if v != 0 {
				one = one.varint(protowire.Number(i+2), v)
			}
		}
		h = h.bytes(1, one)
	}
	return h
}

// registryOf hashes entries whose contract_hash is the index of their contract.
func registryOf(name string, contracts [][]*pb.Method, entries ...*pb.Entry) registryVector {
	v := registryVector{Name: name, Entries: []hashedVector{}, Contracts: []hashedVector{}}
	var hashes []uint64
	for _, methods := range contracts {
		encoding := canonicalMethods(methods)
		sum := sha256.Sum256(encoding)
		hashes = append(hashes, binary.BigEndian.Uint64(sum[:]))
		v.Contracts = append(v.Contracts, hashedVector{
			Fields: plain(&pb.Methods{Methods: methods}), Encoding: hex.EncodeToString(encoding), Hash: hex.EncodeToString(sum[:8]),
		})
	}
	digest, modulus := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 128)
	for _, e := range entries {
		e.ContractHash = hashes[e.GetContractHash()]
		encoding := canonical(e)
		sum := sha256.Sum256(encoding)
		digest.Mod(digest.Add(digest, new(big.Int).SetBytes(sum[:16])), modulus)
		v.Entries = append(v.Entries, hashedVector{Fields: plain(e), Encoding: hex.EncodeToString(encoding), Hash: hex.EncodeToString(sum[:16])})
	}
	v.Digest = hex.EncodeToString(digest.FillBytes(make([]byte, 16)))
	return v
}

func registryVectors() []registryVector {
	whole := func() *pb.Entry {
		return &pb.Entry{
			Session: 1<<62 + 1, Module: "pay", Instance: "pay-1", InstanceUuid: "u1", Group: "blue", Weight: 1000, Zone: "eu", AppVersion: "1.2 (a)",
			Stamp: &pb.Stamp{N: 1<<63 - 1, Node: "n1"}, Draining: true, AgeMs: 5000,
		}
	}
	least := func(session uint64) *pb.Entry {
		return &pb.Entry{Session: session, Module: "m", Instance: "i", InstanceUuid: "u", Stamp: &pb.Stamp{N: 1, Node: "n"}}
	}
	several := [][]*pb.Method{
		nil,
		{{Name: "b"}, {Name: "B"}, {Name: "a"}}, // they are hashed in the order B, a, b
		{{Name: "all", Idempotent: true, Reachable: true, Visibility: pb.Visibility_VISIBILITY_ADMIN, DefaultTimeoutMs: math.MaxUint32, RunLate: true}},
		{{Name: "external", Visibility: pb.Visibility_VISIBILITY_EXTERNAL}},
	}
	older := whole()
	older.AgeMs = 9999
	var many []*pb.Entry
	for n := range uint64(20) {
		e := least(n + 1)
		e.ContractHash = n % 4
		many = append(many, e)
	}
	return []registryVector{
		registryOf("empty", nil),
		registryOf("one with everything", [][]*pb.Method{wholeLogin().GetMethods()}, whole()),
		registryOf("the same, older: age_ms does not count", [][]*pb.Method{wholeLogin().GetMethods()}, older),
		registryOf("one with the least, and no methods", several[:1], least(1)),
		registryOf("twenty, and the sum goes over 2^128", several, many...),
	}
}
