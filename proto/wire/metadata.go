package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of pb.Metadata.
const (
	fieldKey   = 1
	fieldValue = 2
)

// EachMetadata calls yield for each metadata entry of a walked request header h, in order.
func EachMetadata(h []byte, yield func(key, value []byte)) {
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
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

// entries bounds the metadata of a request, or the details of a response.
type entries struct{ count, size int }

// add checks one more encoded pb.Metadata; what names the field in the error.
func (e *entries) add(what string, h []byte) error {
	e.count++
	e.size += len(h)
	if e.count > MaxMetadata || e.size > MaxMetadataLen {
		return badRequest("header: %s has %d entries and %d bytes so far, must have at most %d and %d",
			what, e.count, e.size, MaxMetadata, MaxMetadataLen)
	}
	_, _, err := walkMetadata(h)
	return err
}

// walkMetadata reads one encoded pb.Metadata.
func walkMetadata(h []byte) (key, value []byte, err error) {
	var once seen
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
		if err != nil {
			return nil, nil, err
		}
		h = rest
		if f.num != fieldKey && f.num != fieldValue {
			continue
		}
		if f.typ != protowire.BytesType {
			return nil, nil, badRequest("header: metadata field %d has wire type %d, must be %d", f.num, f.typ, protowire.BytesType)
		}
		if !once.add(f.num) {
			return nil, nil, badRequest("header: metadata field %d stands twice in an entry", f.num)
		}
		if f.num == fieldKey {
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
		return nil, nil, badRequest("header: metadata value of %q is not UTF-8", clip(key))
	}
	return key, value, nil
}

// AppendMetadata appends one metadata entry to a request's header. It does not check it: Request.Walk does.
func AppendMetadata(dst []byte, key, value string) []byte {
	return appendEntry(dst, fieldMetadata, key, value)
}

// AppendDetail appends one machine-readable fact to the header of an APP_ERROR. It does not check it: CheckResponse
// does.
func AppendDetail(dst []byte, key, value string) []byte {
	return appendEntry(dst, fieldDetails, key, value)
}

func appendEntry(dst []byte, num protowire.Number, key, value string) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(1+protowire.SizeBytes(len(key))+1+protowire.SizeBytes(len(value))))
	dst = appendString(dst, fieldKey, key)
	return appendString(dst, fieldValue, value)
}
