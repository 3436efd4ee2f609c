package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/proto/pb"
)

// Limits between nodes.
const (
	MaxNodeNumber  = 511
	BootIDSize     = 16        // bytes of Hello.boot_id
	DigestSize     = 16        // bytes of a registry's digest
	MaxAddress     = 255       // bytes of Hello.module_address
	MaxIncarnation = 1<<63 - 1 // as ids, it fits a signed integer
	MaxHopTimes    = 2         // of a response: a call crosses two nodes

	// MaxNodeHeader is the longest header of a REQUEST and a RESPONSE between nodes, in bytes.
	MaxNodeHeader = MaxHeader + NodeExtra

	peerRequestFlags = requestFlags | FlagDelivery
)

// CheckHello reports what is wrong with a HELLO, all problems at once (8 in words, the rest as a number), or nil. It looks
// at its form: whether the versions are spoken here, and whether there is such a node, is for the receiver to say. The error
// is an *Error with BAD_REQUEST.
func CheckHello(h *pb.Hello) error {
	var p problems
	p.add(checkVersions(h.GetVersionMin(), h.GetVersionMax()))
	p.add(CheckName("mesh", h.GetMesh()))
	p.add(checkLoginName("node", h.GetNode()))
	if h.GetNumber() > MaxNodeNumber {
		p.addf("number is %d, must be 0 to %d", h.GetNumber(), MaxNodeNumber)
	}
	if n := len(h.GetBootId()); n != BootIDSize {
		p.addf("boot_id has %d bytes, must have %d", n, BootIDSize)
	}
	if n := h.GetIncarnation(); n == 0 || n > MaxIncarnation {
		p.addf("incarnation is %d, must be 1 to %d", n, uint64(MaxIncarnation))
	}
	if n := len(h.GetKnownDigest()); n != 0 && n != DigestSize {
		p.addf("known_digest has %d bytes, must have none or %d", n, DigestSize)
	}
	p.add(checkPrintable("module_address", []byte(h.GetModuleAddress()), MaxAddress))
	return p.err()
}

// CheckPeerPrefix reports what a node may not write into a frame of this kind for another node, or nil; it is CheckPrefix for
// links. It looks neither at a header's inside nor at the hops of a REQUEST, which are answered. The error is nil or an
// *Error, and ends the link: a node that writes such a frame is broken.
func (f *Frame) CheckPeerPrefix() error {
	if f.Kind >= KindSkippable {
		return nil
	}
	if !f.Kind.Goes(NodeToNode) {
		return badRequest("a node sends no %s to another", f.Kind)
	}
	switch f.Kind {
	case KindRequest:
		return f.checkPeerRequest()
	case KindResponse:
		return f.checkPeerResponse()
	case KindPart:
		if f.Status != Code(KindRequest) && f.Status != Code(KindResponse) {
			return badRequest("PART continues a message of kind %d, must be %d or %d", uint16(f.Status), KindRequest, KindResponse)
		}
		if len(f.Header) != 0 {
			return badRequest("PART has a header of %d bytes, only the first frame of a message has one", len(f.Header))
		}
		return f.checkFlags(FlagMore)
	case KindCancel:
		if f.Status != Expired && f.Status != Cancelled {
			return badRequest("CANCEL has status %d, must be %d or %d", uint16(f.Status), Expired, Cancelled)
		}
		if f.CallID == 0 || len(f.Header) != 0 {
			return badRequest("CANCEL has call_id %d and a header of %d bytes, must have the call_id of a request and no header", f.CallID, len(f.Header))
		}
	default:
		if f.CallID != 0 {
			return badRequest("%s has call_id %d, must have 0", f.Kind, f.CallID)
		}
	}
	if len(f.Body) != 0 {
		return badRequest("%s has a body of %d bytes, must have none", f.Kind, len(f.Body))
	}
	return f.checkFlags(0)
}

func (f *Frame) checkPeerRequest() error {
	if len(f.Header) > MaxNodeHeader {
		return headerTooLarge(len(f.Header), MaxNodeHeader)
	}
	if f.BudgetMS == 0 {
		return badRequest("budget_ms is 0, must be 1 or more behind the ingress")
	}
	if oneWay := f.Flags&FlagOneWay != 0; oneWay != (f.CallID == 0) {
		return badRequest("call_id is %d, must be 0 for a one-way call and not 0 for any other", f.CallID)
	}
	return f.checkFlags(peerRequestFlags)
}

func (f *Frame) checkPeerResponse() error {
	switch {
	case len(f.Header) > MaxNodeHeader:
		return headerTooLarge(len(f.Header), MaxNodeHeader)
	case f.Status > MaxCode:
		return badRequest("status is %d, must be 0 to %d", uint16(f.Status), uint16(MaxCode))
	case f.CallID == 0:
		return badRequest("RESPONSE has call_id 0, must have that of a request")
	case f.Hops != 1:
		return badRequest("RESPONSE has hops %d, must have 1 on its way to the ingress", f.Hops)
	}
	return f.checkFlags(FlagMore)
}

