package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

//go:generate go test . -run ^(TestVectorsAreWritten|TestExampleIsTrue)$ -args -update

var update = flag.Bool("update", false, "write ../testdata and the example in ../PROTOCOL.md anew")

const testdata = "../testdata"

// file is one file of vectors.
type file[V any] struct {
	About   string `json:"about"`
	Vectors []V    `json:"vectors"`
}

// The vectors. ../testdata/README.md describes them for other languages.
type (
	frameVector struct {
		Name     string  `json:"name"`
		Limit    uint32  `json:"limit"`
		Hex      string  `json:"hex"`
		Code     string  `json:"code"`
		Kind     uint8   `json:"kind,omitempty"`
		Flags    uint8   `json:"flags,omitempty"`
		CallID   string  `json:"call_id,omitempty"`
		RPCID    string  `json:"rpc_id,omitempty"`
		BudgetMS uint32  `json:"budget_ms,omitempty"`
		Attempt  uint8   `json:"attempt,omitempty"`
		Hops     uint8   `json:"hops,omitempty"`
		Status   uint16  `json:"status,omitempty"`
		Header   *string `json:"header,omitempty"`
		Body     *string `json:"body,omitempty"`
	}
	prefixVector struct {
		Name   string `json:"name"`
		Hex    string `json:"hex"`
		Code   string `json:"code"`
		Effect string `json:"effect"`
	}
	requestVector struct {
		Name   string         `json:"name"`
		By     string         `json:"by"`
		Header string         `json:"header"`
		Code   string         `json:"code"`
		Fields map[string]any `json:"fields,omitempty"`
	}
	optionVector struct {
		Name   string `json:"name"`
		Rule   string `json:"rule"`
		Flags  uint8  `json:"flags"`
		CallID string `json:"call_id"`
		RPCID  string `json:"rpc_id"`
		Hops   uint8  `json:"hops"`
		Header string `json:"header"`
		Code   string `json:"code"`
	}
	responseVector struct {
		Name     string         `json:"name"`
		Status   uint16         `json:"status"`
		Header   string         `json:"header"`
		Code     string         `json:"code"`
		PassedOn uint16         `json:"passed_on"`
		Whole    bool           `json:"whole"`
		Fields   map[string]any `json:"fields,omitempty"`
	}
	messageVector struct {
		Name    string         `json:"name"`
		Kind    uint8          `json:"kind"`
		Message string         `json:"message"`
		Hex     string         `json:"hex"`
		Fields  map[string]any `json:"fields"`
	}
	loginVector struct {
		Name     string         `json:"name"`
		Login    string         `json:"login"`
		Code     string         `json:"code"`
		Problems int            `json:"problems"`
		Fields   map[string]any `json:"fields,omitempty"`
	}
	versionVector struct {
		Min     uint32 `json:"min"`
		Max     uint32 `json:"max"`
		Code    string `json:"code"`
		Version uint32 `json:"version"`
	}
	joined struct {
		Kind   uint8  `json:"kind"`
		CallID string `json:"call_id"`
		Header string `json:"header"`
		Body   string `json:"body"`
	}
	partsVector struct {
		Name     string   `json:"name"`
		Frames   []string `json:"frames"`
		Code     string   `json:"code"`
		Messages []joined `json:"messages"`
	}
	digestVector struct {
		Name        string `json:"name"`
		Secret      string `json:"secret"`
		KeyID       uint32 `json:"key_id"`
		Invoker     string `json:"invoker_module"`
		Module      string `json:"module"`
		Method      string `json:"method"`
		MessageID   string `json:"message_id"`
		Nonce       string `json:"nonce"`
		TimestampMS string `json:"timestamp_ms"`
		Body        string `json:"body"`
		Input       string `json:"input"`
		MAC         string `json:"mac"`
		Field       string `json:"field"`
	}
	policyVector struct {
		Name   string         `json:"name"`
		Policy string         `json:"policy"`
		Code   string         `json:"code"`
		Fields map[string]any `json:"fields,omitempty"`
	}
	codeVector struct {
		Code  uint16 `json:"code"`
		Name  string `json:"name"`
		Class string `json:"class"`
		GRPC  string `json:"grpc"`
	}
	kindVector struct {
		Kind         uint8  `json:"kind"`
		Name         string `json:"name"`
		ModuleToNode bool   `json:"module_to_node"`
		NodeToModule bool   `json:"node_to_module"`
		NodeToNode   bool   `json:"node_to_node"`
	}
	stateVector struct {
		Kind   string `json:"kind"`
		State  string `json:"state"`
		Result string `json:"result"`
	}
)

func load[V any](t testing.TB, name string) []V {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	var f file[V]
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(f.Vectors) == 0 {
		t.Fatalf("%s has no vectors", name)
	}
	return f.Vectors
}

