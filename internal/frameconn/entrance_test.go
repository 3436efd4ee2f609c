package frameconn

import (
	"io"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

// entering returns a side behind an entrance for the preface and two small requests, and writes three.
func entering(t *testing.T, onFrame func(door *Entrance)) *side {
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
	if _, err := io.WriteString(x, wire.Preface); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := x.Write(f.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			s.wantFrames(1)
		}
	}
	return s
}

// What comes before an entrance is opened is counted although sockets are read directly.
func TestAnEntranceLetsNoMoreIn(t *testing.T) {
	s := entering(t, func(*Entrance) {})
	s.wantCause(ErrEntrance)
	if len(s.frames) != 0 {
		t.Error("a third request came in")
	}
}

func TestAnOpenEntranceLetsAllIn(t *testing.T) {
	s := entering(t, (*Entrance).Open)
	s.wantFrames(1)
}
