package frameconn

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// everyKind is one message of each kind that is handed over, small and large.
func everyKind() []wire.Frame {
	var all []wire.Frame
	for k := range 256 {
		switch kind := wire.Kind(k); kind {
		case wire.KindPing, wire.KindPong, wire.KindPart, wire.KindRequest, wire.KindResponse:
		default:
			all = append(all, control(kind))
		}
	}
	large := control(wire.KindSnapshot)
	large.Body = pattern(200 << 10)
	return append(all, large,
		wire.Frame{Kind: wire.KindRequest, Flags: wire.FlagOneWay, Body: []byte("one way")},
		request(1, 0), request(2, 100), request(3, wire.PartSize), request(4, 300<<10),
		response(1, 0), response(2, 100), response(3, wire.PartSize), response(4, 3<<20))
}

func TestRoundTripInMemory(t *testing.T) {
	for _, chunk := range []int{0, 1 << 10, 7} {
		t.Run(itoa(chunk), func(t *testing.T) {
			opts := testkit.PipeOptions{}
			if chunk > 0 {
				opts.Chunk = func(int) int { return chunk }
			}
			a, b := pair(t, opts, Options{}, Options{})
			roundTrip(a, b, chunk != 7)
			roundTrip(b, a, chunk != 7)
		})
	}
}

func TestRoundTripOverTCP(t *testing.T) {
	x, y := tcpPair(t)
	a, b := newSide(t, x, Options{}).run(), newSide(t, y, Options{Accepts: true}).run()
	roundTrip(a, b, true)
	roundTrip(b, a, true)
}

// roundTrip sends one by one, so that the order is known.
func roundTrip(from, to *side, large bool) {
	from.t.Helper()
	for _, f := range everyKind() {
		if large || f.Size() < 100<<10 {
			from.send(f)
			to.wantSame(f)
		}
	}
}

func tcpPair(t testing.TB) (dialed, accepted net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if dialed, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	TuneTCP(dialed)
	TuneTCP(accepted)
	return dialed, accepted
}

func TestEverySplitGivesTheSameFrames(t *testing.T) {
	want := []wire.Frame{control(wire.KindLogin), request(1, 40), response(9, 0), {Kind: wire.KindCancel, CallID: 1}}
	stream := []byte(wire.Preface)
	for _, f := range want {
		stream = f.Append(stream)
	}
	for cut := 1; cut < len(stream); cut++ {
		synctest.Test(t, func(t *testing.T) {
			x, y := testkit.Pipe(testkit.PipeOptions{})
			b := newSide(t, y, Options{Accepts: true}).run()
			x.Write(stream[:cut])
			synctest.Wait() // the reader has what there is
			x.Write(stream[cut:])
			b.wantSame(want...)
			x.Close()
			b.wantCause(io.EOF)
		})
	}
}

func TestPreface(t *testing.T) {
	tests := []struct {
		name, stream string
		cause        error
	}{
		{"right", wire.Preface, io.EOF},
		{"cut short", wire.Preface[:5], io.EOF},
		{"none", "", io.EOF},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", ErrPreface},
		{"one wrong byte", "3", ErrPreface},
		{"another version", "2HOP\x02\x00\x00\x00", ErrPreface},
		{"not zero", "2HOP\x01\x00\x00\x01", ErrPreface},
	}
	for _, test := range tests {
		for cut := range len(test.stream) + 1 {
			synctest.Test(t, func(t *testing.T) {
				x, y := testkit.Pipe(testkit.PipeOptions{})
				b := newSide(t, y, Options{Accepts: true}).run()
				x.Write([]byte(test.stream[:cut]))
				synctest.Wait()
				x.Write([]byte(test.stream[cut:]))
				x.CloseWrite()
				b.wantCause(test.cause)
				if b.conn.Stats().BytesOut != 0 {
					t.Errorf("%s: something was written to a stranger", test.name)
				}
			})
		}
	}
}

func TestWrongPrefaceEndsAtTheFirstWrongByte(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	b := newSide(t, y, Options{Accepts: true}).run()
	x.Write([]byte("2HO_"))
	b.wantCause(ErrPreface)
}

func TestBreachIsAnsweredAndEndsTheConnection(t *testing.T) {
	big := request(1, 5000)
	tests := []struct {
		name   string
		stream []byte
		code   wire.Code
	}{
		{"length too small", []byte{0, 0, 0, 27}, wire.BadRequest},
		{"length too large", []byte{255, 0, 0, 0}, wire.BadRequest},
		{"message too large", big.Append(nil), wire.TooLarge},
		{"header beyond the frame", []byte{0, 0, 0, 28, 16, 0, 0, 9, 31: 0}, wire.BadRequest},
		{"MORE of a control frame", append([]byte{0, 0, 0, 28, byte(wire.KindLogin), 1}, make([]byte, 26)...), wire.BadRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := rawAndSide(t, Options{MaxMessage: 4000})
			a.conn.nc.Write(append([]byte(wire.Preface), test.stream...))
			breach := b.wantBreach(test.code)
			bye := a.wantFrames(1)[0]
			if bye.Kind != wire.KindGoaway || string(bye.Body) != breach.Reason {
				t.Errorf("the farewell is %s %q, want GOAWAY %q", bye.Kind, bye.Body, breach.Reason)
			}
		})
	}
}

// rawAndSide returns a side that accepts, and the other one, which reads and has not written the preface.
func rawAndSide(t *testing.T, opts Options) (raw, s *side) {
	t.Helper()
	x, y := testkit.Pipe(testkit.PipeOptions{})
	opts.Accepts = true
	raw = newSide(t, x, Options{})
	raw.conn.lanes[Control], raw.conn.queued = lane{}, 0
	return raw.run(), newSide(t, y, opts).run()
}

func TestHandlerEndsTheConnection(t *testing.T) {
	enough := errors.New("enough")
	x, y := testkit.Pipe(testkit.PipeOptions{})
	a, b := newSide(t, x, Options{}), newSide(t, y, Options{Accepts: true})
	b.onFrame = func(f *wire.Frame) error {
		if f.CallID == 2 {
			return enough
		}
		return nil
	}
	a.send(request(1, 1), request(2, 1), request(3, 1))
	a.run()
	b.run()
	b.wantCause(enough)
	b.wantSame(request(1, 1))
	if len(b.frames) != 0 {
		t.Error("a message was handed over after the handler's error")
	}
}

func TestNothingIsHandedOverAfterClose(t *testing.T) {
	for _, end := range []func(*Conn, error){(*Conn).Close, (*Conn).Shutdown} {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		a, b := newSide(t, x, Options{}), newSide(t, y, Options{Accepts: true})
		b.onFrame = func(f *wire.Frame) error {
			if f.CallID == 1 {
				end(b.conn, nil)
			}
			return nil
		}
		a.send(request(1, 1), request(2, 1))
		a.run()
		b.run()
		b.wantCause(ErrClosed)
		if len(b.frames) != 1 {
			t.Errorf("%d messages were handed over, want the one that ended the connection", len(b.frames))
		}
	}
}