func number(t testing.TB, decimal string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(decimal, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantFields compares a message with the fields of a vector, both as JSON.
func wantFields(t *testing.T, m proto.Message, want map[string]any) {
	t.Helper()
	got, err := json.Marshal(plain(m))
	if err != nil {
		t.Fatal(err)
	}
	if want == nil {
		want = map[string]any{}
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, wanted) {
		t.Errorf("fields\n got %s\nwant %s", got, wanted)
	}
}

func TestFrameVectors(t *testing.T) {
	for _, v := range load[frameVector](t, "frames.json") {
		t.Run(v.Name, func(t *testing.T) {
			in := unhex(v.Hex)
			f, n, err := wire.Decode(in, v.Limit)
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			if err != nil {
				if n != 0 {
					t.Errorf("took %d bytes of a frame that it refused", n)
				}
				return
			}
			if n != len(in) {
				t.Errorf("took %d bytes of %d", n, len(in))
			}
			got := frameVector{
				Name: v.Name, Limit: v.Limit, Hex: v.Hex, Code: v.Code,
				Kind: uint8(f.Kind), Flags: uint8(f.Flags),
				CallID: strconv.FormatUint(f.CallID, 10), RPCID: strconv.FormatUint(f.RPCID, 10),
				BudgetMS: f.BudgetMS, Attempt: f.Attempt, Hops: f.Hops, Status: uint16(f.Status),
				Header: hexOf(f.Header), Body: hexOf(f.Body),
			}
			gotJSON, _ := json.Marshal(got)
			wantJSON, _ := json.Marshal(v)
			if !bytes.Equal(gotJSON, wantJSON) {
				t.Errorf("\n got %s\nwant %s", gotJSON, wantJSON)
			}
			if out := f.Append(nil); !bytes.Equal(out, in) || f.Size() != len(in) {
				t.Errorf("encoded again: %x", out)
			}
			for cut := range in {
				if _, _, err := wire.Decode(in[:cut], v.Limit); !errors.Is(err, wire.ErrShort) {
					t.Fatalf("the first %d bytes: got %v, want ErrShort", cut, err)
				}
			}
			if _, n, err := wire.Decode(append(in[:n:n], 0xff, 0xff, 0xff, 0xff), v.Limit); n != len(in) || err != nil {
				t.Errorf("with a neighbour behind: took %d, %v", n, err)
			}
		})
	}
}

func hexOf(b []byte) *string {
	s := hex.EncodeToString(b)
	return &s
}

func TestPrefixVectors(t *testing.T) {
	for _, v := range load[prefixVector](t, "prefixes.json") {
		t.Run(v.Name, func(t *testing.T) {
			f, _, err := wire.Decode(unhex(v.Hex), wire.MaxFrame)
			if err != nil {
				t.Fatal(err)
			}
			err = f.CheckPrefix()
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			want := "taken"
			switch {
			case f.Kind >= wire.KindSkippable:
				want = "skipped"
			case err != nil && f.Kind == wire.KindRequest:
				want = "answered"
			case err != nil:
				want = "closes"
			}
			if v.Effect != want {
				t.Errorf("effect is %q, must be %q", v.Effect, want)
			}
		})
	}
}

func writer(t *testing.T, by string) wire.Writer {
	switch by {
	case "module":
		return wire.ByModule
	case "node":
		return wire.ByNode
	}
	t.Fatalf("written by %q", by)
	return 0
}

func TestRequestVectors(t *testing.T) {
	for _, v := range load[requestVector](t, "requests.json") {
		t.Run(v.Name, func(t *testing.T) {
			h := unhex(v.Header)
			var r wire.Request
			err := r.Walk(h, writer(t, v.By))
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			if err == nil {
				wantAgreement(t, &r, h)
				wantFields(t, asMessage(&r, h), v.Fields)
			}
		})
	}
}

func TestOptionVectors(t *testing.T) {
	for _, v := range load[optionVector](t, "options.json") {
		t.Run(v.Name, func(t *testing.T) {
			f := wire.Frame{
				Kind: wire.KindRequest, Flags: wire.Flags(v.Flags), Hops: v.Hops,
				CallID: number(t, v.CallID), RPCID: number(t, v.RPCID), Header: unhex(v.Header),
			}
			var r wire.Request
			if err := r.Walk(f.Header, wire.ByModule); err != nil {
				t.Fatal(err)
			}
			if err := r.Check(&f); code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
		})
	}
}

func TestResponseVectors(t *testing.T) {
	for _, v := range load[responseVector](t, "responses.json") {
		t.Run(v.Name, func(t *testing.T) {
			h := unhex(v.Header)
			if err := wire.CheckResponse(h); code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			} else if err == nil {
				wantResponseAgreement(t, h)
				var m pb.ResponseHeader
				if err := proto.Unmarshal(h, &m); err != nil {
					t.Fatal(err)
				}
				wantFields(t, &m, v.Fields)
			}
			passedOn, err := wire.CheckAnswer(wire.Code(v.Status), h)
			if (err == nil) != v.Whole {
				t.Errorf("passed on whole is %v, want %v: %v", err == nil, v.Whole, err)
			}
			if passedOn != wire.Code(v.PassedOn) {
				t.Errorf("passed on as %s, want %s", passedOn, wire.Code(v.PassedOn))
			}
		})
	}
}

func TestMessageVectors(t *testing.T) {
	for _, v := range load[messageVector](t, "messages.json") {
		t.Run(v.Name, func(t *testing.T) {
			f, _, err := wire.Decode(unhex(v.Hex), wire.MaxFrame+wire.NodeExtra)
			if err != nil {
				t.Fatal(err)
			}
			m := controlMessage(v.Message)
			if err := proto.Unmarshal(f.Header, m); err != nil {
				t.Fatal(err)
			}
			wantFields(t, m, v.Fields)
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, f.Header) || f.Kind != wire.Kind(v.Kind) {
				t.Errorf("encoded again: kind %d, %x", f.Kind, again)
			}
		})
	}
}

