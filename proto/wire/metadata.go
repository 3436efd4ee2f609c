package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// EachMetadata calls yield for each metadata entry of a walked header h, in order.
func EachMetadata(h []byte, yield func(key, value []byte)) {
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return
		}
		h = rest
		if f.num == fieldMetadata && f.typ == protowire.BytesType {
			if key, value, err := walkMetadata(f.bytes); err == nil {
				yield(key, value)
			}
		}
	}
}

// walkMetadata reads one encoded pb.Metadata.
func walkMetadata(h []byte) (key, value []byte, err error) {
	var once seen
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return nil, nil, err
		}
		h = rest
		if f.num > 2 {
			continue
		}
		if f.typ != protowire.BytesType || !once.add(f.num) {
			return nil, nil, badRequest("header: metadata entry with field %d twice or of wire type %d", f.num, f.typ)
		}
		if f.num == 1 {
			key = f.bytes
		} else {
			value = f.bytes
		}
	}
	if len(key) == 0 {
		return nil, nil, badRequest("header: metadata entry without a key")
	}
	if err := checkPrintable("metadata key", key, MaxName); err != nil {
		return nil, nil, err
	}
	if !utf8.Valid(value) {
		return nil, nil, badRequest("header: metadata value of %q is not UTF-8", key)
	}
	return key, value, nil
}

// AppendMetadata appends one metadata entry to a header.
func AppendMetadata(dst []byte, key, value string) []byte {
	dst = protowire.AppendTag(dst, fieldMetadata, protowire.BytesType)
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(key)) + protowire.SizeTag(2) + protowire.SizeBytes(len(value))
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendString(dst, key)
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	return protowire.AppendString(dst, value)
}
