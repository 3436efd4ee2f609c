package wire

import "google.golang.org/protobuf/encoding/protowire"

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
	Digest                          []byte // an encoded pb.Digest, nil if there is none; Digest.Walk reads it
	Balance                         Balance
	Options                         Options
	MaxAttempts                     uint32
	DelayMS, ValidForMS             uint32
	FirstAttemptAgeMS               uint32
	Metadata                        int // entries; EachMetadata reads them

	// Set by nodes; zero in what a module wrote.
	Stamp Stamp
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
)

// FirstNodeField is the first field number that is the nodes' own, in requests and in responses.
const FirstNodeField = 1000

// Writer says who wrote a header.
type Writer uint8

// The writers.
const (
	ByModule Writer = iota // a field from FirstNodeField up is BAD_REQUEST
	ByNode
)

// requestType returns the wire type of a field of a request header, and whether the field is known at all.
func requestType(num protowire.Number) (typ protowire.Type, known bool) {
	switch num {
	case fieldModule, fieldMethod, fieldGroup, fieldInstance, fieldHashKey, fieldMessageID, fieldUserData,
		fieldContentType, fieldDigest, fieldMetadata,
		fieldInvokerModule, fieldInvokerInstance, fieldInvokerIP, fieldIngressNode:
		return protowire.BytesType, true
	case fieldBalance, fieldOptions, fieldMaxAttempts, fieldDelayMS, fieldValidForMS, fieldFirstAttemptAgeMS,
		fieldMessageAttempt, fieldRedelivered, fieldLeaseMS, fieldLate:
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
	if w == ByModule && len(h) > MaxHeader {
		return headerTooLarge(len(h), MaxHeader)
	}
	var once seen
	var metadata entries
	for len(h) > 0 {
		var f field
		rest, err := f.next(h)
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
			if err := metadata.add("metadata", f.bytes); err != nil {
				return err
			}
			continue
		}
		if err := r.set(&f); err != nil {
			return err
		}
	}
	r.Metadata = metadata.count
	if len(r.Module) == 0 {
		return badRequest("header: module (field 1) is missing")
	}
	if len(r.Method) == 0 {
		return badRequest("header: method (field 2) is missing")
	}
	return nil
}

// set stores one singular field after checking its own form.
func (r *Request) set(f *field) error {
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
		var d Digest
		return d.Walk(f.bytes)
	default:
		return r.Stamp.set(f)
	}
	return nil
}

// Check reports whether a frame's flags and its walked header go together (the table in PROTOCOL.md, "Options that go
// together"), for a request from a module. The error is nil or an *Error.
func (r *Request) Check(f *Frame) error {
	if err := f.checkOwned(requestFlags); err != nil {
		return err
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
	case r.ValidForMS != 0 && r.DelayMS >= r.ValidForMS:
		return badOption("delay_ms is %d and valid_for_ms %d: the call would be over before it may start", r.DelayMS, r.ValidForMS)
	case r.MaxAttempts > 1 && r.Options&(Idempotent|Reachable) == 0:
		return badOption("max_attempts above 1 needs idempotent or reachable")
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
