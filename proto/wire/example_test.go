package wire_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestExampleIsTrue makes the worked example of PROTOCOL.md with the package's code and compares it with the document;
// -update writes it.
func TestExampleIsTrue(t *testing.T) {
	const begin, end = "<!-- example: begin -->\n", "<!-- example: end -->"
	raw, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the example", specification)
	}
	want := example(t)
	if *update {
		if err := os.WriteFile(specification, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the example is not what the code makes: go generate ./proto/wire\n%s", want)
	}
}

func example(t *testing.T) string {
	marshal := func(m proto.Message) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	login := &pb.Login{VersionMin: 1, VersionMax: 1, Module: "web", Instance: "web-1", InstanceUuid: "5f2a", Role: pb.Role_ROLE_CALLER, Sdk: "example/1"}
	if err := wire.CheckLogin(login); err != nil {
		t.Fatal(err)
	}
	welcome := &pb.Welcome{
		Version: 1, Node: "n1", Session: 0x0123456789abcdef, Stamp: &pb.Stamp{N: 42, Node: "n1"},
		Limits:      &pb.Limits{MaxFrame: wire.MaxFrame, MaxMessage: wire.MaxMessage, MaxInFlight: 1024, MaxHeader: wire.MaxHeader},
		HeartbeatMs: 5000, DeadMs: 12000, Mesh: "prod",
	}
	request := wire.Request{Module: []byte("pay"), Method: []byte("Charge"), Options: wire.Idempotent, ContentType: []byte("application/json")}
	h := wire.AppendMetadata(request.Append(nil), "k", "v")
	frames := []struct {
		title string
		frame wire.Frame
		as    proto.Message
	}{
		{"LOGIN, module → node", wire.Frame{Kind: wire.KindLogin, Header: marshal(login)}, &pb.Login{}},
		{"WELCOME, node → module", wire.Frame{Kind: wire.KindWelcome, Header: marshal(welcome)}, &pb.Welcome{}},
		{"REQUEST, module → node: 2 s are left of the caller's time", wire.Frame{Kind: wire.KindRequest, Flags: wire.FlagHigh, CallID: 0x7001, BudgetMS: 1950, Header: h, Body: []byte(`{"cents":42}`)}, &pb.RequestHeader{}},
		{"RESPONSE, node → module: what the handler returned", wire.Frame{Kind: wire.KindResponse, CallID: 0x7001, RPCID: 0x00ab000000000001, Body: []byte(`{"ok":true}`)}, &pb.ResponseHeader{}},
		{"or RESPONSE, node → module: a refusal", wire.Frame{Kind: wire.KindResponse, CallID: 0x7001, RPCID: 0x00ab000000000001, Status: wire.RateLimited,
			Header: wire.AppendRefusal(nil, &wire.Refusal{Message: "100/s", Node: "n1", Hop: 1, RuleID: "r7", RuleVersion: 3, RetryAfterMS: 250})}, &pb.ResponseHeader{}},
	}
	var b strings.Builder
	b.WriteString("```\nthe preface, module → node\n")
	line(&b, []byte(wire.Preface)[:4], `"2HOP"`)
	line(&b, []byte(wire.Preface)[4:], "layout 1")
	for _, x := range frames {
		encoded := x.frame.Append(nil)
		if x.frame.Kind == wire.KindRequest {
			if err := x.frame.CheckPrefix(); err != nil {
				t.Fatal(err)
			}
			if err := request.Walk(h, wire.ByModule); err != nil {
				t.Fatal(err)
			}
			if err := request.Check(&x.frame); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&b, "\n%s\n", x.title)
		annotate(t, &b, encoded, x.as)
	}
	b.WriteString("```\n")
	return b.String()
}

func line(b *strings.Builder, bytes []byte, what string) {
	fmt.Fprintf(b, "  %-40s  %s\n", hex.EncodeToString(bytes), what)
}

// annotate writes an encoded frame field by field.
func annotate(t *testing.T, b *strings.Builder, encoded []byte, as proto.Message) {
	f, n, err := wire.Decode(encoded, wire.MaxFrame)
	if err != nil || n != len(encoded) {
		t.Fatal(n, err)
	}
	at := 0
	next := func(size int, format string, args ...any) {
		line(b, encoded[at:at+size], fmt.Sprintf(format, args...))
		at += size
	}
	next(4, "length %d", n-4)
	next(1, "kind %s", f.Kind)
	next(1, "flags %d", f.Flags)
	next(2, "header_len %d", len(f.Header))
	next(8, "call_id %d", f.CallID)
	next(8, "rpc_id %d", f.RPCID)
	next(4, "budget_ms %d", f.BudgetMS)
	next(1, "attempt %d", f.Attempt)
	next(1, "hops %d", f.Hops)
	if f.Kind == wire.KindResponse {
		next(2, "status %d %s", f.Status, f.Status)
	} else {
		next(2, "status %d", f.Status)
	}
	fields(t, b, "", f.Header, as.ProtoReflect().Descriptor())
	if len(f.Body) > 0 {
		line(b, f.Body, fmt.Sprintf("body %s", f.Body))
	}
	if !bytes.Equal(encoded[at:at+len(f.Header)], f.Header) {
		t.Fatal("the header is not where it was announced")
	}
}

// fields writes an encoded message field by field.
func fields(t *testing.T, b *strings.Builder, indent string, h []byte, d protoreflect.MessageDescriptor) {
	for len(h) > 0 {
		num, typ, tag := protowire.ConsumeTag(h)
		size := protowire.ConsumeFieldValue(num, typ, h[tag:])
		fd := d.Fields().ByNumber(num)
		if tag < 0 || size < 0 || fd == nil {
			t.Fatalf("field %d of %s", num, d.Name())
		}
		value := h[tag : tag+size]
		switch {
		case fd.Kind() == protoreflect.MessageKind:
			inner, _ := protowire.ConsumeBytes(value)
			line(b, h[:tag+size-len(inner)], fmt.Sprintf("%s%d %s, %d bytes:", indent, num, fd.Name(), len(inner)))
			fields(t, b, indent+"  ", inner, fd.Message())
		case typ == protowire.BytesType:
			text, _ := protowire.ConsumeBytes(value)
			line(b, h[:tag+size], fmt.Sprintf("%s%d %s %q", indent, num, fd.Name(), text))
		case typ == protowire.Fixed64Type:
			v, _ := protowire.ConsumeFixed64(value)
			line(b, h[:tag+size], fmt.Sprintf("%s%d %s %d (fixed64: little-endian)", indent, num, fd.Name(), v))
		default:
			v, _ := protowire.ConsumeVarint(value)
			line(b, h[:tag+size], fmt.Sprintf("%s%d %s %d", indent, num, fd.Name(), v))
		}
		h = h[tag+size:]
	}
}
