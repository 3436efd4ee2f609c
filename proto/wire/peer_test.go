package wire_test

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestHelloVectors(t *testing.T) {
	for _, v := range load[helloVector](t, "hellos.json") {
		t.Run(v.Name, func(t *testing.T) {
			var h pb.Hello
			if err := proto.Unmarshal(unhex(v.Hello), &h); err != nil {
				t.Fatal(err)
			}
			err := wire.CheckHello(&h)
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			if countProblems(err) != v.Problems {
				t.Errorf("names %d problems, want %d: %v", countProblems(err), v.Problems, err)
			}
			if v.Fields != nil {
				wantFields(t, &h, v.Fields)
			}
		})
	}
	if code(wire.CheckHello(nil)) != "BAD_REQUEST" {
		t.Error("no HELLO at all is taken")
	}
}

func TestPeerPrefixVectors(t *testing.T) {
	for _, v := range load[prefixVector](t, "peer_prefixes.json") {
		t.Run(v.Name, func(t *testing.T) {
			f, _, err := wire.Decode(unhex(v.Hex), wire.MaxFrame+wire.NodeExtra)
			if err != nil {
				t.Fatal(err)
			}
			err = f.CheckPeerPrefix()
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			want := "taken"
			switch {
			case f.Kind >= wire.KindSkippable:
				want = "skipped"
			case err != nil:
				want = "closes"
			}
			if v.Effect != want {
				t.Errorf("effect is %q, must be %q", v.Effect, want)
			}
		})
	}
}

func TestPeerAnswerVectors(t *testing.T) {
	for _, v := range load[peerAnswerVector](t, "peer_answers.json") {
		t.Run(v.Name, func(t *testing.T) {
			h := unhex(v.Header)
			err := wire.CheckPeerAnswer(wire.AppError, h)
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			if err != nil {
				return
			}
			var m pb.ResponseHeader
			if err := proto.Unmarshal(h, &m); err != nil {
				t.Fatal(err)
			}
			wantFields(t, &m, v.Fields)
			wantAppended(t, h)
			if err := wire.CheckPeerAnswer(wire.MaxCode+1, h); code(err) != "BAD_REQUEST" {
				t.Errorf("status %d: %v", wire.MaxCode+1, err)
			}
		})
	}
}

// wantAppended proves that what the ingress appends to a header that was let pass is read as that.
func wantAppended(t *testing.T, h []byte) {
	t.Helper()
	var before, after pb.ResponseHeader
	if err := proto.Unmarshal(h, &before); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(wire.AppendHopTime(slices.Clone(h), "ingress", 7), &after); err != nil {
		t.Fatal(err)
	}
	before.HopTimes = append(before.HopTimes, &pb.HopTime{Node: "ingress", Micros: 7})
	if !proto.Equal(&before, &after) {
		t.Errorf("what was appended is not read back whole\n got %v\nwant %v", &after, &before)
	}
}

// TestAModulesAnswerMayCross: what CheckResponse lets pass CheckPeerAnswer does, too, also with all that a node appends.
func TestAModulesAnswerMayCross(t *testing.T) {
	n := 0
	for _, v := range load[responseVector](t, "responses.json") {
		if v.Code != "OK" {
			continue
		}
		n++
		h := wire.AppendReceiver(unhex(v.Header), long(127), long(127), long(64), long(127))
		h = wire.AppendHopTime(h, long(127), 1<<32-1)
		if err := wire.CheckPeerAnswer(wire.Code(v.Status), h); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		f := wire.Frame{Kind: wire.KindResponse, CallID: 1, Hops: 1, Status: wire.Code(v.Status), Header: h}
		if err := f.CheckPeerPrefix(); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	if n == 0 {
		t.Error("there is no answer to try")
	}
	full := wire.AppendRefusal(nil, &wire.Refusal{
		Message: long(2 * wire.MaxText), Node: long(127), Hop: 2, RuleID: long(127), RuleVersion: 1<<64 - 1, RetryAfterMS: 1<<32 - 1,
		Try: strings.Split(strings.Repeat("n,", 20)+"n", ","),
	})
	if err := wire.CheckPeerAnswer(wire.RateLimited, full); err != nil {
		t.Errorf("the longest refusal: %v", err)
	}
}

// TestRegistryVectors adds up, and reads what is hashed with the generated types.
func TestRegistryVectors(t *testing.T) {
	vectors := load[registryVector](t, "registry.json")
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			sum := new(big.Int)
			for _, e := range v.Entries {
				hash, _ := new(big.Int).SetString(e.Hash, 16)
				sum.Add(sum, hash)
				var m pb.Entry
				if err := proto.Unmarshal(unhex(e.Encoding), &m); err != nil {
					t.Fatal(err)
				}
				delete(e.Fields, "age_ms")
				wantFields(t, &m, e.Fields)
			}
			sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 128))
			if got := hex.EncodeToString(sum.FillBytes(make([]byte, 16))); got != v.Digest {
				t.Errorf("the sum is %s, the digest %s", got, v.Digest)
			}
			for _, c := range v.Contracts {
				var m pb.Methods
				if err := proto.Unmarshal(unhex(c.Encoding), &m); err != nil {
					t.Fatal(err)
				}
				if !slices.IsSortedFunc(m.GetMethods(), func(a, b *pb.Method) int { return strings.Compare(a.GetName(), b.GetName()) }) {
					t.Errorf("not sorted: %v", m.GetMethods())
				}
			}
		})
	}
	if vectors[0].Digest != strings.Repeat("0", 32) || vectors[1].Digest != vectors[2].Digest {
		t.Error("an empty registry is not zero, or age_ms counts")
	}
}

