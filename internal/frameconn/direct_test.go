//go:build unix

package frameconn

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// narrowPair is a TCP connection of which the kernel holds less than 200 KiB.
func narrowPair(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	x, y := tcpPair(t)
	if err := x.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	if err := y.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	return x, y
}

// narrow returns a side that has written the preface and nothing else, and the far end, which nobody reads.
func narrow(t *testing.T) (s *side, far net.Conn) {
	t.Helper()
	x, far := narrowPair(t)
	t.Cleanup(func() { far.Close() })
	s = newSide(t, x, Options{}).run()
	s.waitFor("the preface to be written", func() bool { return s.writerState() == idle })
	return s, far
}

func (s *side) writerState() writerState {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.writer
}

// waitFor polls, and gives up after a while.
func (s *side) waitFor(what string, is func() bool) {
	s.t.Helper()
	for start := time.Now(); !is(); runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// queue sends without a flush.
func (s *side) queue(frames ...wire.Frame) {
	s.t.Helper()
	for _, f := range frames {
		if _, err := s.conn.Send(laneOf(f.Kind), &f, false); err != nil {
			s.t.Fatal(err)
		}
	}
}

// several requests are 250 KB, far more than the kernel takes of a narrow connection.
func several(from uint64) (frames []wire.Frame) {
	for i := range uint64(100) {
		frames = append(frames, request(from+i, 2500))
	}
	return frames
}

// What the kernel does not take at once is not waited for, and follows when the other side reads: in order, all of it, once.
func TestAPartialWriteIsResumed(t *testing.T) {
	a, far := narrow(t)
	first := several(1)
	a.queue(first...)
	a.conn.Flush()
	if taken := a.conn.Stats().BytesOut - uint64(len(wire.Preface)); taken == 0 || taken >= 100*2500 {
		t.Fatalf("the kernel took %d bytes at once, want some and not all", taken)
	}
	if a.writerState() != writing {
		t.Fatal("nobody writes the rest")
	}
	later := append(several(1001), several(2001)...)
	a.send(later...)
	a.wantConsistent()
	if cause := a.conn.Cause(); cause != nil {
		t.Fatalf("the connection ended with %v", cause)
	}
	b := a.release(far)
	b.wantSame(first...)
	b.wantSame(later...)
	a.waitFor("the writer to end", func() bool { return a.writerState() == idle })
	if s := a.conn.Stats(); s.FramesOut != 300 || s.Queued != 0 || s.BytesOut != b.conn.Stats().BytesIn {
		t.Errorf("%+v, want 300 frames, nothing queued, and as many bytes as were read", s)
	}
}

// Large messages are left to a goroutine, and small ones still go between their parts.
func TestPartsFollowADirectWrite(t *testing.T) {
	a, far := narrow(t)
	a.queue(request(1, 10), request(2, 500<<10), response(3, 300<<10))
	a.conn.Flush()
	a.send(request(4, 10))
	b := a.release(far)
	got := make(map[uint64]int)
	for i, f := range b.wantFrames(4) {
		got[f.CallID] = i
	}
	if got[1] > got[2] || got[4] > got[2] || got[1] > got[4] {
		t.Errorf("the messages came at %v, want the small ones in order and before the large request", got)
	}
}

// A request whose last byte the kernel did not take is unsent, however many writes its first bytes went in.
func TestUnsentAfterAPartialWrite(t *testing.T) {
	for range 3 {
		a, far := narrow(t)
		frames := append(several(1), several(1001)...)
		last := make(map[uint64]int)
		end := len(wire.Preface)
		for _, f := range frames {
			end += f.Size()
			last[f.CallID] = end
		}
		a.queue(frames...)
		a.conn.Flush()
		if _, err := io.ReadFull(far, make([]byte, 10<<10)); err != nil { // the goroutine goes on
			t.Fatal(err)
		}
		a.conn.Close(errBroken)
		rest, err := io.ReadAll(far)
		if err != nil {
			t.Fatal(err)
		}
		want := wantUnsent(last, 10<<10+len(rest))
		if got := a.unsent(); len(want) == 0 || len(want) == len(frames) || !slices.Equal(got, want) {
			t.Fatalf("%v are unsent, want %v", got, want)
		}
		a.wantCause(errBroken)
	}
}

// A full kernel takes nothing at first: what was merged for that write is not merged again for the next.
func TestBudgetsAreLoweredOnce(t *testing.T) {
	a, far := narrow(t)
	full := 0
	for refused := 0; refused < 1000; runtime.Gosched() { // nobody else writes now
		n, err := a.conn.direct.write(make([]byte, 1<<10))
		if err != nil {
			t.Fatal(err)
		}
		full += n
		refused++
		if n > 0 {
			refused = 0
		}
	}
	policy, asked := control(wire.KindPolicy), request(1, 10)
	asked.BudgetMS = 60_000
	a.queue(policy, asked, asked)
	queued := a.conn.clock.Now()
	a.waitFor("the requests to age", func() bool { return a.conn.clock.Now()-queued > 10*fresh })
	a.conn.Flush()
	flushed := a.conn.clock.Now()

	stream := make([]byte, len(wire.Preface)+full+policy.Size()+2*asked.Size())
	if _, err := io.ReadFull(far, stream); err != nil {
		t.Fatal(err)
	}
	stream = stream[len(wire.Preface)+full:]
	if !bytes.HasPrefix(stream, policy.Append(nil)) {
		t.Fatalf("a control frame was changed: %x", stream[:policy.Size()])
	}
	most := uint32((flushed-queued)/time.Millisecond) + 2 // the clock was read after Send
	for stream = stream[policy.Size():]; len(stream) > 0; stream = stream[asked.Size():] {
		f, _, err := wire.Decode(stream, wire.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if less := asked.BudgetMS - f.BudgetMS; less < 10 || less > most {
			t.Errorf("the budget was lowered by %d ms, want 10 to %d", less, most)
		}
	}
}

// A type that embeds a socket and does more with the bytes is asked to.
func TestWhatEmbedsASocketIsNone(t *testing.T) {
	x, y := tcpPair(t)
	counted := &counting{TCPConn: x.(*net.TCPConn)}
	a, b := newSide(t, counted, Options{}).run(), newSide(t, y, Options{Accepts: true}).run()
	f := request(1, 10)
	a.send(f)
	b.wantSame(f)
	b.send(f)
	a.wantSame(f)
	a.conn.Close(nil)
	<-a.ran
	if counted.written != len(wire.Preface)+f.Size() || counted.read != f.Size() {
		t.Errorf("%d bytes were written and %d read past it", counted.written, counted.read)
	}
}

// counting counts, to be looked at when Run has returned.
type counting struct {
	*net.TCPConn

	read, written int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.read += n
	return n, err
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.written += n
	return n, err
}
