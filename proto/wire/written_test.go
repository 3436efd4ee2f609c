package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestVectorsAreWritten makes every file of ../testdata and compares it with what is there; -update writes it.
func TestVectorsAreWritten(t *testing.T) {
	wantWritten(t, "codes.json", "The assigned status codes.", codeVectors())
	wantWritten(t, "kinds.json", "The assigned kinds and their directions.", kindVectors())
	wantWritten(t, "states.json", "What a node does with each kind in each state of a module's connection.", stateVectors(t))
	wantWritten(t, "frames.json", "Frames as bytes, and what Decode makes of them.", frameVectors())
	wantWritten(t, "prefixes.json", "Whole frames from a module, and what a node says of their prefix.", prefixVectors())
	wantWritten(t, "requests.json", "Headers of REQUEST, and what the header walk says.", requestVectors(t))
	wantWritten(t, "options.json", "Requests from a module whose header is well-formed, and whether their options go together.", optionVectors())
	wantWritten(t, "responses.json", "Headers of a server's RESPONSE, what the header walk says, and the status that a node passes on.", responseVectors(t))
	wantWritten(t, "messages.json", "One frame for each control message and each header, with every field set.", messageVectors(t))
	wantWritten(t, "logins.json", "LOGIN messages, and what a node says of them.", loginVectors(t))
	wantWritten(t, "versions.json", "Version ranges, and what a node of version 1 makes of them.", versionVectors())
	wantWritten(t, "parts.json", "Frames in order, and the messages that they join to.", partsVectors())
	wantWritten(t, "digests.json", "What a digest's mac is computed over, and the mac.", digestVectors())
}

func wantWritten[V any](t *testing.T, name, about string, vectors []V) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"about\": %q,\n\"vectors\": [\n", about)
	for i, v := range vectors {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		if i < len(vectors)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n}\n")
	path := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is not what the generator makes: go generate ./proto/wire, and read the difference", name)
	}
}

func codeVectors() (all []codeVector) {
	for _, c := range wire.Codes() {
		all = append(all, codeVector{uint16(c), c.String(), c.Class().String(), c.GRPC()})
	}
	return all
}

func assignedKinds() []wire.Kind { return slices.Sorted(maps.Keys(wire.Kinds())) }

func kindVectors() (all []kindVector) {
	for _, k := range assignedKinds() {
		all = append(all, kindVector{uint8(k), k.String(), k.Goes(wire.ModuleToNode), k.Goes(wire.NodeToModule), k.Goes(wire.NodeToNode)})
	}
	return all
}

func good(name string, f wire.Frame) frameVector {
	return frameVector{
		Name: name, Limit: wire.MaxFrame, Hex: hex.EncodeToString(encode(f)), Code: "OK",
		Kind: uint8(f.Kind), Flags: uint8(f.Flags),
		CallID: strconv.FormatUint(f.CallID, 10), RPCID: strconv.FormatUint(f.RPCID, 10),
		BudgetMS: f.BudgetMS, Attempt: f.Attempt, Hops: f.Hops, Status: uint16(f.Status),
		Header: hexOf(f.Header), Body: hexOf(f.Body),
	}
}

// encode writes a frame by the layout of PROTOCOL.md, without the package's encoder.
func encode(f wire.Frame) []byte {
	return unhex(fmt.Sprintf("%08x%02x%02x%04x%016x%016x%08x%02x%02x%04x%x%x",
		28+len(f.Header)+len(f.Body), uint8(f.Kind), uint8(f.Flags), len(f.Header), f.CallID, f.RPCID, f.BudgetMS,
		f.Attempt, f.Hops, uint16(f.Status), f.Header, f.Body))
}

