package wire

import "google.golang.org/protobuf/encoding/protowire"

// field is one field of a header: its number, and its value by wire type.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	bytes []byte // BytesType
	n     uint64 // VarintType, Fixed64Type, Fixed32Type
}

// next cuts the first field off h and returns the rest. A group, a field number out of range, an unknown wire type and truncation
// are refused: what follows a header must never become a part of it.
func (f *field) next(h []byte) (rest []byte, err error) {
	tag, n := varint(h)
	num := tag >> 3
	if n < 0 || num == 0 || num > uint64(protowire.MaxValidNumber) {
		return nil, badRequest("header: broken tag with %d bytes left, field numbers are 1 to %d", len(h), protowire.MaxValidNumber)
	}
	f.num, f.typ, rest = protowire.Number(num), protowire.Type(tag&7), h[n:]
	switch f.typ {
	case protowire.VarintType:
		f.n, n = varint(rest)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(rest)
		f.n = uint64(v)
	case protowire.BytesType:
		var size uint64
		if size, n = varint(rest); n >= 0 && size > uint64(len(rest)-n) {
			n = -1
		}
		if n >= 0 {
			f.bytes = rest[n : n+int(size)]
			n += int(size)
		}
	default:
		return nil, badRequest("header: field %d has wire type %d, must be 0, 1, 2 or 5: groups are not used", num, f.typ)
	}
	if n < 0 {
		return nil, badRequest("header: field %d is cut off, or its value does not fit 64 bits", num)
	}
	return rest[n:], nil
}

// varint is protowire.ConsumeVarint, quicker for one byte and two, which nearly all tags and lengths have.
func varint(b []byte) (v uint64, n int) {
	switch {
	case len(b) > 0 && b[0] < 0x80:
		return uint64(b[0]), 1
	case len(b) > 1 && b[1] < 0x80:
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	return protowire.ConsumeVarint(b)
}

// seen is a set of singular fields, for fields 1–31 and FirstNodeField … +31.
type seen struct{ low, node uint32 }

// add reports whether num was not there before.
func (s *seen) add(num protowire.Number) bool {
	set, bit := &s.low, uint32(1)<<(num&31)
	if num >= FirstNodeField {
		set, bit = &s.node, uint32(1)<<((num-FirstNodeField)&31)
	}
	if *set&bit != 0 {
		return false
	}
	*set |= bit
	return true
}

// appendString, appendFixed and appendVarint write always; appendBytes and appendUint leave out what is empty or zero.

func appendString(dst []byte, num protowire.Number, v string) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, v)
}

func appendFixed(dst []byte, num protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, v)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, v)
}

func appendUint(dst []byte, num protowire.Number, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return appendVarint(dst, num, uint64(v))
}
