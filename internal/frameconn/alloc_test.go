package frameconn

import (
	"io"
	"net"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// gate is a net.Conn that reads one piece at a time from the test and tells it when the piece was handled: when the
// next Read comes.
type gate struct {
	script
	pieces, handled chan struct{}
	piece           []byte
	written         chan int
}

func (g *gate) Read(b []byte) (int, error) {
	g.handled <- struct{}{}
	if _, ok := <-g.pieces; !ok {
		return 0, io.EOF
	}
	return copy(b, g.piece), nil
}

func (g *gate) Write(b []byte) (int, error) {
	g.written <- len(b)
	return len(b), nil
}

var _ net.Conn = (*gate)(nil)

// nothing is a Handler that does nothing.
type nothing struct{ frames int }

func (n *nothing) Frame(*wire.Frame) error {
	n.frames++
	return nil
}
func (*nothing) BatchEnd()                       {}
func (*nothing) Spent(uint64)                    {}
func (*nothing) Farewell(*wire.Error) wire.Frame { return wire.Frame{} }

func openGate(t *testing.T) (g *gate, c *Conn, h *nothing) {
	t.Helper()
	g = &gate{pieces: make(chan struct{}), handled: make(chan struct{}), written: make(chan int)}
	c, h = New(g, Options{Accepts: true}), new(nothing)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		c.Run(h)
	}()
	t.Cleanup(func() {
		close(g.pieces)
		<-ran
	})
	<-g.handled
	g.read([]byte(wire.Preface))
	return g, c, h
}

// read gives the connection something to read and waits until it is handled.
func (g *gate) read(piece []byte) {
	g.piece = piece
	g.pieces <- struct{}{}
	<-g.handled
}

func TestReadingASmallFrameAllocatesNothing(t *testing.T) {
	g, _, h := openGate(t)
	f := request(1, 100)
	piece := f.Append(nil)
	if n := testing.AllocsPerRun(1000, func() { g.read(piece) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	if h.frames != 1001 {
		t.Errorf("%d frames were read, want 1001", h.frames)
	}
}

func TestSendingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	g, c, _ := openGate(t)
	f := request(1, 100)
	send := func() {
		for range 10 {
			if wake, err := c.Send(Requests, &f, false); err != nil {
				t.Fatal(err)
			} else if wake {
				c.Flush()
			}
		}
		for n := 0; n < 10*f.Size(); {
			n += <-g.written
		}
	}
	if n := testing.AllocsPerRun(1000, send); n != 0 {
		t.Errorf("%v allocations for ten frames", n)
	}
}
