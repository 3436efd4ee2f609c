package wire_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// reporter is what rapid, fuzz and ordinary tests have in common.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wantAgreement says that the generated type reads from h what Walk read.
func wantAgreement(t reporter, r *wire.Request, h []byte) {
	t.Helper()
	var m pb.RequestHeader
	if err := proto.Unmarshal(h, &m); err != nil {
		t.Fatalf("Walk accepted what the generated type refuses: %v\n%x", err, h)
	}
	got, metadata := asMessage(r, h), m.GetMetadata()
	if r.Metadata != len(metadata) {
		t.Fatalf("Walk counted %d metadata entries, there are %d\n%x", r.Metadata, len(metadata), h)
	}
	discardUnknown(&m)
	if !proto.Equal(got, &m) {
		t.Fatalf("Walk and the generated type disagree on %x\nWalk %v\n  pb %v", h, got, &m)
	}
}

func discardUnknown(m *pb.RequestHeader) {
	m.ProtoReflect().SetUnknown(nil)
	for _, e := range m.GetMetadata() {
		e.ProtoReflect().SetUnknown(nil)
	}
	if m.GetDigest() != nil {
		m.GetDigest().ProtoReflect().SetUnknown(nil)
	}
}

// wantStamped says that a stamp appended to h, which Walk accepted from a module, is read back whole by both readers,
// and that what the module wrote stays as it was.
func wantStamped(t reporter, h []byte) {
	t.Helper()
	var before wire.Request
	if err := before.Walk(h, wire.ByModule); err != nil {
		t.Fatalf("%v", err)
	}
	stamped := wire.AppendInvoker(bytes.Clone(h), "web", "", "unix", "n1", math.MaxUint64)
	stamped = wire.AppendDelivery(stamped, 0, 7, false, 30000)
	stamped = wire.AppendCallStamp(stamped, 0, 1, 2)
	wire.SetTarget(stamped, 3)
	var after wire.Request
	if err := after.Walk(stamped, wire.ByNode); err != nil {
		t.Fatalf("stamped header is refused: %v\n%x", err, stamped)
	}
	wantAgreement(t, &after, stamped)
	if after.Stamp.InvokerInstance == nil {
		t.Fatalf("an empty field of the stamp is not written: %x", stamped)
	}
	want := wire.Stamp{
		InvokerModule: []byte("web"), InvokerInstance: []byte{}, InvokerIP: []byte("unix"), IngressNode: []byte("n1"),
		InvokerSession: math.MaxUint64, InvokerCall: 0, ReceivedAt: 1, Target: 3, MessageAttempt: 0, Fence: 7, LeaseMS: 30000,
	}
	wanted := before
	wanted.Stamp = want
	if !proto.Equal(asMessage(&after, stamped), asMessage(&wanted, h)) {
		t.Fatalf("the stamp is not read back whole\n got %v\nwant %v", asMessage(&after, stamped), asMessage(&wanted, h))
	}
	if err := after.Walk(stamped, wire.ByModule); err == nil {
		t.Fatalf("a module's header with a stamp is accepted: %x", stamped)
	}
}

