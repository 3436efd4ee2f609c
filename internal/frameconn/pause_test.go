package frameconn

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// pausing returns a node's side of a pure caller with a queue of 100 KiB, and the caller's end, which does not read. A
// request is answered with as many bytes as its call id says KiB.
func pausing(t *testing.T) (node *side, caller *testkit.PipeConn) {
	t.Helper()
	caller, y := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
	node = newSide(t, y, Options{Accepts: true, PauseReading: true, Queue: 100 << 10})
	node.onFrame = func(f *wire.Frame) error {
		answer := response(f.CallID, int(f.CallID)<<10)
		if wake, _ := node.conn.Send(Answers, &answer, false); wake {
			node.conn.Flush()
		}
		return nil
	}
	node.run()
	caller.Write([]byte(wire.Preface))
	return node, caller
}

func ask(caller *testkit.PipeConn, id uint64) {
	f := wire.Frame{Kind: wire.KindRequest, CallID: id}
	caller.Write(f.Append(nil))
	synctest.Wait()
}

func TestAPureCallerIsPausedAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, caller := pausing(t)
		ask(caller, 60)
		node.wantFrames(1)
		ask(caller, 16) // 76 KiB: over 75 %
		node.wantFrames(1)
		ask(caller, 1)
		if len(node.frames) != 0 {
			t.Fatal("the node reads on at 76 % of the queue")
		}
		time.Sleep(4 * time.Second)
		answers := make([]byte, 61<<10) // the node's next write begins
		for n := 0; n < len(answers); {
			m, err := caller.Read(answers[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		node.wantFrames(1)
		time.Sleep(4 * time.Second) // the pause is over, and so is its timer
		if cause := node.conn.Cause(); cause != nil {
			t.Errorf("the connection ended with %v", cause)
		}
	})
}

func TestAPureCallerThatDoesNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, caller := pausing(t)
		start := time.Now()
		ask(caller, 76)
		node.wantCause(ErrSlow)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it was closed after %v, want 5 s", took)
		}
	})
}

func TestAPureCallerIsClosedWhenItsQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, caller := pausing(t)
		var stream []byte
		for _, id := range []uint64{70, 31, 1} {
			f := wire.Frame{Kind: wire.KindRequest, CallID: id}
			stream = f.Append(stream)
		}
		start := time.Now()
		caller.Write(stream)
		node.wantCause(ErrSlow)
		if took := time.Since(start); took != 0 {
			t.Errorf("it was closed after %v, want at once", took)
		}
	})
}

// Everybody else is not closed for a full queue: what does not fit is refused.
func TestAFullQueueEndsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := stuck(t, Options{Queue: 100 << 10})
		a.fill(response(1, 10<<10))
		if cause := a.conn.Cause(); cause != nil {
			t.Errorf("the connection ended with %v", cause)
		}
	})
}

// What a paused reader reads next is as old as the pause, all of it.
func TestWhatWaitedInThePauseIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		node := newSide(t, y, Options{Accepts: true})
		var ages []time.Duration
		node.onFrame = func(f *wire.Frame) error {
			ages = append(ages, node.conn.Now()-node.conn.Arrived())
			if f.CallID == 1 {
				time.Sleep(300 * time.Millisecond) // as in a pause
			}
			return nil
		}
		node.run()
		time.Sleep(time.Second)
		f := request(1, 0)
		x.Write(f.Append([]byte(wire.Preface)))
		synctest.Wait()
		for id := range uint64(20) { // more than the first read takes
			f = request(id+2, 1<<10)
			x.Write(f.Append(nil))
		}
		node.wantFrames(21)
		for i, age := range ages[1:] {
			if age != 300*time.Millisecond {
				t.Fatalf("message %d is %v old, want the 300 ms of the pause", i+1, age)
			}
		}
		time.Sleep(time.Second)
		f = request(30, 0)
		x.Write(f.Append(nil))
		node.wantFrames(1)
		if age := ages[21]; age != 0 {
			t.Errorf("a message that the reader waited for is %v old", age)
		}
	})
}
