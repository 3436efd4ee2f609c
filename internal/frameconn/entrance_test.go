//go:build unix

package frameconn

import (
	"net"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// entering returns a side behind an entrance for the preface and two small requests, which have come, and what a third one is
// to be written to.
func entering(t *testing.T, onFrame func(door *Entrance)) (*side, net.Conn) {
	t.Helper()
	x, y := tcpPair(t)
	t.Cleanup(func() { x.Close() })
	f := request(1, 10)
	door, nc := NewEntrance(y, len(wire.Preface)+2*f.Size())
	s := newSide(t, nc, Options{Accepts: true})
	s.onFrame = func(*wire.Frame) error {
		onFrame(door)
		return nil
	}
	s.run()
	stream := []byte(wire.Preface)
	for range 2 {
		if _, err := x.Write(f.Append(stream)); err != nil {
			t.Fatal(err)
		}
		s.wantFrames(1)
		stream = nil
	}
	return s, x
}

// What comes before an entrance is opened is counted although sockets are read directly.
func TestAnEntranceLetsNoMoreIn(t *testing.T) {
	s, far := entering(t, func(*Entrance) {})
	f := request(3, 10)
	if _, err := far.Write(f.Append(nil)); err != nil {
		t.Fatal(err)
	}
	s.wantCause(ErrEntrance)
	if len(s.frames) != 0 {
		t.Error("a third request came in")
	}
}

// What comes later is not: it is read directly or, the rest of a frame, through it.
func TestAnOpenEntranceLetsAllIn(t *testing.T) {
	s, far := entering(t, (*Entrance).Open)
	f := request(3, 1000)
	piece := f.Append(nil)
	before := s.conn.Stats().BytesIn
	if _, err := far.Write(piece[:20]); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the first piece", func() bool { return s.conn.Stats().BytesIn == before+20 })
	if _, err := far.Write(piece[20:]); err != nil {
		t.Fatal(err)
	}
	s.wantSame(f)
}
