package frameconn

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// stuckID is the call id of the request that a stuck writer has in its hands.
const stuckID = 1 << 40

// farEnd is the other end of a connection, read by hand.
type farEnd struct {
	*testkit.PipeConn
	t *testing.T
}

// read takes n bytes, and lets the other side go on.
func (f farEnd) read(n int) {
	f.t.Helper()
	if _, err := io.ReadFull(f, make([]byte, n)); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
}

// stuck returns a side whose writer has one request of 60 KiB in its hands and cannot write it, because
// the far end does not read. To be called in a bubble.
func stuck(t *testing.T, opts Options) (s *side, far farEnd) {
	t.Helper()
	x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
	s = newSide(t, x, opts).run()
	s.send(request(stuckID, 60<<10))
	synctest.Wait()
	if y.Buffered() != 0 || x.Buffered() != 1<<10 {
		t.Fatal("the writer is not stuck")
	}
	return s, farEnd{y, t}
}

// release reads at the far end from now on.
func (s *side) release(far net.Conn) *side {
	return newSide(s.t, far, Options{Accepts: true}).run()
}

func TestSendsBeforeOneFlushAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, testkit.PipeOptions{Buffer: 1 << 20}, Options{}, Options{})
		synctest.Wait()
		before := a.conn.Stats().Writes
		wakes := 0
		for i := range uint64(100) {
			for _, f := range []wire.Frame{control(wire.KindPolicy), response(i, 10), request(i, 10)} {
				wake, err := a.conn.Send(laneOf(f.Kind), &f, false)
				if err != nil {
					t.Fatal(err)
				}
				if wake {
					wakes++
				}
			}
		}
		if wakes != 1 {
			t.Errorf("%d Sends said wake, want the first alone", wakes)
		}
		a.conn.Flush()
		a.conn.Flush() // does nothing
		b.wantFrames(300)
		synctest.Wait()
		if writes := a.conn.Stats().Writes - before; writes != 1 {
			t.Errorf("%d writes for 300 small frames of three lanes, want 1", writes)
		}
	})
}

func TestSendsDuringAWriteAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		for i := range uint64(100) {
			a.send(request(i+1, 100))
		}
		b := a.release(far)
		b.wantFrames(101)
		// The preface, the stuck one, and the hundred.
		if writes := a.conn.Stats().Writes; writes > 3 {
			t.Errorf("%d writes, want 3 at most", writes)
		}
	})
}

func TestThereIsOneWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(request(1, 1))
		a.conn.Flush()
		synctest.Wait()
		a.wantConsistent()
		if queued := a.conn.Stats().Queued; queued < 60<<10 {
			t.Errorf("%d bytes are queued: somebody took what is stuck off the books", queued)
		}
		b := a.release(far)
		b.wantSame(request(stuckID, 60<<10), request(1, 1))
	})
}

func TestLanesAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(request(1, 10), response(2, 10), control(wire.KindPolicy), wire.Frame{Kind: wire.KindCancel, CallID: 77}, request(3, 10), response(4, 10))
		b := a.release(far)
		b.wantSame(request(stuckID, 60<<10), control(wire.KindPolicy), response(2, 10), response(4, 10), request(1, 10),
			wire.Frame{Kind: wire.KindCancel, CallID: 77}, request(3, 10))
	})
}

func TestLargeControlFramesKeepTheirOrder(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	a, b := newSide(t, x, Options{}), newSide(t, y, Options{Accepts: true}).run()
	snapshot := control(wire.KindSnapshot)
	snapshot.Body = pattern(500 << 10)
	a.send(control(wire.KindHello), snapshot, control(wire.KindDelta), snapshot)
	a.run()
	b.wantSame(control(wire.KindHello), snapshot, control(wire.KindDelta), snapshot)
}

