package wire

import (
	"encoding/binary"
	"errors"
)

// Preface is what a client sends before its first frame: magic, version, three zero bytes.
const Preface = "2HOP\x01\x00\x00\x00"

// Version is the protocol version of this package.
const Version = 1

// Sizes and limits in bytes. PROTOCOL.md names them.
const (
	PrefixSize = 32             // length … status
	MinLength  = PrefixSize - 4 // the smallest value of the length field
	NodeExtra  = 4 << 10        // what nodes may append to a module's frame
	MaxFrame   = 1 << 20        // largest length field from a module
	MaxHeader  = 16 << 10       // largest header from a module
	MaxMessage = 16 << 20       // header + body over all parts, from a module
	PartSize   = 64 << 10       // a message above this is split
	LoginLimit = 4 << 10        // everything before WELCOME
	MaxOpen    = 4              // messages in parts at once, per direction
	MaxJoining = 32 << 20       // bytes of messages in parts at once, per direction
)

// Flags is the flags byte of a frame.
type Flags uint8

// The flags.
const (
	FlagMore         Flags = 1  // PART frames follow
	FlagOneWay       Flags = 2  // no frame ever comes back; call_id is 0
	FlagDelivery     Flags = 4  // nodes only: a reachable call's delivery
	FlagCompressed   Flags = 8  // reserved; BAD_REQUEST in version 1
	FlagWantReceiver Flags = 16 // the answer is to name who answered
	FlagHigh         Flags = 32 // criticality: shed last
	FlagLow          Flags = 64 // criticality: shed first

	criticality  = FlagHigh | FlagLow
	requestFlags = FlagMore | FlagOneWay | FlagWantReceiver | criticality // of a module
)

// Frame is one frame. Header and Body alias the bytes it was decoded from.
type Frame struct {
	Kind     Kind
	Flags    Flags
	Attempt  uint8  // 0 first, +1 per retry, saturating
	Hops     uint8  // nodes crossed
	Status   Code   // RESPONSE: the status. CANCEL: why. PART: the kind of the message it continues
	BudgetMS uint32 // time left; 0 = none given, only from a module
	CallID   uint64 // correlates on this connection
	RPCID    uint64 // global id, set by the ingress node
	Header   []byte
	Body     []byte
}

// ErrShort says that the buffer holds the beginning of a frame and not its end.
var ErrShort = errors.New("wire: incomplete frame")

// Offsets of the prefix's fields, for rewriting a frame in place.
const (
	offLength  = 0  // u32 bytes after this field
	offKind    = 4  // u8
	offFlags   = 5  // u8
	offHeader  = 6  // u16 length of the header
	offCallID  = 8  // u64
	offRPCID   = 16 // u64
	offBudget  = 24 // u32 ms
	offAttempt = 28 // u8
	offHops    = 29 // u8
	offStatus  = 30 // u16
)

// Length returns the whole size of the frame that starts in b, or ErrShort if fewer than 4 bytes are there. A length
// outside [MinLength, limit] is BAD_REQUEST: it is refused before anything is allocated for it.
func Length(b []byte, limit uint32) (int, error) {
	if len(b) < 4 {
		return 0, ErrShort
	}
	n := binary.BigEndian.Uint32(b)
	if n < MinLength || n > limit {
		return 0, badRequest("frame length is %d, must be %d to %d", n, MinLength, limit)
	}
	return 4 + int(n), nil
}

// Decode cuts one frame off the front of b and returns how many bytes it took. limit bounds the length field.
// ErrShort means that b is a proper beginning and that Decode is to be asked again with more.
func Decode(b []byte, limit uint32) (f Frame, n int, err error) {
	n, err = Length(b, limit)
	if err != nil {
		return Frame{}, 0, err
	}
	if len(b) < n {
		return Frame{}, 0, ErrShort
	}
	b = b[:n]
	header := int(binary.BigEndian.Uint16(b[offHeader:]))
	if PrefixSize+header > n {
		return Frame{}, 0, badRequest("header of %d bytes is longer than the frame, which has %d left", header, n-PrefixSize)
	}
	f = Frame{
		Kind:     Kind(b[offKind]),
		Flags:    Flags(b[offFlags]),
		Attempt:  b[offAttempt],
		Hops:     b[offHops],
		Status:   Code(binary.BigEndian.Uint16(b[offStatus:])),
		BudgetMS: binary.BigEndian.Uint32(b[offBudget:]),
		CallID:   binary.BigEndian.Uint64(b[offCallID:]),
		RPCID:    binary.BigEndian.Uint64(b[offRPCID:]),
		Header:   b[PrefixSize : PrefixSize+header : PrefixSize+header],
		Body:     b[PrefixSize+header : n : n],
	}
	return f, n, nil
}

// Size returns the bytes that Append adds.
func (f *Frame) Size() int { return PrefixSize + len(f.Header) + len(f.Body) }

// Append appends the encoded frame to dst. The header must be shorter than 64 KiB.
func (f *Frame) Append(dst []byte) []byte {
	dst = f.AppendPrefix(dst, len(f.Header), len(f.Body))
	dst = append(dst, f.Header...)
	return append(dst, f.Body...)
}

// AppendPrefix appends the 32 bytes of the prefix for a header and a body of the given lengths, which the caller
// appends next.
func (f *Frame) AppendPrefix(dst []byte, header, body int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(MinLength+header+body))
	dst = append(dst, byte(f.Kind), byte(f.Flags))
	dst = binary.BigEndian.AppendUint16(dst, uint16(header))
	dst = binary.BigEndian.AppendUint64(dst, f.CallID)
	dst = binary.BigEndian.AppendUint64(dst, f.RPCID)
	dst = binary.BigEndian.AppendUint32(dst, f.BudgetMS)
	dst = append(dst, f.Attempt, f.Hops)
	return binary.BigEndian.AppendUint16(dst, uint16(f.Status))
}

// SetBudget rewrites budget_ms of an encoded frame in place.
func SetBudget(frame []byte, ms uint32) { binary.BigEndian.PutUint32(frame[offBudget:], ms) }

// Budget returns budget_ms of an encoded frame.
func Budget(frame []byte) uint32 { return binary.BigEndian.Uint32(frame[offBudget:]) }