func TestStatesOfLinksAreComplete(t *testing.T) {
	allowed := map[string]string{
		"preface": "closed", "hello": "REFUSE BAD_REQUEST", "proof": "REFUSE BAD_REQUEST",
		"dialled": "closed", "proved": "closed", "named": "REFUSE BAD_REQUEST", "open": "GOODBYE",
	}
	handled := map[string]bool{}
	for _, v := range linkVectors(t) {
		if v.Result != allowed[v.State] && (v.State == "preface" || v.Result != "handled" && v.Result != "skipped") {
			t.Errorf("%s in state %s is %q, must be %q, handled or skipped", v.Kind, v.State, v.Result, allowed[v.State])
		}
		handled[v.Kind] = handled[v.Kind] || v.Result == "handled"
	}
	for _, k := range assignedKinds() {
		got, there := handled[k.String()]
		if want := k.Goes(wire.NodeToNode); there != want || got != want {
			t.Errorf("%s has a row: %v, is handled in some state: %v; nodes send it: %v", k, there, got, want)
		}
	}
}

// TestSpecificationHasTheFieldsOfNodes: each field of HELLO and Entry is in the table of its limits.
func TestSpecificationHasTheFieldsOfNodes(t *testing.T) {
	for head, m := range map[string]proto.Message{"field of HELLO": &pb.Hello{}, "field of Entry": &pb.Entry{}} {
		var got, want []string
		for _, row := range table(t, head, "limit", "meaning") {
			got = append(got, strings.Split(row[0], ", ")...)
		}
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			want = append(want, string(fields.Get(i).Name()))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", head, got, want)
		}
	}
}

// TestSpecificationHasTheLimitsOfNodes: the numbers stand there as people read them.
func TestSpecificationHasTheLimitsOfNodes(t *testing.T) {
	raw, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(raw), "\n## Node to node\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for what, n := range map[string]int{
		"length":         wire.MaxFrame + wire.NodeExtra,
		"header":         wire.MaxNodeHeader,
		"number":         wire.MaxNodeNumber,
		"module_address": wire.MaxAddress,
	} {
		text := strconv.Itoa(n)
		if n > 9999 {
			text = text[:len(text)-3] + "," + text[len(text)-3:]
		}
		if n > 999_999 {
			text = text[:len(text)-7] + "," + text[len(text)-7:]
		}
		if !strings.Contains(section, text) {
			t.Errorf("%s: %s does not stand there", what, text)
		}
	}
}

// TestMessageVectorsSetEveryField: a field that a vector does not set is one that nobody compares.
func TestMessageVectorsSetEveryField(t *testing.T) {
	set := map[protoreflect.FullName]bool{}
	var visit func(m protoreflect.Message)
	visit = func(m protoreflect.Message) {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			set[fd.FullName()] = true
			switch {
			case fd.Message() == nil:
			case fd.IsList():
				for i := range v.List().Len() {
					visit(v.List().Get(i).Message())
				}
			default:
				visit(v.Message())
			}
			return true
		})
	}
	for _, v := range load[messageVector](t, "messages.json") {
		f, _, err := wire.Decode(unhex(v.Hex), wire.MaxFrame+wire.NodeExtra)
		if err != nil {
			t.Fatal(err)
		}
		m := controlMessage(v.Message)
		if err := proto.Unmarshal(f.Header, m); err != nil {
			t.Fatal(err)
		}
		visit(m.ProtoReflect())
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			if !set[fd.FullName()] {
				t.Errorf("%s is not set", fd.FullName())
			}
			if inner := fd.Message(); inner != nil {
				for j := range inner.Fields().Len() {
					if name := inner.Fields().Get(j).FullName(); !set[name] {
						t.Errorf("%s is not set", name)
					}
				}
			}
		}
	}
}

// FuzzPeer: what a node lets pass of another one's frames and answers is accepted by the generated types, and never swallows
// what is appended.
func FuzzPeer(f *testing.F) {
	for _, v := range load[prefixVector](f, "peer_prefixes.json") {
		if len(v.Hex) < 1000 {
			f.Add(unhex(v.Hex))
		}
	}
	for _, v := range load[peerAnswerVector](f, "peer_answers.json") {
		if len(v.Header) < 4000 {
			f.Add((&wire.Frame{Kind: wire.KindResponse, CallID: 1, Hops: 1, Header: unhex(v.Header)}).Append(nil))
		}
	}
	for _, v := range load[helloVector](f, "hellos.json") {
		f.Add((&wire.Frame{Kind: wire.KindHello, Header: unhex(v.Hello)}).Append(nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, _, err := wire.Decode(in, wire.MaxFrame+wire.NodeExtra)
		if err != nil {
			return
		}
		if err := frame.CheckPeerPrefix(); err != nil && code(err) != "BAD_REQUEST" && code(err) != "TOO_LARGE" {
			t.Fatal(err)
		}
		before := bytes.Clone(frame.Header)
		if wire.CheckPeerAnswer(frame.Status, frame.Header) == nil {
			wantAppended(t, frame.Header)
		} else if wire.CheckResponse(frame.Header) == nil && frame.Status <= wire.MaxCode {
			t.Fatal("an answer that a module may give may not cross")
		}
		if !bytes.Equal(before, frame.Header) {
			t.Fatal("a check has changed the header")
		}
		var h pb.Hello
		if proto.Unmarshal(frame.Header, &h) == nil {
			if err := wire.CheckHello(&h); err == nil && (h.GetNumber() > 511 || len(h.GetBootId()) != 16) || len(code(err)) > 20 {
				t.Fatalf("%v: %v", &h, err)
			}
		}
	})
}
