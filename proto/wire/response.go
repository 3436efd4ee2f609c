package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of pb.ResponseHeader.
const (
	fieldAppCode             = 1
	fieldMessage             = 2
	fieldResponseContentType = 3
	fieldRetryAfterMS        = 4
	fieldDetails             = 5
	fieldPermanent           = 6

	fieldNode        = 1000
	fieldHop         = 1001
	fieldRuleID      = 1002
	fieldRuleVersion = 1003
	fieldTry         = 1004
	fieldUnknown     = 1005
	fieldReceiver    = 1006
	fieldAttempts    = 1007
	fieldHopTimes    = 1008
)

// responseTypes are the wire types of the fields that a module writes.
var responseTypes = [...]protowire.Type{
	fieldAppCode:             protowire.BytesType,
	fieldMessage:             protowire.BytesType,
	fieldResponseContentType: protowire.BytesType,
	fieldRetryAfterMS:        protowire.VarintType,
	fieldDetails:             protowire.BytesType,
	fieldPermanent:           protowire.VarintType,
}

// CheckResponse walks the header of a response that a module wrote to its exact end and checks its fields, so that a
// node may append its own. It does not allocate unless it refuses. The error is nil or an *Error.
func CheckResponse(h []byte) error {
	var once seen
	details, size := 0, 0
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return err
		}
		h = rest
		if f.num >= FirstNodeField {
			return badRequest("header: field %d is written by nodes only", f.num)
		}
		if int(f.num) >= len(responseTypes) {
			continue
		}
		if f.typ != responseTypes[f.num] {
			return badRequest("header: field %d has wire type %d, must be %d", f.num, f.typ, responseTypes[f.num])
		}
		if f.num != fieldDetails && !once.add(f.num) {
			return badRequest("header: field %d stands twice", f.num)
		}
		switch f.num {
		case fieldAppCode:
			err = checkText("app_code", f.bytes, MaxName)
		case fieldMessage:
			err = checkText("message", f.bytes, MaxText)
		case fieldResponseContentType:
			err = checkPrintable("content_type", f.bytes, MaxContentType)
		case fieldRetryAfterMS:
			if f.n > 1<<32-1 {
				err = badRequest("header: retry_after_ms is %d, must fit 32 bits", f.n)
			}
		case fieldDetails:
			details, size = details+1, size+len(f.bytes)
			if details > MaxMetadata || size > MaxMetadataLen {
				err = badRequest("header: details has %d entries and %d bytes so far, must be at most %d and %d", details, size, MaxMetadata, MaxMetadataLen)
			} else {
				_, _, err = walkMetadata(f.bytes)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Refusal is what a node says about an answer that it makes itself. Zero values are left out.
type Refusal struct {
	Message      string
	Node         string
	Hop          uint8
	RuleID       string
	RuleVersion  uint64
	RetryAfterMS uint32
	Try          []string
}

// AppendRefusal appends a response header made by a node.
func AppendRefusal(dst []byte, r *Refusal) []byte {
	if r.Message != "" {
		dst = appendString(dst, fieldMessage, r.Message)
	}
	dst = appendUint(dst, fieldRetryAfterMS, r.RetryAfterMS)
	if r.Node != "" {
		dst = appendString(dst, fieldNode, r.Node)
	}
	dst = appendUint(dst, fieldHop, uint32(r.Hop))
	if r.RuleID != "" {
		dst = appendString(dst, fieldRuleID, r.RuleID)
		dst = protowire.AppendTag(dst, fieldRuleVersion, protowire.VarintType)
		dst = protowire.AppendVarint(dst, r.RuleVersion)
	}
	for _, node := range r.Try {
		dst = appendString(dst, fieldTry, node)
	}
	return dst
}

// AppendReceiver appends who answered.
func AppendReceiver(dst []byte, module, instance, uuid, node string) []byte {
	return appendInstance(dst, fieldReceiver, module, instance, uuid, node)
}

// AppendUnknown appends one instance whose attempt ended UNKNOWN.
func AppendUnknown(dst []byte, module, instance, uuid, node string) []byte {
	return appendInstance(dst, fieldUnknown, module, instance, uuid, node)
}

// AppendAttempts appends how often a call was started at an instance, in all.
func AppendAttempts(dst []byte, n uint32) []byte { return appendUint(dst, fieldAttempts, n) }

// AppendHopTime appends the time that a call spent in one node's hands.
func AppendHopTime(dst []byte, node string, micros uint32) []byte {
	dst = protowire.AppendTag(dst, fieldHopTimes, protowire.BytesType)
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(node)) + protowire.SizeTag(2) + protowire.SizeVarint(uint64(micros))
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendString(dst, 1, node)
	dst = protowire.AppendTag(dst, 2, protowire.VarintType)
	return protowire.AppendVarint(dst, uint64(micros))
}

func appendInstance(dst []byte, num protowire.Number, module, instance, uuid, node string) []byte {
	size := 0
	for _, s := range [...]string{module, instance, uuid, node} {
		size += 1 + protowire.SizeBytes(len(s)) // tags of fields 1–4 take one byte
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendString(dst, 1, module)
	dst = appendString(dst, 2, instance)
	dst = appendString(dst, 3, uuid)
	return appendString(dst, 4, node)
}

func appendString(dst []byte, num protowire.Number, v string) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, v)
}
