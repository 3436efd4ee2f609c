package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Options is the option bit set of a request.
type Options uint32

// The options.
const (
	Idempotent Options = 1 // running it twice does what running it once does
	Reachable  Options = 2 // persisted: accepted means that it will run
	RunLate    Options = 4 // run it although its budget is spent

	knownOptions = Idempotent | Reachable | RunLate
)

// Balance is the wire number of a balancer; see pb.Balance.
type Balance uint8

// The balancers.
const (
	BalanceUnset       Balance = 0
	BalanceRandom      Balance = 1
	BalanceRoundRobin  Balance = 2
	BalanceHash        Balance = 3
	BalanceLeastActive Balance = 4
)

// Limits of header fields, in bytes or entries.
const (
	MaxName        = 127
	MaxHashKey     = 256
	MaxMessageID   = 128
	MaxUserData    = 1024
	MaxContentType = 127
	MaxMetadata    = 32
	MaxMetadataLen = 8 << 10
	MaxText        = 1024 // message of a response
)

// Request is a request's header, walked. Its slices alias the header. It mirrors pb.RequestHeader: a test proves
// that both read the same from the same bytes.
type Request struct {
	Module, Method, Group, Instance []byte
	HashKey                         []byte
	MessageID                       []byte
	UserData                        []byte
	ContentType                     []byte
	Digest                          []byte // an encoded pb.Digest, nil if there is none
	Balance                         Balance
	Options                         Options
	MaxAttempts                     uint32
	DelayMS, ValidForMS             uint32
	FirstAttemptAgeMS               uint32
	Metadata                        int // entries; AppendMetadata reads them

	// Set by nodes; zero in what a module wrote.
	Stamp Stamp
}

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

// Field numbers of pb.RequestHeader.
const (
	fieldModule            = 1
	fieldMethod            = 2
	fieldGroup             = 3
	fieldInstance          = 4
	fieldBalance           = 5
	fieldHashKey           = 6
	fieldOptions           = 7
	fieldMessageID         = 8
	fieldMaxAttempts       = 9
	fieldDelayMS           = 10
	fieldValidForMS        = 11
	fieldFirstAttemptAgeMS = 12
	fieldUserData          = 13
	fieldContentType       = 14
	fieldDigest            = 15
	fieldMetadata          = 16

	// FirstNodeField is the first field number that is the nodes' own, in requests and in responses.
	FirstNodeField = 1000

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
)

// Writer says who wrote a header.
type Writer uint8

// The writers.
const (
	ByModule Writer = iota // a field from FirstNodeField up is BAD_REQUEST
	ByNode
)

// field is one field of a header: its number, and its value by wire type.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	bytes []byte // BytesType
	n     uint64 // VarintType, Fixed64Type, Fixed32Type
}

