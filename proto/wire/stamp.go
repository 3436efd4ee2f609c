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
}

// set stores one field of a node's.
func (s *Stamp) set(f field) error {
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
	}
	return nil
}

// AppendInvoker appends the part of the ingress node's stamp that is the same for all calls of a session: a node
// makes it once per session. All fields are written, also when empty.
func AppendInvoker(dst []byte, module, instance, ip, ingressNode string, session uint64) []byte {
	dst = protowire.AppendTag(dst, fieldInvokerModule, protowire.BytesType)
	dst = protowire.AppendString(dst, module)
	dst = protowire.AppendTag(dst, fieldInvokerInstance, protowire.BytesType)
	dst = protowire.AppendString(dst, instance)
	dst = protowire.AppendTag(dst, fieldInvokerIP, protowire.BytesType)
	dst = protowire.AppendString(dst, ip)
	dst = protowire.AppendTag(dst, fieldInvokerSession, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, session)
	dst = protowire.AppendTag(dst, fieldIngressNode, protowire.BytesType)
	return protowire.AppendString(dst, ingressNode)
}

// AppendCallStamp appends the part of the stamp that belongs to one call. Its last 8 bytes are the target, which
// SetTarget rewrites for each attempt.
func AppendCallStamp(dst []byte, call, receivedAt, target uint64) []byte {
	dst = protowire.AppendTag(dst, fieldInvokerCall, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, call)
	dst = protowire.AppendTag(dst, fieldReceivedAt, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, receivedAt)
	dst = protowire.AppendTag(dst, fieldTarget, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, target)
}

// SetTarget rewrites the target of a header that ends with AppendCallStamp.
func SetTarget(header []byte, target uint64) {
	binary.LittleEndian.PutUint64(header[len(header)-8:], target)
}
