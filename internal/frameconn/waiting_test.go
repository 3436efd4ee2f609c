//go:build unix

package frameconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// watch returns the input of a socket that says on waits, before it waits without having been given a buffer, whether it
// holds none.
func watch(nc net.Conn) (in *input, waits chan bool) {
	in, waits = new(input), make(chan bool, 100)
	in.open(nc, 0)
	try := in.direct.try
	in.direct.try = func(fd uintptr) bool {
		done := try(fd)
		if !done {
			waits <- in.buf == nil && in.small == nil && in.large == nil && in.direct.buf == nil
		}
		return done
	}
	return in, waits
}

// fillFrom reads once, which begins to wait before the piece is written.
func fillFrom(t *testing.T, in *input, nc net.Conn, from net.Conn, waits chan bool, piece []byte) {
	t.Helper()
	read := make(chan error)
	go func() {
		_, err := in.fill(nc, NewClock())
		read <- err
	}()
	if !<-waits {
		t.Error("it holds a buffer while it waits")
	}
	if _, err := from.Write(piece); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
}

// A socket that waits has no buffer, unless a part of a frame is in it.
func TestAWaitingSocketHoldsNoBuffer(t *testing.T) {
	x, y := tcpPair(t)
	defer x.Close()
	defer y.Close()
	in, waits := watch(y)
	in.small = make([]byte, smallBuffer) // as before an entrance was open
	for range 3 {
		sent := pattern(100)
		fillFrom(t, in, y, x, waits, sent)
		if !bytes.Equal(in.unread(), sent) || len(in.buf) != largeBuffer {
			t.Fatalf("%d bytes came in a buffer of %d, want the 100 in a large one", len(in.unread()), len(in.buf))
		}
		in.start += 40 // the rest is the beginning of a frame
		if _, err := x.Write(sent); err != nil {
			t.Fatal(err)
		}
		if _, err := in.fill(y, NewClock()); err != nil {
			t.Fatal(err)
		}
		if want := slices.Concat(sent[40:], sent); !bytes.Equal(in.unread(), want) {
			t.Fatalf("%d bytes are unread, want the %d", len(in.unread()), len(want))
		}
		in.start = in.end
	}
	x.Close()
	for {
		if _, err := in.fill(y, NewClock()); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	in.close()
	if in.buf != nil || in.large != nil || in.small != nil {
		t.Error("the end left a buffer")
	}
}

func TestReadingFromASocketAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	x, y := tcpPair(t)
	h := &telling{frames: make(chan struct{})}
	c, ran := New(y, Options{Accepts: true}), make(chan struct{})
	go func() {
		defer close(ran)
		c.Run(h)
	}()
	if _, err := io.WriteString(x, wire.Preface); err != nil {
		t.Fatal(err)
	}
	f := request(1, 100)
	piece := f.Append(nil)
	if n := testing.AllocsPerRun(1000, func() {
		x.Write(piece)
		<-h.frames
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	x.Close()
	<-ran
}

// telling is a Handler that tells of every message.
type telling struct {
	nothing

	frames chan struct{}
}

func (h *telling) Frame(*wire.Frame) error {
	h.frames <- struct{}{}
	return nil
}

func TestSendingToASocketAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	a, b := tcpPair(t)
	c, ran := New(a, Options{}), make(chan struct{})
	go func() {
		defer close(ran)
		c.Run(new(nothing))
	}()
	if _, err := io.ReadFull(b, make([]byte, len(wire.Preface))); err != nil {
		t.Fatal(err)
	}
	f := request(1, 100)
	got := make([]byte, 10*f.Size())
	if n := testing.AllocsPerRun(1000, func() {
		for range 10 {
			if _, err := c.Send(Requests, &f, false); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush()
		io.ReadFull(b, got)
	}); n != 0 {
		t.Errorf("%v allocations for ten frames", n)
	}
	b.Close()
	<-ran
}

// A read deadline, which messages in parts have, ends a wait without a buffer as well.
func TestAReadDeadlineEndsTheWait(t *testing.T) {
	x, y := tcpPair(t)
	defer x.Close()
	defer y.Close()
	in, waits := watch(y)
	read := make(chan error)
	go func() {
		_, err := in.fill(y, NewClock())
		read <- err
	}()
	<-waits
	if err := y.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) || in.buf != nil {
		t.Errorf("the wait ended with %v and a buffer of %d bytes", err, len(in.buf))
	}
}
