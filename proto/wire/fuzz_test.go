package wire_test

import (
	"bytes"
	"testing"
	"unsafe"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/wire"
)

// FuzzDecode: no panic; what is accepted is encoded again to the same bytes, and lies in the input, so that nothing is
// allocated for what a length announces.
func FuzzDecode(f *testing.F) {
	for _, v := range load[frameVector](f, "frames.json") {
		f.Add(unhex(v.Hex), v.Limit)
	}
	for _, v := range load[prefixVector](f, "prefixes.json") {
		if len(v.Hex) < 1000 {
			f.Add(unhex(v.Hex), uint32(wire.MaxFrame))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, limit uint32) {
		frame, n, err := wire.Decode(in, limit)
		if err != nil {
			if c := code(err); n != 0 || c != "SHORT" && c != "BAD_REQUEST" {
				t.Fatalf("took %d bytes, %v", n, err)
			}
			return
		}
		if n < wire.PrefixSize || n > len(in) || uint64(n)-4 > uint64(limit) {
			t.Fatalf("took %d of %d bytes, with a limit of %d", n, len(in), limit)
		}
		if out := frame.Append(nil); !bytes.Equal(out, in[:n]) {
			t.Fatalf("encoded again: %x", out)
		}
		for _, part := range [][]byte{frame.Header, frame.Body} {
			if cap(part) != len(part) {
				t.Fatal("an append to what was decoded would write into its neighbour")
			}
			if len(part) > 0 && !within(part, in[:n]) {
				t.Fatal("what was decoded is not the input's")
			}
		}
		if err := frame.CheckPrefix(); err != nil && code(err) != "BAD_REQUEST" && code(err) != "TOO_LARGE" {
			t.Fatalf("%v", err)
		}
	})
}

func within(part, whole []byte) bool {
	from, to := uintptr(unsafe.Pointer(&whole[0])), uintptr(unsafe.Pointer(&whole[len(whole)-1]))
	first, last := uintptr(unsafe.Pointer(&part[0])), uintptr(unsafe.Pointer(&part[len(part)-1]))
	return from <= first && last <= to
}

// FuzzWalk: what is accepted is accepted by the generated type, with equal fields, and never swallows what is appended.
func FuzzWalk(f *testing.F) {
	for _, v := range load[requestVector](f, "requests.json") {
		if len(v.Header) < 4000 {
			f.Add(unhex(v.Header), v.By == "node", uint8(0))
		}
	}
	for _, v := range load[optionVector](f, "options.json") {
		f.Add(unhex(v.Header), false, v.Flags)
	}
	f.Fuzz(func(t *testing.T, h []byte, byNode bool, flags uint8) {
		by := wire.ByModule
		if byNode {
			by = wire.ByNode
		}
		var r wire.Request
		if err := r.Walk(h, by); err != nil {
			if c := code(err); c != "BAD_REQUEST" && c != "BAD_OPTION" && c != "TOO_LARGE" {
				t.Fatal(err)
			}
			return
		}
		wantAgreement(t, &r, h)
		if byNode {
			return
		}
		wantStamped(t, h)
		for _, id := range []uint64{0, 1} {
			frame := wire.Frame{Kind: wire.KindRequest, Flags: wire.Flags(flags), CallID: id, Header: h}
			if err := r.Check(&frame); err != nil && code(err) != "BAD_REQUEST" && code(err) != "BAD_OPTION" {
				t.Fatal(err)
			}
		}
	})
}

// FuzzCheckResponse: the same for what a server answers.
func FuzzCheckResponse(f *testing.F) {
	for _, v := range load[responseVector](f, "responses.json") {
		if len(v.Header) < 4000 {
			f.Add(unhex(v.Header), v.Status)
		}
	}
	f.Fuzz(func(t *testing.T, h []byte, status uint16) {
		if wire.CheckResponse(h) == nil {
			wantResponseAgreement(t, h)
		}
		before := wire.Code(status)
		after, err := wire.CheckAnswer(before, h)
		started := func(c wire.Code) bool { return c.Class() == wire.Success || c.Class() == wire.Executed }
		if started(before) != started(after) || !started(before) && before != after {
			t.Fatalf("%s became %s", before, after)
		}
		if err != nil && started(before) && after != wire.AnswerLost {
			t.Fatalf("%s without its header became %s", before, after)
		}
	})
}

// FuzzReadPolicy: what a server takes as POLICY it can send on, and reads back the same.
func FuzzReadPolicy(f *testing.F) {
	for _, v := range load[policyVector](f, "policies.json") {
		if len(v.Policy) < 4000 {
			f.Add(unhex(v.Policy), uint16(len(v.Policy)/4))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, cut uint16) {
		at := min(int(cut), len(message))
		p, err := wire.ReadPolicy(&wire.Frame{Kind: wire.KindPolicy, Header: message[:at:at], Body: message[at:]})
		if err != nil {
			if c := code(err); c != "BAD_REQUEST" && c != "TOO_LARGE" {
				t.Fatal(err)
			}
			return
		}
		sent, err := wire.PolicyFrame(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := wire.ReadPolicy(&sent); err != nil || !proto.Equal(again, p) {
			t.Fatalf("sent and read again: %v", err)
		}
	})
}