// wantResponseAgreement says the same of a response's header.
func wantResponseAgreement(t reporter, h []byte) {
	t.Helper()
	var before, after pb.ResponseHeader
	if err := proto.Unmarshal(h, &before); err != nil {
		t.Fatalf("CheckResponse accepted what the generated type refuses: %v\n%x", err, h)
	}
	if before.GetNode() != "" || before.GetReceiver() != nil || before.GetAttempts() != 0 {
		t.Fatalf("a module wrote a node's field: %x", h)
	}
	appended := wire.AppendReceiver(bytes.Clone(h), "pay", "1", "u", "n2")
	appended = wire.AppendUnknown(appended, "pay", "", "", "n1")
	appended = wire.AppendUnknown(appended, "", "", "", "")
	appended = wire.AppendHopTime(appended, "n1", math.MaxUint32)
	appended = wire.AppendHopTime(appended, "", 0)
	appended = wire.AppendAttempts(appended, 2)
	appended = wire.AppendAccepted(appended, 2, 5)
	if err := proto.Unmarshal(appended, &after); err != nil {
		t.Fatalf("%v\n%x", err, appended)
	}
	before.Receiver = &pb.Receiver{Module: "pay", Instance: "1", InstanceUuid: "u", Node: "n2"}
	before.Unknown = []*pb.Receiver{{Module: "pay", Node: "n1"}, {}}
	before.HopTimes = []*pb.HopTime{{Node: "n1", Micros: math.MaxUint32}, {}}
	before.Attempts = 2
	before.Durability, before.MessageState = pb.Durability_DURABILITY_REPLICATED, pb.MessageState_MESSAGE_STATE_DONE
	if !proto.Equal(&before, &after) {
		t.Fatalf("what the node appended is not read back whole\n got %v\nwant %v", &after, &before)
	}
}

