package frameconn

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestReadBufferGrowsByArrivalAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 4 << 20})
		in := new(input)
		in.open(y, 0)
		clock := NewClock()
		read := func(n int, want int) {
			t.Helper()
			x.Write(make([]byte, n))
			for n > 0 {
				m, err := in.fill(y, clock)
				if err != nil {
					t.Fatal(err)
				}
				n -= m
			}
			if len(in.buf) != want {
				t.Fatalf("the buffer has %d bytes, want %d", len(in.buf), want)
			}
		}
		handle := func() { in.start = in.end }
		read(100, smallBuffer)
		read(smallBuffer-101, smallBuffer) // of a large frame: one byte is left
		read(1, smallBuffer)
		read(1, largeBuffer)
		read(largeBuffer-smallBuffer-1, largeBuffer)
		read(1, 2*largeBuffer)
		read(largeBuffer, 4*largeBuffer)
		handle()
		read(1, largeBuffer)
		handle()
		for range quietReads - 1 {
			read(1, largeBuffer)
			handle()
		}
		read(1, smallBuffer)
		in.close()
	})
}

func TestFullReadsGrowTheBufferAlthoughAllIsHandled(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	in := new(input)
	in.open(y, 0)
	x.Write(make([]byte, smallBuffer))
	in.fill(y, NewClock())
	in.start = in.end
	x.Write(make([]byte, 3*smallBuffer))
	if n, _ := in.fill(y, NewClock()); n != 3*smallBuffer {
		t.Errorf("%d bytes were read at once, want all", n)
	}
	in.close()
}

func TestBufferKeepsWhatIsUnread(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{Chunk: func(n int) int { return n/2 + 1 }})
	in := new(input)
	in.open(y, 0)
	sent := pattern(1 << 20)
	go func() {
		x.Write(sent)
		x.Close()
	}()
	var got []byte
	for {
		if _, err := in.fill(y, NewClock()); err != nil {
			break
		}
		take := (in.end - in.start) / 3 * 2
		got = append(got, in.unread()[:take]...)
		in.start += take
	}
	got = append(got, in.unread()...)
	if !bytes.Equal(got, sent) {
		t.Error("what was read is not what was sent")
	}
	in.close()
}

// A connection that was busy and is kept alive returns its buffer.
func TestIdleConnectionHoldsASmallBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		a, b := newSide(t, x, Options{}).run(), newSide(t, y, Options{Accepts: true, Heartbeat: 5 * time.Second})
		var sizes []int
		b.onFrame = func(*wire.Frame) error {
			sizes = append(sizes, len(b.conn.in.buf))
			return nil
		}
		b.run()
		a.send(request(1, 1<<20))
		b.wantFrames(1)
		time.Sleep((quietReads + 2) * 5 * time.Second)
		a.send(request(2, 0))
		b.wantFrames(1)
		if sizes[0] != largeBuffer || sizes[1] != smallBuffer {
			t.Errorf("the buffers have %v bytes, want %d and %d", sizes, largeBuffer, smallBuffer)
		}
	})
}