func TestLoginVectors(t *testing.T) {
	for _, v := range load[loginVector](t, "logins.json") {
		t.Run(v.Name, func(t *testing.T) {
			var l pb.Login
			if err := proto.Unmarshal(unhex(v.Login), &l); err != nil {
				t.Fatal(err)
			}
			err := wire.CheckLogin(&l)
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			if err != nil && countProblems(err) != v.Problems {
				t.Errorf("names %d problems, want %d: %v", countProblems(err), v.Problems, err)
			}
			if v.Fields != nil {
				wantFields(t, &l, v.Fields)
			}
		})
	}
	for _, v := range load[versionVector](t, "versions.json") {
		got, err := wire.NegotiateVersion(v.Min, v.Max)
		if got != v.Version || code(err) != v.Code {
			t.Errorf("%d to %d: got %d, %v, want %d, %s", v.Min, v.Max, got, err, v.Version, v.Code)
		}
	}
}

func TestDigestVectors(t *testing.T) {
	for _, v := range load[digestVector](t, "digests.json") {
		t.Run(v.Name, func(t *testing.T) {
			input := wire.AppendDigestInput(nil, []byte(v.Invoker), []byte(v.Module), []byte(v.Method), []byte(v.MessageID),
				unhex(v.Nonce), number(t, v.TimestampMS), unhex(v.Body))
			if hex.EncodeToString(input) != v.Input {
				t.Errorf("input is %x, want %s", input, v.Input)
			}
			if got := hex.EncodeToString(hmacSHA256(unhex(v.Secret), input)); got != v.MAC {
				t.Errorf("mac is %s, want %s", got, v.MAC)
			}
			parts := [][]byte{unhex(v.Secret), []byte(v.Invoker), []byte(v.Module), []byte(v.Method), []byte(v.MessageID), unhex(v.Body)}
			d := wire.Digest{KeyID: v.KeyID, Nonce: unhex(v.Nonce), TimestampMS: number(t, v.TimestampMS)}
			d.Sign(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
			if got := hex.EncodeToString(d.Append(nil)); got != v.Field {
				t.Errorf("the signed digest is %s, want %s", got, v.Field)
			}
			for i := range parts {
				other := slices.Clone(parts)
				other[i] = append(bytes.Clone(other[i]), 'x')
				if d.Verify(other[0], other[1], other[2], other[3], other[4], other[5]) {
					t.Errorf("a call with another part %d passes", i)
				}
			}
			if !d.Verify(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]) {
				t.Error("the call itself does not pass")
			}
			if d.MAC[31] ^= 1; d.Verify(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]) {
				t.Error("another mac passes")
			}
		})
	}
}

// TestPartsVectors joins them the slow and plain way, so that the vectors are true by themselves.
func TestPartsVectors(t *testing.T) {
	for _, v := range load[partsVector](t, "parts.json") {
		t.Run(v.Name, func(t *testing.T) {
			messages, err := join(t, v.Frames)
			if code(err) != v.Code {
				t.Fatalf("got %s (%v), want %s", code(err), err, v.Code)
			}
			got, _ := json.Marshal(messages)
			want, _ := json.Marshal(v.Messages)
			if !bytes.Equal(got, want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func join(t *testing.T, frames []string) ([]joined, error) {
	type key struct {
		kind wire.Kind
		call uint64
	}
	open := map[key]wire.Frame{}
	done := []joined{}
	for _, frame := range frames {
		f, _, err := wire.Decode(unhex(frame), wire.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.CheckPrefix(); err != nil {
			return done, err
		}
		k := key{f.Kind, f.CallID}
		message, more := f, f.Flags&wire.FlagMore != 0
		if f.Kind == wire.KindPart {
			k.kind = wire.Kind(f.Status)
			first, ok := open[k]
			if !ok {
				return done, &wire.Error{Code: wire.BadRequest, Reason: "PART for nothing open"}
			}
			first.Body = append(slices.Clip(first.Body), f.Body...)
			message = first
			delete(open, k)
		} else if _, ok := open[k]; ok && more {
			return done, &wire.Error{Code: wire.BadRequest, Reason: "key is open"}
		}
		if more {
			open[k] = message
			if len(open) > wire.MaxOpen {
				return done, &wire.Error{Code: wire.BadRequest, Reason: "too many open"}
			}
			continue
		}
		done = append(done, joined{
			Kind: uint8(message.Kind), CallID: strconv.FormatUint(message.CallID, 10),
			Header: hex.EncodeToString(message.Header), Body: hex.EncodeToString(message.Body),
		})
	}
	return done, nil
}
