package frameconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// script is a net.Conn whose reads are given, in chunks, and whose writes go nowhere.
type script struct {
	net.Conn
	input  []byte
	chunks []byte // sizes, used in turn
	i      int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	n := len(s.input)
	if len(s.chunks) > 0 {
		n = int(s.chunks[s.i%len(s.chunks)]) + 1
		s.i++
	}
	n = copy(b, s.input[:min(n, len(s.input))])
	s.input = s.input[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) CloseWrite() error                { return nil }
func (s *script) Close() error                     { return nil }
func (s *script) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "script"} }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// digest is a Handler that folds what it gets into a number.
type digest struct {
	frames int
	sum    uint64
}

func (d *digest) Frame(f *wire.Frame) error {
	d.frames++
	for _, b := range f.Append(nil) {
		d.sum = d.sum*1099511628211 + uint64(b)
	}
	return nil
}
func (d *digest) BatchEnd()                             {}
func (d *digest) Spent(uint64)                          {}
func (d *digest) Farewell(cause *wire.Error) wire.Frame { return wire.Frame{} }

// play returns what a stream leads to: what was handed over, and why it ended.
func play(input, chunks []byte) string {
	d := new(digest)
	c := New(&script{input: input, chunks: chunks}, Options{Accepts: true})
	cause := c.Run(d)
	if err := c.ConsistencyCheck(); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%d messages, %x, %v", d.frames, d.sum, cause)
}

// stream returns the preface and the frames.
func stream(frames ...wire.Frame) []byte {
	b := []byte(wire.Preface)
	for _, f := range frames {
		b = f.Append(b)
	}
	return b
}

// However a stream is cut, it leads to the same, nothing panics, and memory is bounded by what arrived.
func FuzzStream(f *testing.F) {
	const req = wire.KindRequest
	f.Add(stream(request(1, 10), response(2, 300), control(wire.KindPing), control(wire.KindLogin)), []byte{0, 6, 200})
	f.Add(stream(first(req, 1, "a"), part(req, 1, true, "b"), request(2, 5000), part(req, 1, false, "c")), []byte{30})
	f.Add(stream(first(req, 1, "a"), first(req, 1, "b")), []byte{1, 2})
	f.Add([]byte(wire.Preface+"\x00\x0f\xff\xff1234"), []byte{255})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, input, chunks []byte) {
		whole := play(input, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cut := play(input, chunks)
		runtime.ReadMemStats(&after)
		if whole != cut {
			t.Errorf("in one piece: %s\ncut: %s", whole, cut)
		}
		if used, bound := after.TotalAlloc-before.TotalAlloc, uint64(8*len(input)+64<<10+8<<10); used > bound {
			t.Errorf("%d bytes of input took %d bytes of memory, may take %d", len(input), used, bound)
		}
	})
}

// A program of four bytes an instruction makes part frames; a joiner as simple as can be says what they lead to.
func FuzzParts(f *testing.F) {
	f.Add([]byte{0, 1, 3, 0, 4, 1, 3, 0})
	f.Add([]byte{0, 1, 3, 0, 1, 1, 3, 0, 5, 1, 9, 0, 4, 1, 3, 0})
	f.Add([]byte{0, 1, 1, 0, 0, 2, 1, 0, 0, 3, 1, 0, 0, 4, 1, 0, 0, 5, 1, 0})
	f.Add([]byte{2, 1, 200, 3, 6, 1, 200, 3, 4, 1, 200, 3})
	f.Fuzz(func(t *testing.T, program []byte) {
		const limit = 2000
		reference := newJoiner(limit)
		input := []byte(wire.Preface)
		for len(program) >= 4 {
			in := instruction(program)
			program = program[4:]
			input = in.Append(input)
			if reference.failed == nil {
				reference.take(in)
			}
		}
		if reference.failed == nil {
			reference.failed = io.EOF
		}
		d := new(digest)
		c := New(&script{input: input}, Options{Accepts: true, MaxMessage: limit})
		cause := c.Run(d)
		if breach, ok := errors.AsType[*wire.Error](cause); ok {
			cause = errors.New(breach.Code.String())
		}
		if d.frames != reference.out.frames || d.sum != reference.out.sum || cause.Error() != reference.failed.Error() {
			t.Errorf("%d messages, %x, %v; want %d, %x, %v",
				d.frames, d.sum, cause, reference.out.frames, reference.out.sum, reference.failed)
		}
	})
}

// instruction makes a frame of four bytes: what it is, its call id, and its length.
func instruction(b []byte) wire.Frame {
	n := int(binary.LittleEndian.Uint16(b[2:])) % 1200
	f := wire.Frame{CallID: uint64(b[1] % 6), Body: pattern(n)}
	kind := wire.KindRequest
	if b[0]&1 != 0 {
		kind = wire.KindResponse
	}
	if b[0]&2 != 0 {
		f.Flags = wire.FlagMore
	}
	if b[0]&4 != 0 {
		f.Kind, f.Status = wire.KindPart, wire.Code(kind)
	} else {
		f.Kind, f.Header = kind, []byte("header")
	}
	return f
}

// joiner is the reference: a map, and the rules one by one.
type joiner struct {
	limit  int
	open   map[[2]uint64]wire.Frame
	out    digest
	failed error
}

func newJoiner(limit int) *joiner { return &joiner{limit: limit, open: make(map[[2]uint64]wire.Frame)} }

func (j *joiner) take(f wire.Frame) {
	key := [2]uint64{uint64(f.Kind), f.CallID}
	if f.Kind == wire.KindPart {
		key[0] = uint64(f.Status)
	}
	whole, open := j.open[key]
	more := f.Flags&wire.FlagMore != 0
	switch {
	case f.Kind == wire.KindPart && !open, f.Kind != wire.KindPart && more && (open || len(j.open) == wire.MaxOpen):
		j.failed = errors.New(wire.BadRequest.String())
		return
	case f.Kind == wire.KindPart:
		whole.Body = append(whole.Body, f.Body...)
	default:
		whole = f
		whole.Flags = 0
	}
	if len(whole.Header)+len(whole.Body) > j.limit {
		j.failed = errors.New(wire.TooLarge.String())
		return
	}
	if more {
		j.open[key] = whole
		return
	}
	if f.Kind == wire.KindPart {
		delete(j.open, key)
	}
	_ = j.out.Frame(&whole)
}