// nextField cuts the first field off h. A group, a field number out of range, an unknown wire type and truncation are
// refused: what follows a header must never become a part of it.
func nextField(h []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(h)
	if n < 0 {
		return f, nil, badRequest("header: broken tag with %d bytes left", len(h))
	}
	f.num, f.typ, rest = num, typ, h[n:]
	switch typ {
	case protowire.VarintType:
		f.n, n = protowire.ConsumeVarint(rest)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(rest)
		f.n = uint64(v)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(rest)
	default: // groups
		return f, nil, badRequest("header: field %d has wire type %d, groups are not used", num, typ)
	}
	if n < 0 {
		return f, nil, badRequest("header: field %d is cut off or its number does not fit 64 bits", num)
	}
	return f, rest[n:], nil
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

// wireTypes of the known fields of a request header.
func requestType(num protowire.Number) (typ protowire.Type, known bool) {
	switch num {
	case fieldModule, fieldMethod, fieldGroup, fieldInstance, fieldHashKey, fieldMessageID, fieldUserData,
		fieldContentType, fieldDigest, fieldMetadata,
		fieldInvokerModule, fieldInvokerInstance, fieldInvokerIP, fieldIngressNode:
		return protowire.BytesType, true
	case fieldBalance, fieldOptions, fieldMaxAttempts, fieldDelayMS, fieldValidForMS, fieldFirstAttemptAgeMS,
		fieldMessageAttempt, fieldRedelivered, fieldLeaseMS:
		return protowire.VarintType, true
	case fieldInvokerSession, fieldInvokerCall, fieldReceivedAt, fieldTarget, fieldFence:
		return protowire.Fixed64Type, true
	}
	return 0, false
}

// Walk reads the header h of a request written by w into r, whose earlier content is lost. It checks form and limits
// of each field, not whether the options go together: Check does. The error is nil or an *Error.
func (r *Request) Walk(h []byte, w Writer) error {
	*r = Request{}
	var once seen
	metadata := 0
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return err
		}
		h = rest
		if f.num >= FirstNodeField && w == ByModule {
			return badRequest("header: field %d is written by nodes only", f.num)
		}
		typ, known := requestType(f.num)
		if !known {
			continue
		}
		if f.typ != typ {
			return badRequest("header: field %d has wire type %d, must be %d", f.num, f.typ, typ)
		}
		if f.num != fieldMetadata && !once.add(f.num) {
			return badRequest("header: field %d stands twice", f.num)
		}
		if f.typ == protowire.VarintType && f.n > 1<<32-1 {
			return badRequest("header: field %d is %d, must fit 32 bits", f.num, f.n)
		}
		if f.num == fieldMetadata {
			metadata += len(f.bytes)
			r.Metadata++
			if r.Metadata > MaxMetadata || metadata > MaxMetadataLen {
				return badRequest("header: metadata has %d entries and %d bytes so far, must be at most %d and %d", r.Metadata, metadata, MaxMetadata, MaxMetadataLen)
			}
			if _, _, err := walkMetadata(f.bytes); err != nil {
				return err
			}
			continue
		}
		if err := r.set(f); err != nil {
			return err
		}
	}
	if len(r.Module) == 0 {
		return badRequest("header: module (field 1) is missing")
	}
	if len(r.Method) == 0 {
		return badRequest("header: method (field 2) is missing")
	}
	return nil
}