// checkFlags refuses flags that a node does not set on this kind.
func (f *Frame) checkFlags(allowed Flags) error {
	if unknown := f.Flags &^ allowed; unknown != 0 {
		return badRequest("%s has flags %#x, a node may set %#x", f.Kind, uint8(unknown), uint8(allowed))
	}
	return nil
}

// nodeResponseTypes are the wire types of the fields of a response that a node writes, from FirstNodeField.
var nodeResponseTypes = [...]protowire.Type{
	fieldNode - FirstNodeField:        protowire.BytesType,
	fieldHop - FirstNodeField:         protowire.VarintType,
	fieldRuleID - FirstNodeField:      protowire.BytesType,
	fieldRuleVersion - FirstNodeField: protowire.VarintType,
	fieldTry - FirstNodeField:         protowire.BytesType,
	fieldUnknown - FirstNodeField:     protowire.BytesType,
	fieldReceiver - FirstNodeField:    protowire.BytesType,
	fieldAttempts - FirstNodeField:    protowire.VarintType,
	fieldHopTimes - FirstNodeField:    protowire.BytesType,
	fieldDurability - FirstNodeField:  protowire.VarintType,
	fieldState - FirstNodeField:       protowire.VarintType,
}

// CheckPeerAnswer walks the header of an answer that came over a link to its exact end, and checks the fields of the module
// and of the other node, so that the ingress may append its own. It does not allocate unless it refuses. The error is nil or
// an *Error, and ends the link: a node passes nothing on that it did not check.
func CheckPeerAnswer(status Code, h []byte) error {
	if status > MaxCode {
		return badRequest("status is %d, must be 0 to %d", uint16(status), uint16(MaxCode))
	}
	if len(h) > MaxNodeHeader {
		return headerTooLarge(len(h), MaxNodeHeader)
	}
	var once seen
	var details entries
	var count nodeEntries
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
		if err != nil {
			return err
		}
		h = rest
		if f.num >= FirstNodeField {
			err = checkNodeField(f, &once, &count)
		} else {
			err = checkAnswerField(f, &once, &details)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nodeEntries counts the repeated fields of a response that a node writes.
type nodeEntries struct{ try, unknown, hopTimes int }

// checkNodeField checks a field that a node wrote into a response. Numbers that are not assigned are passed on unseen.
func checkNodeField(f field, once *seen, count *nodeEntries) error {
	if int(f.num-FirstNodeField) >= len(nodeResponseTypes) {
		return nil
	}
	if typ := nodeResponseTypes[f.num-FirstNodeField]; f.typ != typ {
		return badRequest("header: field %d has wire type %d, must be %d", f.num, f.typ, typ)
	}
	switch f.num {
	case fieldTry:
		count.try++
		if count.try > MaxTry {
			return badRequest("header: try has more than %d nodes", MaxTry)
		}
		return checkName("try", f.bytes)
	case fieldUnknown:
		count.unknown++
		if count.unknown > MaxUnknown {
			return badRequest("header: unknown has more than %d instances", MaxUnknown)
		}
		return checkNames("unknown", f.bytes, fieldReceiverNode)
	case fieldHopTimes:
		count.hopTimes++
		if count.hopTimes > MaxHopTimes {
			return badRequest("header: hop_times has more than %d nodes", MaxHopTimes)
		}
		return checkNames("hop_times", f.bytes, fieldHopTimeNode)
	}
	if !once.add(f.num) {
		return badRequest("header: field %d stands twice", f.num)
	}
	if f.typ == protowire.VarintType && f.num != fieldRuleVersion && f.n > 1<<32-1 {
		return badRequest("header: field %d is %d, must fit 32 bits", f.num, f.n)
	}
	switch f.num {
	case fieldNode:
		return checkName("node", f.bytes)
	case fieldRuleID:
		return checkName("rule_id", f.bytes)
	case fieldReceiver:
		return checkNames("receiver", f.bytes, fieldReceiverNode)
	}
	return nil
}

// The last of the names of pb.Receiver, and the one of pb.HopTime.
const (
	fieldReceiverNode = 4
	fieldHopTimeNode  = 1
)

// checkNames walks a message whose fields up to last are names, which may be empty; what others hold does not matter.
func checkNames(what string, h []byte, last protowire.Number) error {
	var once seen
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
		if err != nil {
			return err
		}
		h = rest
		if f.num > last {
			continue
		}
		if f.typ != protowire.BytesType {
			return badRequest("header: field %d of %s has wire type %d, must be %d", f.num, what, f.typ, protowire.BytesType)
		}
		if !once.add(f.num) {
			return badRequest("header: field %d of %s stands twice", f.num, what)
		}
		if err := checkOptionalName(what, f.bytes); err != nil {
			return err
		}
	}
	return nil
}
