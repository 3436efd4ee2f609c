package wire

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of what a node writes into a response's header.
const (
	MaxTry     = 8 // nodes worth trying
	MaxUnknown = 4 // instances whose attempts ended UNKNOWN
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
	fieldDurability  = 1009
	fieldState       = 1010
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
// node may append its own. Of the nodes' fields a server writes two, rule_id and rule_version: it enforces rules, too. It does
// not allocate unless it refuses. The error is nil or an *Error.
func CheckResponse(h []byte) error {
	if len(h) > MaxHeader {
		return headerTooLarge(len(h), MaxHeader)
	}
	var once seen
	var details entries
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
		if err != nil {
			return err
		}
		h = rest
		switch {
		case f.num == fieldRuleID || f.num == fieldRuleVersion:
			err = checkNodeField(f, &once, nil)
		case f.num >= FirstNodeField:
			err = badRequest("header: field %d is written by nodes only", f.num)
		default:
			err = checkAnswerField(f, &once, &details)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAnswerField checks a field of a response that a module wrote. Those that are not known are passed on unseen.
func checkAnswerField(f field, once *seen, details *entries) error {
	if int(f.num) >= len(responseTypes) {
		return nil
	}
	if f.typ != responseTypes[f.num] {
		return badRequest("header: field %d has wire type %d, must be %d", f.num, f.typ, responseTypes[f.num])
	}
	if f.num != fieldDetails && !once.add(f.num) {
		return badRequest("header: field %d stands twice", f.num)
	}
	switch f.num {
	case fieldAppCode:
		return checkText("app_code", f.bytes, MaxName)
	case fieldMessage:
		return checkText("message", f.bytes, MaxText)
	case fieldResponseContentType:
		return checkPrintable("content_type", f.bytes, MaxContentType)
	case fieldRetryAfterMS:
		if f.n > 1<<32-1 {
			return badRequest("header: retry_after_ms is %d, must fit 32 bits", f.n)
		}
	case fieldDetails:
		return details.add("details", f.bytes)
	}
	return nil
}

// CheckAnswer returns the status that a server's answer is passed on with. An error means that neither header nor body is
// passed on: CheckResponse refuses the header, or the status promises what only nodes can (ACCEPTED). Then what ran has
// lost its answer, and what did not run still has not.
func CheckAnswer(status Code, h []byte) (passedOn Code, err error) {
	if status == Accepted || status == AcceptedDup {
		return AnswerLost, badRequest("status is %s, which only nodes send", status)
	}
	if err := CheckResponse(h); err != nil {
		if c := status.Class(); c == Success || c == Executed {
			return AnswerLost, err
		}
		return status, err
	}
	return status, nil
}

// Refusal is what a node, or a server's SDK, says about an answer that it makes itself. Zero values are left out.
type Refusal struct {
	Message      string // at most MaxText bytes are written
	Node         string
	Hop          uint8
	RuleID       string
	RuleVersion  uint64
	RetryAfterMS uint32
	ContentType  string   // of the body, if there is one
	Try          []string // at most MaxTry are written
}

// AppendRefusal appends the header of a refusal. A server sets neither Node nor Hop nor Try.
func AppendRefusal(dst []byte, r *Refusal) []byte {
	if r.Message != "" {
		dst = appendString(dst, fieldMessage, cutText(r.Message))
	}
	if r.ContentType != "" {
		dst = appendString(dst, fieldResponseContentType, r.ContentType)
	}
	dst = appendUint(dst, fieldRetryAfterMS, r.RetryAfterMS)
	if r.Node != "" {
		dst = appendString(dst, fieldNode, r.Node)
	}
	dst = appendUint(dst, fieldHop, uint32(r.Hop))
	if r.RuleID != "" {
		dst = appendString(dst, fieldRuleID, r.RuleID)
		dst = appendVarint(dst, fieldRuleVersion, r.RuleVersion)
	}
	for _, node := range r.Try[:min(len(r.Try), MaxTry)] {
		dst = appendString(dst, fieldTry, node)
	}
	return dst
}

// cutText makes a text fit for a response's message: at most MaxText bytes of UTF-8.
func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), MaxText)], "") }

// AppendReceiver appends who answered.
func AppendReceiver(dst []byte, module, instance, uuid, node string) []byte {
	return appendInstance(dst, fieldReceiver, module, instance, uuid, node)
}

// AppendUnknown appends one instance whose attempt ended UNKNOWN. A header has at most MaxUnknown of them.
func AppendUnknown(dst []byte, module, instance, uuid, node string) []byte {
	return appendInstance(dst, fieldUnknown, module, instance, uuid, node)
}

// AppendAttempts appends how often a call was started at an instance, in all.
func AppendAttempts(dst []byte, n uint32) []byte { return appendUint(dst, fieldAttempts, n) }

// AppendHopTime appends the time that a call spent in one node's hands.
func AppendHopTime(dst []byte, node string, micros uint32) []byte {
	dst = protowire.AppendTag(dst, fieldHopTimes, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(1+protowire.SizeBytes(len(node))+1+protowire.SizeVarint(uint64(micros))))
	dst = appendString(dst, 1, node)
	return appendVarint(dst, 2, uint64(micros))
}

// AppendAccepted appends what an ACCEPTED or ACCEPTED_DUP says: what the store promised (pb.Durability), and for a
// duplicate where the message is (pb.MessageState; 0 is left out).
func AppendAccepted(dst []byte, durability, state uint32) []byte {
	dst = appendUint(dst, fieldDurability, durability)
	return appendUint(dst, fieldState, state)
}

// appendInstance appends a pb.Receiver.
func appendInstance(dst []byte, num protowire.Number, module, instance, uuid, node string) []byte {
	names := [...]string{module, instance, uuid, node} // fields 1–4, whose tags take one byte
	size := 0
	for _, s := range names {
		size += 1 + protowire.SizeBytes(len(s))
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	for i, s := range names {
		dst = appendString(dst, protowire.Number(i+1), s)
	}
	return dst
}