// set stores one singular field after checking its own form.
func (r *Request) set(f field) error {
	switch f.num {
	case fieldModule:
		r.Module = f.bytes
		return checkName("module", f.bytes)
	case fieldMethod:
		r.Method = f.bytes
		return checkMethod(f.bytes)
	case fieldGroup:
		r.Group = f.bytes
		return checkOptionalName("group", f.bytes)
	case fieldInstance:
		r.Instance = f.bytes
		return checkOptionalName("instance", f.bytes)
	case fieldBalance:
		if f.n > uint64(BalanceLeastActive) {
			return badOption("balance is %d, must be 0 to %d", f.n, BalanceLeastActive)
		}
		r.Balance = Balance(f.n)
	case fieldHashKey:
		r.HashKey = f.bytes
		return checkSize("hash_key", f.bytes, MaxHashKey)
	case fieldOptions:
		r.Options = Options(f.n)
		if unknown := r.Options &^ knownOptions; unknown != 0 {
			return badOption("options has unknown bits %#x, known are %#x", uint32(unknown), uint32(knownOptions))
		}
	case fieldMessageID:
		r.MessageID = f.bytes
		return checkPrintable("message_id", f.bytes, MaxMessageID)
	case fieldMaxAttempts:
		r.MaxAttempts = uint32(f.n)
	case fieldDelayMS:
		r.DelayMS = uint32(f.n)
	case fieldValidForMS:
		r.ValidForMS = uint32(f.n)
	case fieldFirstAttemptAgeMS:
		r.FirstAttemptAgeMS = uint32(f.n)
	case fieldUserData:
		r.UserData = f.bytes
		return checkSize("user_data", f.bytes, MaxUserData)
	case fieldContentType:
		r.ContentType = f.bytes
		return checkPrintable("content_type", f.bytes, MaxContentType)
	case fieldDigest:
		r.Digest = f.bytes
		return walkDigest(f.bytes)
	default:
		return r.Stamp.set(f)
	}
	return nil
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

// Check reports whether a frame's flags and its walked header go together (the table in PROTOCOL.md, "Options that go
// together"), for a request from a module. The error is nil or an *Error.
func (r *Request) Check(f *Frame) error {
	if unknown := f.Flags &^ moduleFlags; unknown != 0 {
		return badRequest("flags has bits %#x, a module may set %#x", uint8(unknown), uint8(moduleFlags))
	}
	if f.Hops != 0 || f.RPCID != 0 {
		return badRequest("hops is %d and rpc_id is %d, both are set by nodes only", f.Hops, f.RPCID)
	}
	oneWay, reachable := f.Flags&FlagOneWay != 0, r.Options&Reachable != 0
	switch {
	case oneWay != (f.CallID == 0):
		return badRequest("call_id is %d, must be 0 for a one-way call and not 0 for any other", f.CallID)
	case f.Flags&criticality == criticality:
		return badOption("criticality is high and low at once")
	case oneWay && r.Options&(Idempotent|Reachable) != 0:
		return badOption("a one-way call is neither idempotent nor reachable: nothing ever comes back")
	case oneWay && f.Flags&FlagWantReceiver != 0:
		return badOption("a one-way call has no answer that could name its receiver")
	case r.Balance == BalanceHash && len(r.HashKey) == 0:
		return badOption("balance hash needs hash_key")
	case reachable && len(r.MessageID) == 0:
		return badOption("a reachable call needs message_id")
	case !reachable && len(r.MessageID) != 0:
		return badOption("message_id is for reachable calls")
	case !reachable && (r.DelayMS != 0 || r.ValidForMS != 0):
		return badOption("delay_ms and valid_for_ms are for reachable calls")
	case r.MaxAttempts > 1 && r.Options&(Idempotent|Reachable) == 0:
		return badOption("max_attempts above 1 needs idempotent or reachable")
	}
	return nil
}

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

// digestTypes are the wire types of pb.Digest's fields 1–4.
var digestTypes = [...]protowire.Type{1: protowire.VarintType, 2: protowire.BytesType, 3: protowire.VarintType, 4: protowire.BytesType}

func walkDigest(h []byte) error {
	var once seen
	for len(h) > 0 {
		f, rest, err := nextField(h)
		if err != nil {
			return err
		}
		h = rest
		if int(f.num) >= len(digestTypes) {
			continue
		}
		if f.typ != digestTypes[f.num] || !once.add(f.num) {
			return badRequest("header: digest with field %d twice or of wire type %d", f.num, f.typ)
		}
		if f.num == 1 && f.n > 1<<32-1 {
			return badRequest("header: digest key_id is %d, must fit 32 bits", f.n)
		}
	}
	return nil
}

// Append appends the fields that a module writes, without metadata, in ascending order; zero values are left out.
func (r *Request) Append(dst []byte) []byte {
	dst = appendBytes(dst, fieldModule, r.Module)
	dst = appendBytes(dst, fieldMethod, r.Method)
	dst = appendBytes(dst, fieldGroup, r.Group)
	dst = appendBytes(dst, fieldInstance, r.Instance)
	dst = appendUint(dst, fieldBalance, uint32(r.Balance))
	dst = appendBytes(dst, fieldHashKey, r.HashKey)
	dst = appendUint(dst, fieldOptions, uint32(r.Options))
	dst = appendBytes(dst, fieldMessageID, r.MessageID)
	dst = appendUint(dst, fieldMaxAttempts, r.MaxAttempts)
	dst = appendUint(dst, fieldDelayMS, r.DelayMS)
	dst = appendUint(dst, fieldValidForMS, r.ValidForMS)
	dst = appendUint(dst, fieldFirstAttemptAgeMS, r.FirstAttemptAgeMS)
	dst = appendBytes(dst, fieldUserData, r.UserData)
	dst = appendBytes(dst, fieldContentType, r.ContentType)
	return appendBytes(dst, fieldDigest, r.Digest)
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
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, uint64(v))
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
