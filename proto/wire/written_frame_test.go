package wire_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twohop/twohop/proto/wire"
)

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
	bad("length 27 is refused before the rest comes", wire.MaxFrame, "BAD_REQUEST", "0000001b")
	bad("length 2^32-1 is refused before the rest comes", wire.MaxFrame, "BAD_REQUEST", "ffffffff")
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
			tooLong := "TOO_LARGE"
			if k == 17 {
				tooLong = "OK" // and the answer is replaced: responses.json
			}
			with("a header 1 too long", tooLong, func(f *wire.Frame) { f.Header = make([]byte, 16385) })
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