func frameVectors() []frameVector {
	all := []frameVector{
		good("empty", wire.Frame{Kind: wire.KindPing}),
		good("each field has its place", wire.Frame{
			Kind: 0x10, Flags: 0x12, CallID: 0x0102030405060708, RPCID: 0x1112131415161718, BudgetMS: 0x21222324,
			Attempt: 0x31, Hops: 0x32, Status: 0x4142, Header: call(), Body: []byte("body"),
		}),
		good("each field at its largest", wire.Frame{
			Kind: 255, Flags: 255, CallID: math.MaxUint64, RPCID: math.MaxUint64, BudgetMS: math.MaxUint32,
			Attempt: 255, Hops: 255, Status: 65535,
		}),
		good("header only", wire.Frame{Kind: wire.KindRequest, CallID: 1, Header: call()}),
		good("body only", wire.Frame{Kind: wire.KindResponse, CallID: 1, Body: []byte{0}}),
	}
	for _, k := range assignedKinds() {
		all = append(all, good("kind "+k.String(), wire.Frame{Kind: k, CallID: 1}))
	}
	for _, k := range []wire.Kind{0, 6, 127, 128, 254} {
		all = append(all, good(fmt.Sprintf("kind %d is a whole frame, too", k), wire.Frame{Kind: k}))
	}
	for bit := range 8 {
		f := wire.Flags(1) << bit
		all = append(all, good(fmt.Sprintf("flag %d", f), wire.Frame{Kind: wire.KindRequest, Flags: f, CallID: 1, Header: call()}))
	}
	for _, c := range wire.Codes() {
		all = append(all, good("status "+c.String(), wire.Frame{Kind: wire.KindResponse, CallID: 1, Status: c}))
	}
	for _, c := range []wire.Code{9, 63, 95, 127, 128} {
		all = append(all, good(fmt.Sprintf("status %d", c), wire.Frame{Kind: wire.KindResponse, CallID: 1, Status: c}))
	}
	bad := func(name string, limit uint32, code, hexBytes string) {
		all = append(all, frameVector{Name: name, Limit: limit, Hex: strings.ReplaceAll(hexBytes, " ", ""), Code: code})
	}
	zeros := strings.Repeat("00", 28)
	bad("nothing", wire.MaxFrame, "SHORT", "")
	bad("half a length", wire.MaxFrame, "SHORT", "0000")
	bad("a length and no more", wire.MaxFrame, "SHORT", "0000001c")
	bad("one byte is missing", wire.MaxFrame, "SHORT", "0000001d 08"+zeros[2:])
	bad("the largest length is only announced", wire.MaxFrame, "SHORT", "00100000")
	bad("the largest length from a node", wire.MaxFrame+wire.NodeExtra, "SHORT", "00101000")
	bad("length 0", wire.MaxFrame, "BAD_REQUEST", "00000000"+zeros)
	bad("length 1", wire.MaxFrame, "BAD_REQUEST", "00000001"+zeros)
	bad("length 27", wire.MaxFrame, "BAD_REQUEST", "0000001b"+zeros)
	bad("length 1 above the limit", wire.MaxFrame, "BAD_REQUEST", "00100001"+zeros)
	bad("length 1 above the limit from a node", wire.MaxFrame+wire.NodeExtra, "BAD_REQUEST", "00101001"+zeros)
	bad("length 2^31", wire.MaxFrame, "BAD_REQUEST", "80000000"+zeros)
	bad("length 2^32-1", wire.MaxFrame, "BAD_REQUEST", "ffffffff"+zeros)
	bad("length in the wrong byte order", wire.MaxFrame, "BAD_REQUEST", "1c000000"+zeros)
	bad("a GET of HTTP", wire.MaxFrame, "BAD_REQUEST", hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: pay\r\n\r\n")))
	bad("header 1 longer than the frame", wire.MaxFrame, "BAD_REQUEST", "0000001c 10000001"+zeros[8:])
	bad("header 1 longer than what is left", wire.MaxFrame, "BAD_REQUEST", "0000001e 10000003"+zeros[8:]+"0a03")
	bad("header of 65535 in an empty frame", wire.MaxFrame, "BAD_REQUEST", "0000001c 1000ffff"+zeros[8:])
	return all
}

func prefixVectors() (all []prefixVector) {
	add := func(name, code string, f wire.Frame) {
		effect := "taken"
		switch {
		case f.Kind >= 128:
			effect = "skipped"
		case code != "OK" && f.Kind == 16:
			effect = "answered"
		case code != "OK":
			effect = "closes"
		}
		all = append(all, prefixVector{name, hex.EncodeToString(encode(f)), code, effect})
	}
	fromModules := []wire.Kind{1, 3, 8, 9, 10, 16, 17, 18, 19, 25, 27}
	flagsOf := map[wire.Kind]wire.Flags{16: 1 | 2 | 16 | 32 | 64, 17: 1, 19: 1}
	statusOf := map[wire.Kind]wire.Code{18: 28, 19: 16}
	hasHeader := []wire.Kind{1, 3, 10, 16, 17, 25, 27}
	hasBody := []wire.Kind{8, 9, 16, 17, 19}
	for n := range 131 {
		k := wire.Kind(n)
		f := wire.Frame{Kind: k, CallID: 1, Status: statusOf[k]}
		switch {
		case k >= 128:
			f.Hops, f.Flags = 9, 255
			add(fmt.Sprintf("kind %d is skipped whatever it holds", k), "OK", f)
			continue
		case !slices.Contains(fromModules, k):
			if k <= 40 || k == 127 {
				add(fmt.Sprintf("kind %d is not a module's", k), "BAD_REQUEST", f)
			}
			continue
		}
		add(k.String(), "OK", f)
		for bit := range 8 {
			f := f
			f.Flags = 1 << bit
			if flagsOf[k]&f.Flags != 0 {
				add(fmt.Sprintf("%s with flag %d", k, f.Flags), "OK", f)
			} else {
				add(fmt.Sprintf("%s with flag %d", k, f.Flags), "BAD_REQUEST", f)
			}
		}
		with := func(what, code string, change func(f *wire.Frame)) {
			f := f
			change(&f)
			add(k.String()+" with "+what, code, f)
		}
		with("hops", "BAD_REQUEST", func(f *wire.Frame) { f.Hops = 1 })
		with("rpc_id", "BAD_REQUEST", func(f *wire.Frame) { f.RPCID = 1 })
		with("budget, attempt", "OK", func(f *wire.Frame) { f.BudgetMS, f.Attempt = math.MaxUint32, 255 })
		code := "BAD_REQUEST"
		if k == 8 || k == 9 || slices.Contains(hasHeader, k) {
			code = "OK"
		}
		with("a header", code, func(f *wire.Frame) { f.Header = []byte{0x08, 0x01} })
		if k == 16 || k == 17 {
			with("the longest header", "OK", func(f *wire.Frame) { f.Header = make([]byte, 16384) })
			with("a header 1 too long", "TOO_LARGE", func(f *wire.Frame) { f.Header = make([]byte, 16385) })
		}
		code = "BAD_REQUEST"
		if slices.Contains(hasBody, k) {
			code = "OK"
		}
		with("a body", code, func(f *wire.Frame) { f.Body = []byte{0} })
	}
	for _, c := range []wire.Code{0, 25, 27, 28, 64} {
		code := "BAD_REQUEST"
		if c == 25 || c == 28 {
			code = "OK"
		}
		add(fmt.Sprintf("CANCEL because of %s", c), code, wire.Frame{Kind: 18, CallID: 1, Status: c})
	}
	for _, c := range []wire.Code{0, 1, 15, 16, 17, 18, 19, 272} {
		code := "BAD_REQUEST"
		if c == 16 || c == 17 {
			code = "OK"
		}
		add(fmt.Sprintf("PART of kind %d", c), code, wire.Frame{Kind: 19, CallID: 1, Status: c, Body: []byte{0}})
	}
	for _, c := range []wire.Code{5, 50, 90, 127, 128, 65535} {
		code := "OK"
		if c > 127 {
			code = "BAD_REQUEST"
		}
		add(fmt.Sprintf("RESPONSE with status %d", c), code, wire.Frame{Kind: 17, CallID: 1, Status: c})
	}
	return all
}

func requestVectors(t *testing.T) (all []requestVector) {
	add := func(by, code, name string, h header) {
		v := requestVector{Name: name, By: by, Header: hex.EncodeToString(h), Code: code}
		if code == "OK" {
			var m pb.RequestHeader
			if err := proto.Unmarshal(h, &m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v.Fields = plain(&m)
		}
		all = append(all, v)
	}
	ok := func(name string, h header) { add("module", "OK", name, h) }
	bad := func(name string, h header) { add("module", "BAD_REQUEST", name, h) }

	ok("the smallest", call())
	ok("method before module", header(nil).text(2, "Charge").text(1, "pay"))
	bad("empty header", nil)
	bad("no method", header(nil).text(1, "pay"))
	bad("no module", header(nil).text(2, "Charge"))
	bad("empty module", header(nil).text(1, "").text(2, "Charge"))

	// Names.
	named := map[protowire.Number]string{1: "module", 2: "method", 3: "group", 4: "instance"}
	with := func(num protowire.Number, v string) header {
		h := header(nil)
		for n := range protowire.Number(5) {
			switch {
			case n == num:
				h = h.text(n, v)
			case n == 1:
				h = h.text(1, "pay")
			case n == 2:
				h = h.text(2, "Charge")
			}
		}
		return h
	}
	for num := protowire.Number(1); num <= 4; num++ {
		ok(named[num]+" of 1 byte", with(num, "x"))
		ok(named[num]+" of 127 bytes", with(num, long(127)))
		bad(named[num]+" of 128 bytes", with(num, long(128)))
		if num > 2 {
			ok(named[num]+" empty", with(num, ""))
		} else {
			bad(named[num]+" empty", with(num, ""))
		}
		for _, v := range []string{"a b", "a\x00", "\x00", "a\n", "a\r", "\x1b[31m", "a/b", "a*", "a{", "é", "\xff", "\xc3", "a\x7f", "a@b"} {
			bad(fmt.Sprintf("%s %+q", named[num], v), with(num, v))
		}
		if num == 2 {
			bad("method with a dot", with(num, "pay.Charge"))
			ok("method with every other byte of a name", with(num, "aZ09_:-"))
		} else {
			ok(named[num]+" with every byte of a name", with(num, "aZ09_:.-"))
		}
	}

	// Sizes.
	for _, f := range []struct {
		num  protowire.Number
		name string
		max  int
	}{{6, "hash_key", 256}, {8, "message_id", 128}, {13, "user_data", 1024}, {14, "content_type", 127}} {
		ok(f.name+" empty", call().text(f.num, ""))
		ok(f.name+" of 1 byte", call().text(f.num, "x"))
		ok(fmt.Sprintf("%s of %d bytes", f.name, f.max), call().text(f.num, long(f.max)))
		bad(fmt.Sprintf("%s of %d bytes", f.name, f.max+1), call().text(f.num, long(f.max+1)))
	}
	ok("hash_key of any bytes", call().text(6, "\x00\xff"))
	ok("user_data of any bytes", call().text(13, "\x00\xff"))
	for _, f := range []struct {
		num  protowire.Number
		name string
	}{{8, "message_id"}, {14, "content_type"}} {
		ok(f.name+" of blank and tilde", call().text(f.num, " ~"))
		for _, v := range []string{"a\x1f", "a\x7f", "é", "a\x00"} {
			bad(fmt.Sprintf("%s %+q", f.name, v), call().text(f.num, v))
		}
	}

	// Numbers.
	for _, f := range []struct {
		num  protowire.Number
		name string
	}{{9, "max_attempts"}, {10, "delay_ms"}, {11, "valid_for_ms"}, {12, "first_attempt_age_ms"}} {
		ok(f.name+" 0, explicit", call().varint(f.num, 0))
		ok(f.name+" 1", call().varint(f.num, 1))
		ok(f.name+" 2^32-1", call().varint(f.num, math.MaxUint32))
		bad(f.name+" 2^32", call().varint(f.num, 1<<32))
		bad(f.name+" 2^64-1", call().varint(f.num, math.MaxUint64))
	}
	for b := range uint64(5) {
		ok(fmt.Sprintf("balance %d", b), call().varint(5, b))
	}
	add("module", "BAD_OPTION", "balance 5", call().varint(5, 5))
	add("module", "BAD_OPTION", "balance 2^32-1", call().varint(5, math.MaxUint32))
	bad("balance -1", call().varint(5, math.MaxUint64))
	for o := range uint64(8) {
		ok(fmt.Sprintf("options %d", o), call().varint(7, o))
	}
	for _, o := range []uint64{8, 15, 1 << 31} {
		add("module", "BAD_OPTION", fmt.Sprintf("options %d", o), call().varint(7, o))
	}
	bad("options 2^32", call().varint(7, 1<<32))
	ok("a number in more bytes than it needs", call().raw("48 81 80 00"))
	ok("a tag in more bytes than it needs", call().raw("c8 00 01"))
	bad("a number of 11 bytes", call().raw("48 80 80 80 80 80 80 80 80 80 80 01"))
	bad("a number of 65 bits", call().raw("48 ff ff ff ff ff ff ff ff ff 02"))

	// Digest.
	mac := header(nil).varint(1, 7).text(2, long(16)).varint(3, 1700000000000).text(4, long(32))
	ok("digest", call().bytes(15, mac))
	ok("digest, empty", call().bytes(15, nil))
	ok("digest at its bounds", call().bytes(15, header(nil).varint(1, math.MaxUint32).text(2, long(64)).varint(3, math.MaxUint64).text(4, long(64))))
	ok("digest with an unknown field", call().bytes(15, append(mac, header(nil).text(9, "x")...)))
	bad("digest with key_id 2^32", call().bytes(15, header(nil).varint(1, 1<<32)))
	bad("digest with a nonce of 65 bytes", call().bytes(15, header(nil).text(2, long(65))))
	bad("digest with a mac of 65 bytes", call().bytes(15, header(nil).text(4, long(65))))
	bad("digest with a field twice", call().bytes(15, header(nil).varint(1, 1).varint(1, 2)))
	bad("digest with a wrong wire type", call().bytes(15, header(nil).text(1, "x")))
	bad("digest cut off inside", call().bytes(15, header(nil).raw("12 05 00")))
	bad("digest with a group inside", call().bytes(15, header(nil).raw("4b 4c")))
	bad("digest with a field number above 2^29-1", call().bytes(15, header(nil).raw("80 80 80 80 10 00")))
	bad("digest twice", call().bytes(15, mac).bytes(15, mac))

	// Metadata.
	ok("metadata", call().bytes(16, entry("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")))
	ok("metadata with an empty value", call().bytes(16, entry("k", "")))
	ok("metadata without a value", call().bytes(16, header(nil).text(1, "k")))
	ok("metadata, value before key", call().bytes(16, header(nil).text(2, "v").text(1, "k")))
	ok("metadata with a key twice in two entries", call().bytes(16, entry("k", "1")).bytes(16, entry("k", "2")))
	ok("metadata between other fields", header(nil).bytes(16, entry("a", "1")).text(1, "pay").bytes(16, entry("b", "2")).text(2, "Charge"))
	ok("metadata key of 127 bytes", call().bytes(16, entry(long(127), "v")))
	ok("metadata value of UTF-8", call().bytes(16, entry("k", "é\x00\n")))
	ok("metadata with an unknown field", call().bytes(16, header(entry("k", "v")).varint(3, 1)))
	bad("metadata without a key", call().bytes(16, header(nil).text(2, "v")))
	bad("metadata, empty", call().bytes(16, nil))
	bad("metadata key of 128 bytes", call().bytes(16, entry(long(128), "v")))
	bad("metadata key with a control character", call().bytes(16, entry("k\n", "v")))
	bad("metadata value not UTF-8", call().bytes(16, entry("k", "\xff")))
	bad("metadata with two keys in one entry", call().bytes(16, header(entry("k", "v")).text(1, "l")))
	bad("metadata with a wrong wire type", call().bytes(16, header(nil).varint(1, 1)))
	bad("metadata cut off inside", call().bytes(16, header(nil).raw("0a 05 6b")))
	bad("metadata with a group inside", call().bytes(16, header(entry("k", "v")).raw("1b 1c")))
	bad("metadata with field 0 inside", call().bytes(16, header(entry("k", "v")).raw("00 00")))
	bad("metadata with a field number above 2^29-1", call().bytes(16, header(entry("k", "v")).raw("80 80 80 80 10 00")))
	many, filled := call(), call()
	for range 32 {
		many = many.bytes(16, entry("k", ""))
	}
	for range 8 {
		filled = filled.bytes(16, entry("k", long(1024-6))) // 3 bytes of key, 3 of value's tag and length
	}
	ok("metadata of 32 entries", many)
	bad("metadata of 33 entries", many.bytes(16, entry("k", "")))
	ok("metadata of 8192 bytes", filled)
	bad("metadata of 8195 bytes", filled.bytes(16, header(nil).text(1, "k")))

	// Form.
	ok("unknown fields 17 to 999 of every wire type", call().varint(17, 1).fixed64(18, 1).text(19, "\xff").fixed32(999, 1))
	ok("an unknown field twice", call().varint(17, 1).varint(17, 1))
	bad("a group", call().raw("8b 01 8c 01"))
	bad("an open group", call().raw("8b 01"))
	bad("a group's end", call().raw("8c 01"))
	bad("a group in a known field", call().raw("1b 1c"))
	bad("an open group in a node's field", call().raw("c3 3e"))
	bad("field number 0", call().raw("00 00"))
	bad("field number 0, length-delimited", call().raw("02 00"))
	bad("field number 2^29", call().raw("80 80 80 80 10 00"))
	bad("field number 2^31", call().raw("80 80 80 80 40 00"))
	bad("a tag of 65 bits", call().raw("ff ff ff ff ff ff ff ff ff 02 00"))
	bad("wire type 6", call().raw("8e 01 00"))
	bad("wire type 7", call().raw("8f 01 00"))
	for num := protowire.Number(1); num <= 16; num++ {
		numeric := num == 5 || num == 7 || num >= 9 && num <= 12
		base := call()
		switch num {
		case 1:
			base = header(nil).text(2, "Charge")
		case 2:
			base = header(nil).text(1, "pay")
		}
		if numeric {
			bad(fmt.Sprintf("field %d length-delimited", num), base.text(num, "\x01"))
		} else {
			bad(fmt.Sprintf("field %d as a varint", num), base.varint(num, 1))
		}
		bad(fmt.Sprintf("field %d as fixed64", num), base.fixed64(num, 1))
		bad(fmt.Sprintf("field %d as fixed32", num), base.fixed32(num, 1))
		switch {
		case num == 16:
		case numeric:
			bad(fmt.Sprintf("field %d twice", num), base.varint(num, 1).varint(num, 1))
			bad(fmt.Sprintf("field %d twice, also when 0", num), base.varint(num, 0).varint(num, 0))
		default:
			bad(fmt.Sprintf("field %d twice", num), base.text(num, "x").text(num, "x"))
		}
	}

	// Truncation: what would swallow the fields that a node appends.
	bad("a trailing field that announces 1 byte more", call().raw("1a 02 61"))
	bad("a trailing unknown field that announces 100 bytes", call().raw("8a 01 64"))
	bad("a trailing unknown field that announces 2^31 bytes", call().raw("8a 01 80 80 80 80 08"))
	bad("a trailing unknown field that announces 2^64-1 bytes", call().raw("8a 01 ff ff ff ff ff ff ff ff ff 01"))
	bad("a trailing tag without a value", call().raw("18"))
	bad("a trailing tag that goes on", call().raw("8a"))
	bad("a trailing varint that goes on", call().raw("88 01 80"))
	bad("a trailing fixed64 of 7 bytes", call().raw("91 01 00000000000000"))
	bad("a trailing fixed32 of 3 bytes", call().raw("9d 01 000000"))

	// What only nodes write.
	stamped := header(wire.AppendCallStamp(wire.AppendInvoker(call(), "web", "", "unix", "n1", 1<<62), math.MaxUint64, 1700000000000000, 5))
	for num := protowire.Number(1000); num <= 1011; num++ {
		bad(fmt.Sprintf("forged field %d", num), call().text(num, "x"))
	}
	bad("forged field 1000, empty", call().text(1000, ""))
	bad("forged field 1012", call().varint(1012, 1))
	bad("forged field 5000", call().varint(5000, 1))
	bad("forged field 2^29-1", call().varint(protowire.MaxValidNumber, 1))
	bad("forged field 1000, its tag in more bytes than it needs", call().raw("c2 be 80 00 01 78"))
	bad("a whole stamp", stamped)
	over := call()
	over = over.text(999, long(wire.MaxHeader-len(over)-4))
	ok("header of 16384 bytes", over)
	add("module", "TOO_LARGE", "header of 16385 bytes", append(over, 0))

	// As nodes write it.
	add("node", "OK", "no stamp", call())
	add("node", "OK", "stamp with an empty instance", stamped)
	add("node", "OK", "stamp of a delivery", header(wire.AppendCallStamp(wire.AppendDelivery(wire.AppendInvoker(call(),
		long(127), long(127), "2001:db8::1", long(127), math.MaxUint64), math.MaxUint32, math.MaxUint64, true, math.MaxUint32), 0, 0, 0)))
	add("node", "OK", "stamp and a field of a later version", stamped.text(1012, "x"))
	add("node", "BAD_REQUEST", "two stamps", append(stamped, wire.AppendInvoker(nil, "admin", "", "unix", "n1", 1)...))
	add("node", "BAD_REQUEST", "stamp with a broken name", call().text(1000, "a b"))
	add("node", "BAD_REQUEST", "stamp with a wrong wire type", call().varint(1007, 1))
	add("node", "BAD_REQUEST", "stamp that is cut off", stamped[:len(stamped)-1])
	return all
}

func optionVectors() (all []optionVector) {
	type option struct {
		rule, name, code string
		frame            wire.Frame
		header           header
	}
	add := func(o option) {
		all = append(all, optionVector{
			Name: o.name, Rule: o.rule, Flags: uint8(o.frame.Flags), CallID: strconv.FormatUint(o.frame.CallID, 10),
			RPCID: strconv.FormatUint(o.frame.RPCID, 10), Hops: o.frame.Hops, Header: hex.EncodeToString(o.header), Code: o.code,
		})
	}
	two, oneWay := wire.Frame{CallID: 2}, wire.Frame{Flags: wire.FlagOneWay}
	flagged := func(f wire.Frame, flags wire.Flags) wire.Frame { f.Flags |= flags; return f }
	for _, o := range []option{
		{"", "nothing special", "OK", two, call()},
		{"", "call_id 2^64-1", "OK", wire.Frame{CallID: math.MaxUint64}, call()},
		{"", "one-way", "OK", oneWay, call()},
		{"", "in parts", "OK", flagged(two, wire.FlagMore), call()},
		{"", "high", "OK", flagged(two, wire.FlagHigh), call()},
		{"", "low", "OK", flagged(two, wire.FlagLow), call()},
		{"", "one-way, low, run late", "OK", flagged(oneWay, wire.FlagLow), call().varint(7, 4)},
		{"", "want receiver", "OK", flagged(two, wire.FlagWantReceiver), call()},
		{"", "hash_key without balance", "OK", two, call().text(6, "k")},
		{"", "hash with hash_key", "OK", two, call().varint(5, 3).text(6, "k")},
		{"", "balance with instance", "OK", two, call().text(4, "1").varint(5, 1)},
		{"", "max_attempts 1", "OK", two, call().varint(9, 1)},
		{"", "delay_ms 9, valid_for_ms 10", "OK", two, call().varint(7, 2).text(8, "m").varint(10, 9).varint(11, 10)},
		{"", "delay_ms without valid_for_ms", "OK", two, call().varint(7, 2).text(8, "m").varint(10, 9)},
		{"", "hops 1", "BAD_REQUEST", wire.Frame{CallID: 2, Hops: 1}, call()},
		{"", "hops 255", "BAD_REQUEST", wire.Frame{CallID: 2, Hops: 255}, call()},
		{"", "rpc_id 1", "BAD_REQUEST", wire.Frame{CallID: 2, RPCID: 1}, call()},
		{"", "delivery", "BAD_REQUEST", flagged(two, wire.FlagDelivery), call()},
		{"", "compressed", "BAD_REQUEST", flagged(two, wire.FlagCompressed), call()},
		{"", "flag 128", "BAD_REQUEST", flagged(two, 128), call()},
		{"O1", "call_id 0", "BAD_REQUEST", wire.Frame{}, call()},
		{"O1", "one-way with call_id", "BAD_REQUEST", flagged(two, wire.FlagOneWay), call()},
		{"O2", "high and low", "BAD_OPTION", flagged(two, wire.FlagHigh|wire.FlagLow), call()},
		{"O5", "hash without hash_key", "BAD_OPTION", two, call().varint(5, 3)},
		{"O5", "hash with an empty hash_key", "BAD_OPTION", two, call().varint(5, 3).text(6, "")},
		{"O6", "reachable with an empty message_id", "BAD_OPTION", two, call().varint(7, 2).text(8, "")},
		{"O9", "delay_ms and valid_for_ms 10", "BAD_OPTION", two, call().varint(7, 2).text(8, "m").varint(10, 10).varint(11, 10)},
		{"O9", "delay_ms 11, valid_for_ms 10", "BAD_OPTION", two, call().varint(7, 2).text(8, "m").varint(10, 11).varint(11, 10)},
	} {
		add(o)
	}
	// Every mix of what excludes or needs something else.
	names := []string{"one-way", "want-receiver", "idempotent", "reachable", "message_id", "delay_ms", "valid_for_ms", "max_attempts"}
	for mix := range 1 << len(names) {
		has := func(i int) bool { return mix&(1<<i) != 0 }
		o := option{code: "OK", frame: two, header: call()}
		var parts []string
		for i, n := range names {
			if has(i) {
				parts = append(parts, n)
			}
		}
		o.name = "mix: " + strings.Join(parts, " ")
		if has(0) {
			o.frame = oneWay
		}
		if has(1) {
			o.frame.Flags |= wire.FlagWantReceiver
		}
		bits := uint64(0)
		if has(2) {
			bits |= 1
		}
		if has(3) {
			bits |= 2
		}
		o.header = o.header.varint(7, bits)
		if has(4) {
			o.header = o.header.text(8, "m")
		}
		if has(7) {
			o.header = o.header.varint(9, 2)
		}
		if has(5) {
			o.header = o.header.varint(10, 5)
		}
		if has(6) {
			o.header = o.header.varint(11, 10)
		}
		for _, rule := range []struct {
			name   string
			broken bool
		}{
			{"O3", has(0) && (has(2) || has(3))},
			{"O4", has(0) && has(1)},
			{"O6", has(3) && !has(4)},
			{"O7", has(4) && !has(3)},
			{"O8", (has(5) || has(6)) && !has(3)},
			{"O10", has(7) && !has(2) && !has(3)},
		} {
			if rule.broken {
				o.rule, o.code = rule.name, "BAD_OPTION"
				break
			}
		}
		add(o)
	}
	return all
}

func responseVectors(t *testing.T) (all []responseVector) {
	add := func(status uint16, code, name string, h header) {
		v := responseVector{Name: name, Status: status, Header: hex.EncodeToString(h), Code: code, PassedOn: status}
		v.Whole = code == "OK" && status != 1 && status != 2
		if !v.Whole && (status <= 9 || status >= 64 && status <= 95) {
			v.PassedOn = 66
		}
		if code == "OK" {
			var m pb.ResponseHeader
			if err := proto.Unmarshal(h, &m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v.Fields = plain(&m)
		}
		all = append(all, v)
	}
	ok := func(name string, h header) { add(64, "OK", name, h) }
	bad := func(name string, h header) { add(64, "BAD_REQUEST", name, h) }
	add(0, "OK", "OK needs no header", nil)
	ok("everything", header(nil).text(1, "E42").text(2, "no such account").text(3, "application/json").varint(4, 100).bytes(5, entry("account", "7")).varint(6, 1))
	for _, f := range []struct {
		num  protowire.Number
		name string
		max  int
	}{{1, "app_code", 127}, {2, "message", 1024}, {3, "content_type", 127}} {
		ok(f.name+" empty", header(nil).text(f.num, ""))
		ok(fmt.Sprintf("%s of %d bytes", f.name, f.max), header(nil).text(f.num, long(f.max)))
		bad(fmt.Sprintf("%s of %d bytes", f.name, f.max+1), header(nil).text(f.num, long(f.max+1)))
		bad(f.name+" not UTF-8", header(nil).text(f.num, "\xff"))
		bad(f.name+" twice", header(nil).text(f.num, "a").text(f.num, "a"))
		bad(f.name+" as a varint", header(nil).varint(f.num, 1))
	}
	ok("message of UTF-8", header(nil).text(2, "não\n"))
	bad("content_type with a control character", header(nil).text(3, "a\n"))
	ok("retry_after_ms 2^32-1", header(nil).varint(4, math.MaxUint32))
	bad("retry_after_ms 2^32", header(nil).varint(4, 1<<32))
	bad("retry_after_ms twice", header(nil).varint(4, 1).varint(4, 1))
	bad("retry_after_ms length-delimited", header(nil).text(4, "\x01"))
	ok("permanent 0", header(nil).varint(6, 0))
	ok("permanent 2^64-1", header(nil).varint(6, math.MaxUint64))
	bad("permanent as fixed32", header(nil).fixed32(6, 1))
	many := header(nil)
	for range 32 {
		many = many.bytes(5, entry("k", "v"))
	}
	ok("details of 32 entries", many)
	bad("details of 33 entries", many.bytes(5, entry("k", "v")))
	bad("details of more than 8192 bytes", header(nil).bytes(5, entry("k", long(8192))))
	bad("details without a key", header(nil).bytes(5, header(nil).text(2, "v")))
	ok("unknown fields 7 to 999", header(nil).varint(7, 1).text(999, "x"))
	for num := protowire.Number(1000); num <= 1010; num++ {
		bad(fmt.Sprintf("forged field %d", num), header(nil).text(num, "x"))
	}
	bad("forged field 2^29-1", header(nil).varint(protowire.MaxValidNumber, 1))
	bad("a group", header(nil).raw("3b 3c"))
	bad("an open group", header(nil).raw("3b"))
	bad("field number 0", header(nil).raw("00 00"))
	bad("field number 2^29", header(nil).raw("80 80 80 80 10 00"))
	bad("a trailing unknown field that announces 100 bytes", header(nil).raw("3a 64"))
	bad("a trailing varint that goes on", header(nil).raw("20 80"))
	filler := header(nil).text(999, long(wire.MaxHeader-4))
	ok("header of 16384 bytes", filler)
	add(64, "TOO_LARGE", "header of 16385 bytes", append(filler, 0))
	for _, c := range wire.Codes() {
		add(uint16(c), "OK", c.String()+" with a header", header(nil).text(2, "why"))
		add(uint16(c), "BAD_REQUEST", c.String()+" with a broken header", header(nil).raw("12 05"))
	}
	for _, c := range []uint16{9, 63, 95, 127} {
		add(c, "BAD_REQUEST", fmt.Sprintf("unassigned status %d with a broken header", c), header(nil).raw("12 05"))
	}
	return all
}