// fill sends until the queue is full and returns how many fitted.
func (s *side) fill(f wire.Frame) int {
	for n := 0; ; n++ {
		if _, err := s.conn.Send(laneOf(f.Kind), &f, false); errors.Is(err, ErrFull) {
			return n
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	const kib = 1 << 10
	synctest.Test(t, func(t *testing.T) {
		// 60 KiB are in the writer's hands and count.
		a, _ := stuck(t, Options{Queue: 200 * kib})
		if n := a.fill(request(1, 10*kib)); n != 4 {
			t.Errorf("%d requests of 10 KiB fit, want 3 to half of the queue and one more", n)
		}
		if n := a.fill(response(1, 10*kib)); n != 10 {
			t.Errorf("%d answers of 10 KiB fit, want 9 to the end of the queue and one more", n)
		}
		if n := a.fill(request(1, 0)); n != 0 {
			t.Error("a full queue takes a request")
		}
		if n := a.fill(control(wire.KindPolicy)); n < 64*kib/50 || n > 64*kib/32 {
			t.Errorf("%d control frames fit into the reserve", n)
		}
		if got := a.conn.Stats(); got.Full != 4 || got.Queued < 264*kib || got.Queued > 265*kib {
			t.Errorf("%d refused and %d bytes queued", got.Full, got.Queued)
		}
		a.wantConsistent()
	})
}

func TestAQueueFullOfAnswersTakesNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := stuck(t, Options{Queue: 200 << 10})
		a.fill(response(1, 10<<10))
		if n := a.fill(request(1, 0)); n != 0 {
			t.Error("a full queue takes a request")
		}
	})
}

func TestAnEmptyQueueTakesAnyMessage(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{Queue: 100}, Options{})
	a.send(request(1, 5<<20))
	b.wantSame(request(1, 5<<20))
}

func TestAStaleQueueTakesNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		time.Sleep(staleQueue - time.Millisecond)
		a.send(request(1, 1), response(1, 1)) // the oldest is in the writer's hands
		time.Sleep(time.Millisecond)
		if n := a.fill(request(2, 1)); n != 0 {
			t.Error("a queue whose oldest frame is a second old takes a request")
		}
		a.send(response(2, 1), control(wire.KindPolicy))
		b := a.release(far)
		b.wantFrames(5)
		synctest.Wait()
		a.send(request(3, 1))
		b.wantSame(request(3, 1))
	})
}

// A chunk does not become younger when the writer takes it.
func TestAQueueIsAsOldAsWhatTheWriterTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.send(request(1, 10<<10))
		time.Sleep(900 * time.Millisecond)
		far.read(60 << 10)
		time.Sleep(100 * time.Millisecond)
		if n := a.fill(request(2, 1)); n != 0 {
			t.Error("a queue whose oldest frame is a second old takes a request")
		}
	})
}

func TestSendRefusesWhatNoConnectionTakes(t *testing.T) {
	a, _ := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	tests := []wire.Frame{
		request(1, wire.MaxJoining),
		{Kind: wire.KindRequest, Header: pattern(60 << 10), Body: pattern(60 << 10)},
		{Kind: wire.KindWelcome, Header: pattern(80 << 10)},
	}
	for _, f := range tests {
		_, err := a.conn.Send(Requests, &f, false)
		if refusal, ok := errors.AsType[*wire.Error](err); !ok || refusal.Code != wire.TooLarge {
			t.Errorf("Send of %s: %v, want TOO_LARGE", describe(f), err)
		}
	}
	if queued := a.conn.Stats().Queued; queued != 0 {
		t.Errorf("%d bytes are queued", queued)
	}
}

func TestCancelTakesBackWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, far := stuck(t, Options{})
		a.wantTakenBack(stuckID, false) // in the writer's hands
		// Enough for several chunks, so that full and growing ones are searched.
		const n = 3000
		for i := range uint64(n) {
			a.send(request(i+1, 50))
		}
		a.send(request(n+1, 100<<10), request(n+2, 0))
		a.wantTakenBack(1, true)
		a.wantTakenBack(1, false) // again: a CANCEL, which the other side does not know
		a.wantTakenBack(n/2, true)
		a.wantTakenBack(n, true)
		a.wantTakenBack(n+1, true)
		a.wantTakenBack(n+2, true)
		a.wantTakenBack(stuckID, false) // there is its CANCEL only
		a.wantTakenBack(5000, false)
		a.wantConsistent()

		b := a.release(far)
		got := b.wantFrames(1 + n - 3 + 4)
		cancels := make(map[uint64]int)
		for i, f := range got {
			switch {
			case f.Kind == wire.KindCancel:
				cancels[f.CallID]++
				if f.Status != wire.Timeout {
					t.Errorf("CANCEL says %s, want TIMEOUT", f.Status)
				}
			case f.CallID == 1 || f.CallID == n/2 || f.CallID == n || f.CallID > n && i > 0:
				t.Errorf("request %d was taken back and came", f.CallID)
			}
		}
		if len(cancels) != 3 || cancels[1] != 1 || cancels[stuckID] != 2 || cancels[5000] != 1 {
			t.Errorf("the CANCELs are %v, want one for 1 and 5000 and two for the stuck one", cancels)
		}
		synctest.Wait()
		if len(b.frames) != 0 {
			t.Errorf("%d more messages came", len(b.frames))
		}
	})
}

func (s *side) wantTakenBack(id uint64, want bool) {
	s.t.Helper()
	takenBack, wake := s.conn.Cancel(id, wire.Timeout)
	if takenBack != want {
		s.t.Errorf("Cancel(%d) says %t, want %t", id, takenBack, want)
	}
	if wake {
		s.conn.Flush()
	}
}

func TestCancelFollowsWhatWasSent(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	a.send(request(1, 1))
	b.wantFrames(1)
	a.wantTakenBack(1, false)
	b.wantSame(wire.Frame{Kind: wire.KindCancel, CallID: 1, Status: wire.Timeout})
}

func TestCancelOfALargeRequestThatIsBeingSentFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, far := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
		a := newSide(t, x, Options{}).run()
		a.send(request(1, 200<<10))
		synctest.Wait()
		a.wantTakenBack(1, false)
		b := a.release(far)
		b.wantSame(request(1, 200<<10), wire.Frame{Kind: wire.KindCancel, CallID: 1, Status: wire.Timeout})
	})
}

func TestCancelOfAllThatIsQueuedLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _ := testkit.Pipe(testkit.PipeOptions{})
		a := newSide(t, x, Options{Accepts: true}).run()
		synctest.Wait()
		f := request(1, 1)
		wake, _ := a.conn.Send(Requests, &f, false)
		a.wantTakenBack(1, true)
		if !wake {
			t.Fatal("the first Send did not say wake")
		}
		a.conn.Flush()
		synctest.Wait()
		if got := a.conn.Stats(); got.Queued != 0 || got.BytesOut != 0 || got.FramesOut != 0 {
			t.Errorf("%d bytes are queued, %d bytes and %d frames were written", got.Queued, got.BytesOut, got.FramesOut)
		}
		a.send(request(2, 1)) // the writer starts again
		synctest.Wait()
		if got := a.conn.Stats(); got.FramesOut != 1 {
			t.Errorf("%d frames were written, want 1", got.FramesOut)
		}
	})
}

func TestNobodyWritesBeforeRun(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	a := newSide(t, x, Options{})
	f := request(1, 1)
	if wake, err := a.conn.Send(Requests, &f, false); wake || err != nil {
		t.Fatalf("Send before Run: %t, %v", wake, err)
	}
	a.conn.Flush()
	a.wantConsistent()
	b := newSide(t, y, Options{Accepts: true}).run()
	a.run()
	b.wantSame(request(1, 1))
}

func TestARefusedLargeMessageIsNotCopied(t *testing.T) {
	x, _ := testkit.Pipe(testkit.PipeOptions{})
	c := New(x, Options{Queue: 8})
	f := request(1, 1<<20)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := c.Send(Requests, &f, false); !errors.Is(err, ErrFull) {
			t.Errorf("Send: %v, want ErrFull", err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
