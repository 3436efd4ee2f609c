package wire_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

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
			switch n {
			case num:
				h = h.text(n, v)
			case 1:
				h = h.text(1, "pay")
			case 2:
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
	bad("a number of 11 bytes", call().raw("488080808080808080808001"))
	bad("a number of 65 bits", call().raw("48ffffffffffffffffff02"))

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
	bad("digest with a field number above 2^29-1", call().bytes(15, header(nil).raw("808080801000")))
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
	bad("metadata with field 0 inside", call().bytes(16, header(entry("k", "v")).raw("0000")))
	bad("metadata with a field number above 2^29-1", call().bytes(16, header(entry("k", "v")).raw("808080801000")))
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
	bad("field number 0", call().raw("0000"))
	bad("field number 0, length-delimited", call().raw("02 00"))
	bad("field number 2^29", call().raw("808080801000"))
	bad("field number 2^31", call().raw("808080804000"))
	bad("a tag of 65 bits", call().raw("ffffffffffffffffff0200"))
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
	bad("a trailing unknown field that announces 2^31 bytes", call().raw("8a018080808008"))
	bad("a trailing unknown field that announces 2^64-1 bytes", call().raw("8a01ffffffffffffffffff01"))
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
	add("node", "OK", "stamp and a field of a later version", stamped.text(1031, "x"))
	add("node", "OK", "stamp of a call that a rule lets run late", header(wire.AppendCallStamp(wire.AppendLate(wire.AppendInvoker(call(), "web", "", "unix", "n1", 1), wire.LateRun), 2, 3, 4)))
	add("node", "BAD_REQUEST", "stamp with a late that is none", call().varint(1012, 3))
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