// anyField draws one encoded field: mostly one that is right, sometimes anything.
func anyField(t *rapid.T, numbers []int) header {
	num := protowire.Number(rapid.SampledFrom(numbers).Draw(t, "number"))
	text := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_:-]{0,12}`), rapid.StringN(0, 4, 8), rapid.SampledFrom([]string{"\xff", "a.b", strings.Repeat("n", 128)}))
	value := rapid.OneOf(rapid.Uint64Range(0, 8), rapid.SampledFrom([]uint64{math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64}))
	inside := func() []byte {
		if rapid.Bool().Draw(t, "entry") {
			return entry(text.Draw(t, "key"), text.Draw(t, "value"))
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "inside")
	}
	natural := map[protowire.Number]string{5: "varint", 7: "varint", 9: "varint", 10: "varint", 11: "varint", 12: "varint", 15: "message", 16: "message",
		1003: "fixed64", 1004: "fixed64", 1006: "fixed64", 1007: "fixed64", 1008: "varint", 1009: "fixed64", 1010: "varint", 1011: "varint", 1012: "varint"}
	form := natural[num]
	if form == "" {
		form = "text"
	}
	if rapid.IntRange(0, 19).Draw(t, "wrong") == 0 {
		form = rapid.SampledFrom([]string{"varint", "text", "fixed64", "fixed32", "message", "group", "raw"}).Draw(t, "form")
	}
	switch h := header(nil); form {
	case "varint":
		return h.varint(num, value.Draw(t, "varint"))
	case "fixed64":
		return h.fixed64(num, rapid.Uint64().Draw(t, "fixed64"))
	case "fixed32":
		return h.fixed32(num, rapid.Uint32().Draw(t, "fixed32"))
	case "message":
		return h.bytes(num, inside())
	case "group":
		return protowire.AppendTag(protowire.AppendTag(h, num, protowire.StartGroupType), num, protowire.EndGroupType)
	case "raw":
		return rapid.SliceOfN(rapid.Byte(), 1, 12).Draw(t, "raw")
	default:
		return h.text(num, text.Draw(t, "text"))
	}
}

func TestWalkAgreesWithTheGeneratedType(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.SampledFrom([]wire.Writer{wire.ByModule, wire.ByNode}).Draw(t, "by")
		numbers := []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16, 16, 17, 31, 32, 999}
		if by == wire.ByNode || rapid.IntRange(0, 9).Draw(t, "forge") == 0 {
			numbers = append(numbers, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1031, 1032, int(protowire.MaxValidNumber))
		}
		h := call()
		for range rapid.IntRange(0, 6).Draw(t, "fields") {
			h = append(h, anyField(t, numbers)...)
		}
		if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
			h = h[:rapid.IntRange(0, len(h)).Draw(t, "at")]
		}
		var r wire.Request
		if err := r.Walk(h, by); err != nil {
			if code(err) != "BAD_REQUEST" && code(err) != "BAD_OPTION" {
				t.Fatalf("refused with %v", err)
			}
			refused++
			return
		}
		accepted++
		wantAgreement(t, &r, h)
		if by == wire.ByModule {
			wantStamped(t, h)
		}
	})
	t.Logf("%d headers accepted, %d refused", accepted, refused)
	if accepted == 0 || refused == 0 {
		t.Errorf("%d headers accepted, %d refused: the test says too little", accepted, refused)
	}
}

func TestCheckResponseAgreesWithTheGeneratedType(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := header(nil)
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				h = h.bytes(5, entry(rapid.StringN(0, 5, 9).Draw(t, "key"), rapid.StringN(0, 5, 9).Draw(t, "value")))
			case 1:
				h = h.varint(rapid.SampledFrom([]protowire.Number{4, 6}).Draw(t, "number"), rapid.Uint64().Draw(t, "value"))
			default:
				h = append(h, anyField(t, []int{1, 2, 3, 7, 999, 1002, 1003})...)
			}
		}
		if wire.CheckResponse(h) != nil {
			refused++
			return
		}
		accepted++
		wantResponseAgreement(t, h)
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d headers accepted, %d refused: the test says too little", accepted, refused)
	}
}

func TestAppendIsReadBack(t *testing.T) {
	for _, v := range load[requestVector](t, "requests.json") {
		if v.Code != "OK" || v.By != "module" {
			continue
		}
		h := unhex(v.Header)
		var r wire.Request
		if err := r.Walk(h, wire.ByModule); err != nil {
			t.Fatal(err)
		}
		want := asMessage(&r, h)
		if len(r.Digest) == 0 {
			want.Digest = nil // Append leaves out what is empty
		}
		h = r.Append(nil)
		for _, e := range want.GetMetadata() {
			h = wire.AppendMetadata(h, e.GetKey(), e.GetValue())
		}
		if err := r.Walk(h, wire.ByModule); err != nil {
			t.Fatal(err)
		}
		if got := asMessage(&r, h); !proto.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", v.Name, got, want)
		}
	}
}

// TestAppendIsCanonical compares the package's encoder with the generated one, byte by byte.
func TestAppendIsCanonical(t *testing.T) {
	digest := &pb.Digest{KeyId: 1, Nonce: []byte("n"), TimestampMs: 2, Mac: []byte("m")}
	m := &pb.RequestHeader{
		Module: "pay", Method: "Charge", Group: "g", Instance: "i", Balance: pb.Balance_BALANCE_HASH, HashKey: []byte("k"), Options: 3, MessageId: "m",
		MaxAttempts: 4, DelayMs: 5, ValidForMs: 6, FirstAttemptAgeMs: 7, UserData: []byte("u"), ContentType: "c", Digest: digest,
		Metadata: []*pb.Metadata{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}},
	}
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var r wire.Request
	if err := r.Walk(want, wire.ByModule); err != nil {
		t.Fatal(err)
	}
	got := r.Append(nil)
	for _, e := range m.GetMetadata() {
		got = wire.AppendMetadata(got, e.GetKey(), e.GetValue())
	}
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestRefusalIsReadBack(t *testing.T) {
	long := strings.Repeat("é", 1000)
	h := wire.AppendRefusal(nil, &wire.Refusal{
		Message: long, Node: "n1", Hop: 2, RuleID: "r1", RuleVersion: 0, RetryAfterMS: 100, ContentType: "application/json",
		Try: strings.Split("a b c d e f g h i j", " "),
	})
	var m pb.ResponseHeader
	if err := proto.Unmarshal(h, &m); err != nil {
		t.Fatal(err)
	}
	want := &pb.ResponseHeader{
		Message: long[:wire.MaxText], Node: "n1", Hop: 2, RuleId: "r1", RetryAfterMs: 100, ContentType: "application/json", Try: strings.Split("a b c d e f g h", " "),
	}
	if !proto.Equal(&m, want) {
		t.Errorf("\n got %v\nwant %v", &m, want)
	}
	for message, want := range map[string]string{"x" + long: "x" + long[:wire.MaxText-2], strings.Repeat("\x80", 5000): "", "a\xffb": "ab"} {
		var m pb.ResponseHeader
		if err := proto.Unmarshal(wire.AppendRefusal(nil, &wire.Refusal{Message: message}), &m); err != nil {
			t.Fatal(err)
		}
		if m.GetMessage() != want {
			t.Errorf("message of %d bytes became one of %d, want %d", len(message), len(m.GetMessage()), len(want))
		}
	}
	if h := wire.AppendRefusal(nil, &wire.Refusal{}); len(h) != 0 {
		t.Errorf("an empty refusal has %d bytes", len(h))
	}
}

// TestNodesFieldsFit keeps NodeExtra true: whatever nodes append to a module's frame fits it.
func TestNodesFieldsFit(t *testing.T) {
	name, uuid := long(wire.MaxName), long(wire.MaxUUID)
	stamp := wire.AppendCallStamp(wire.AppendDelivery(wire.AppendInvoker(nil, name, name, name, name, math.MaxUint64),
		math.MaxUint32, math.MaxUint64, true, math.MaxUint32), math.MaxUint64, math.MaxUint64, math.MaxUint64)
	answer := wire.AppendReceiver(nil, name, name, uuid, name)
	answer = wire.AppendHopTime(wire.AppendHopTime(answer, name, math.MaxUint32), name, math.MaxUint32)
	for range wire.MaxUnknown {
		answer = wire.AppendUnknown(answer, name, name, uuid, name)
	}
	answer = wire.AppendAccepted(wire.AppendAttempts(answer, math.MaxUint32), 2, 5)
	if len(stamp) > wire.NodeExtra || len(answer) > wire.NodeExtra {
		t.Errorf("a stamp has up to %d bytes, what is appended to an answer %d, must be at most %d", len(stamp), len(answer), wire.NodeExtra)
	}
}

func TestEachMetadataKeepsOrder(t *testing.T) {
	h := wire.AppendMetadata(call(), "b", "1")
	h = wire.AppendMetadata(h, "a", "2")
	h = wire.AppendMetadata(h, "b", "")
	var got []string
	wire.EachMetadata(h, func(key, value []byte) { got = append(got, string(key)+"="+string(value)) })
	if strings.Join(got, " ") != "b=1 a=2 b=" {
		t.Errorf("got %q", got)
	}
	if details := wire.AppendDetail(nil, "k", "v"); wire.CheckResponse(details) != nil {
		t.Errorf("detail is refused: %v", wire.CheckResponse(details))
	}
}

// TestDigestInputsDiffer says that two different calls never have the same input.
func TestDigestInputsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\x00\x01")), 0, 6)
		draw := func(label string) (parts [6][]byte, ms uint64) {
			for i := range parts {
				parts[i] = piece.Draw(t, label)
			}
			return parts, rapid.Uint64Range(0, 3).Draw(t, label)
		}
		a, aMS := draw("a")
		b, bMS := draw("b")
		if rapid.Bool().Draw(t, "moved") { // the same bytes, cut elsewhere
			b, bMS = a, aMS
			i := rapid.IntRange(0, 4).Draw(t, "i")
			joined := bytes.Join([][]byte{a[i], a[i+1]}, nil)
			cut := rapid.IntRange(0, len(joined)).Draw(t, "cut")
			b[i], b[i+1] = joined[:cut], joined[cut:]
		}
		same := aMS == bMS
		for i := range a {
			same = same && bytes.Equal(a[i], b[i])
		}
		input := func(p [6][]byte, ms uint64) []byte {
			return wire.AppendDigestInput(nil, p[0], p[1], p[2], p[3], p[4], ms, p[5])
		}
		if bytes.Equal(input(a, aMS), input(b, bMS)) != same {
			t.Fatalf("%q %d and %q %d", a, aMS, b, bMS)
		}
	})
}
