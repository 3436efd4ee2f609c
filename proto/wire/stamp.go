package wire

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// Stamp is what the ingress node appended to a request's header.
type Stamp struct {
	InvokerModule, InvokerInstance, InvokerIP []byte
	IngressNode                               []byte
	InvokerSession, InvokerCall               uint64
	ReceivedAt                                uint64 // Unix time in µs; for audit only
	Target                                    uint64 // the owner node's session number
	MessageAttempt                            uint32
	Fence                                     uint64
	Redelivered                               bool
	LeaseMS                                   uint32
	Late                                      Late // of a rule
}

// Field numbers of the nodes' part of pb.RequestHeader.
const (
	fieldInvokerModule   = 1000
	fieldInvokerInstance = 1001
	fieldInvokerIP       = 1002
	fieldInvokerSession  = 1003
	fieldInvokerCall     = 1004
	fieldIngressNode     = 1005
	fieldReceivedAt      = 1006
	fieldTarget          = 1007
	fieldMessageAttempt  = 1008
	fieldFence           = 1009
	fieldRedelivered     = 1010
	fieldLeaseMS         = 1011
	fieldLate            = 1012
)

// set stores one field of a node's.
func (s *Stamp) set(f *field) error {
	switch f.num {
	case fieldInvokerModule:
		s.InvokerModule = f.bytes
		return checkName("invoker_module", f.bytes)
	case fieldInvokerInstance:
		s.InvokerInstance = f.bytes
		return checkOptionalName("invoker_instance", f.bytes)
	case fieldInvokerIP:
		s.InvokerIP = f.bytes
		return checkPrintable("invoker_ip", f.bytes, MaxName)
	case fieldIngressNode:
		s.IngressNode = f.bytes
		return checkName("ingress_node", f.bytes)
	case fieldInvokerSession:
		s.InvokerSession = f.n
	case fieldInvokerCall:
		s.InvokerCall = f.n
	case fieldReceivedAt:
		s.ReceivedAt = f.n
	case fieldTarget:
		s.Target = f.n
	case fieldMessageAttempt:
		s.MessageAttempt = uint32(f.n)
	case fieldFence:
		s.Fence = f.n
	case fieldRedelivered:
		s.Redelivered = f.n != 0
	case fieldLeaseMS:
		s.LeaseMS = uint32(f.n)
	case fieldLate:
		if f.n != uint64(LateDiscard) && f.n != uint64(LateRun) {
			return badRequest("header: late is %d, must be %d or %d", f.n, LateDiscard, LateRun)
		}
		s.Late = Late(f.n)
	}
	return nil
}

// AppendInvoker appends the part of the ingress node's stamp that is the same for all calls of a session: a node
// makes it once per session. All fields are written, also when empty. The order of a stamp is AppendInvoker, for a
// delivery AppendDelivery, AppendLate, and last AppendCallStamp.
func AppendInvoker(dst []byte, module, instance, ip, ingressNode string, session uint64) []byte {
	dst = appendString(dst, fieldInvokerModule, module)
	dst = appendString(dst, fieldInvokerInstance, instance)
	dst = appendString(dst, fieldInvokerIP, ip)
	dst = appendFixed(dst, fieldInvokerSession, session)
	return appendString(dst, fieldIngressNode, ingressNode)
}

// AppendDelivery appends what a reachable call's delivery says besides: how often the message was started, this time
// included, the fence of its lease, whether an earlier start is on record, and for how long the lease holds. All
// fields are written. AppendCallStamp comes after it.
func AppendDelivery(dst []byte, attempt uint32, fence uint64, redelivered bool, leaseMS uint32) []byte {
	dst = appendVarint(dst, fieldMessageAttempt, uint64(attempt))
	dst = appendFixed(dst, fieldFence, fence)
	dst = appendVarint(dst, fieldRedelivered, protowire.EncodeBool(redelivered))
	return appendVarint(dst, fieldLeaseMS, uint64(leaseMS))
}

// Late is what a rule has decided about a call whose budget is spent.
type Late uint8

// What it may be.
const (
	LateUnset   Late = 0 // no rule has decided
	LateDiscard Late = 1
	LateRun     Late = 2
)

// Runs reports whether a call is run although its budget is spent, where without a rule it would be otherwise.
func (l Late) Runs(otherwise bool) bool {
	switch l {
	case LateDiscard:
		return false
	case LateRun:
		return true
	}
	return otherwise
}

// AppendLate appends what a rule has decided, if one has. AppendCallStamp comes after it.
func AppendLate(dst []byte, l Late) []byte {
	if l == LateUnset {
		return dst
	}
	return appendVarint(dst, fieldLate, uint64(l))
}

// AppendCallStamp appends the part of the stamp that belongs to one call. Its last 8 bytes are the target, which
// SetTarget rewrites for each attempt.
func AppendCallStamp(dst []byte, call, receivedAt, target uint64) []byte {
	dst = appendFixed(dst, fieldInvokerCall, call)
	dst = appendFixed(dst, fieldReceivedAt, receivedAt)
	return appendFixed(dst, fieldTarget, target)
}

// SetTarget rewrites the target of a header that ends with AppendCallStamp.
func SetTarget(header []byte, target uint64) {
	binary.LittleEndian.PutUint64(header[len(header)-8:], target)
}
