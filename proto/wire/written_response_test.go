package wire_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

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
		if num != 1002 {
			bad(fmt.Sprintf("forged field %d", num), header(nil).text(num, "x"))
		}
	}
	rule := header(nil).text(1002, "r7").varint(1003, math.MaxUint64)
	add(21, "OK", "the rule that refused", rule)
	add(23, "OK", "the rule that refused, and more", header(nil).text(2, "off").text(3, "application/json").varint(4, 100).raw(hex.EncodeToString(rule)))
	bad("rule_id empty", header(nil).text(1002, ""))
	bad("rule_id of 128 bytes", header(nil).text(1002, long(128)))
	bad("rule_id with a blank", header(nil).text(1002, "a b"))
	bad("rule_id twice", header(nil).text(1002, "a").text(1002, "a"))
	bad("rule_id as a varint", header(nil).varint(1002, 1))
	bad("rule_version twice", header(nil).varint(1003, 1).varint(1003, 1))
	bad("forged field 2^29-1", header(nil).varint(protowire.MaxValidNumber, 1))
	bad("a group", header(nil).raw("3b 3c"))
	bad("an open group", header(nil).raw("3b"))
	bad("field number 0", header(nil).raw("0000"))
	bad("field number 2^29", header(nil).raw("808080801000"))
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
