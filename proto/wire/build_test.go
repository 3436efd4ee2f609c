package wire_test

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// header builds an encoded message field by field, also a wrong one. It shares nothing with the package's own encoder.
type header []byte

func (h header) text(num protowire.Number, v string) header {
	return protowire.AppendString(protowire.AppendTag(h, num, protowire.BytesType), v)
}

func (h header) bytes(num protowire.Number, v []byte) header { return h.text(num, string(v)) }

func (h header) varint(num protowire.Number, v uint64) header {
	return protowire.AppendVarint(protowire.AppendTag(h, num, protowire.VarintType), v)
}

func (h header) fixed64(num protowire.Number, v uint64) header {
	return protowire.AppendFixed64(protowire.AppendTag(h, num, protowire.Fixed64Type), v)
}

func (h header) fixed32(num protowire.Number, v uint32) header {
	return protowire.AppendFixed32(protowire.AppendTag(h, num, protowire.Fixed32Type), v)
}

func (h header) raw(hexBytes string) header { return append(h, unhex(hexBytes)...) }

// call is the smallest header that is accepted.
func call() header { return header(nil).text(1, "pay").text(2, "Charge") }

func entry(key, value string) []byte { return header(nil).text(1, key).text(2, value) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func long(n int) string { return strings.Repeat("x", n) }

// code returns OK for nil, SHORT for ErrShort, else the name of the error's code.
func code(err error) string {
	var e *wire.Error
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &e):
		return e.Code.String()
	case errors.Is(err, wire.ErrShort):
		return "SHORT"
	}
	return "unexpected: " + err.Error()
}

// asMessage is what the generated type should have read where Walk read r from h.
func asMessage(r *wire.Request, h []byte) *pb.RequestHeader {
	m := &pb.RequestHeader{
		Module: string(r.Module), Method: string(r.Method), Group: string(r.Group), Instance: string(r.Instance),
		Balance: pb.Balance(r.Balance), HashKey: r.HashKey, Options: uint32(r.Options),
		MessageId: string(r.MessageID), MaxAttempts: r.MaxAttempts, DelayMs: r.DelayMS, ValidForMs: r.ValidForMS,
		FirstAttemptAgeMs: r.FirstAttemptAgeMS, UserData: r.UserData, ContentType: string(r.ContentType),
		InvokerModule: string(r.Stamp.InvokerModule), InvokerInstance: string(r.Stamp.InvokerInstance),
		InvokerIp: string(r.Stamp.InvokerIP), InvokerSession: r.Stamp.InvokerSession, InvokerCall: r.Stamp.InvokerCall,
		IngressNode: string(r.Stamp.IngressNode), ReceivedAt: r.Stamp.ReceivedAt, Target: r.Stamp.Target,
		MessageAttempt: r.Stamp.MessageAttempt, Fence: r.Stamp.Fence, Redelivered: r.Stamp.Redelivered, LeaseMs: r.Stamp.LeaseMS, Late: uint32(r.Stamp.Late),
	}
	if r.Digest != nil {
		var d wire.Digest
		if err := d.Walk(r.Digest); err != nil {
			panic(err)
		}
		m.Digest = &pb.Digest{KeyId: d.KeyID, Nonce: d.Nonce, TimestampMs: d.TimestampMS, Mac: d.MAC}
	}
	wire.EachMetadata(h, func(key, value []byte) {
		m.Metadata = append(m.Metadata, &pb.Metadata{Key: string(key), Value: string(value)})
	})
	return m
}

// plain turns a message into what JSON of any language can carry: bytes as hex, 64-bit numbers as decimal strings,
// enums as numbers. Unset fields are left out.
func plain(m proto.Message) map[string]any { return plainMessage(m.ProtoReflect()) }

func plainMessage(m protoreflect.Message) map[string]any {
	fields := map[string]any{}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !fd.IsList() {
			fields[string(fd.Name())] = plainValue(fd, v)
			return true
		}
		list := []any{}
		for i := range v.List().Len() {
			list = append(list, plainValue(fd, v.List().Get(i)))
		}
		fields[string(fd.Name())] = list
		return true
	})
	return fields
}

func plainValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.BytesKind:
		return hex.EncodeToString(v.Bytes())
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.FormatUint(v.Uint(), 10)
	case protoreflect.Uint32Kind:
		return v.Uint()
	case protoreflect.EnumKind:
		return int32(v.Enum())
	case protoreflect.MessageKind:
		return plainMessage(v.Message())
	default:
		return v.Interface()
	}
}
