package frameconn

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

// leaving is a Handler that queues an answer, and leaves.
type leaving struct {
	nothing

	conn  *Conn
	leave func()
	ends  int
}

func (h *leaving) Frame(f *wire.Frame) error {
	answer := response(f.CallID, 10)
	if _, err := h.conn.Send(Answers, &answer, false); err != nil {
		return err
	}
	h.leave()
	return nil
}

func (h *leaving) BatchEnd() { h.ends++ }

// A handler that ends its goroutine ends the connection, in order.
func TestRunEndsWhenTheHandlerEndsItsGoroutine(t *testing.T) {
	x, y := tcpPair(t)
	defer x.Close()
	h := &leaving{leave: runtime.Goexit}
	h.conn = New(y, Options{Accepts: true})
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		h.conn.Run(h)
		t.Error("Run returned")
	}()
	f := request(1, 0)
	if _, err := x.Write(f.Append([]byte(wire.Preface))); err != nil {
		t.Fatal(err)
	}
	<-h.conn.Done()
	<-ran
	if cause := h.conn.Cause(); !errors.Is(cause, ErrClosed) {
		t.Errorf("the cause is %v", cause)
	}
	if err := h.conn.ConsistencyCheck(); err != nil {
		t.Error(err)
	}
	if _, err := y.Write([]byte{0}); err == nil {
		t.Error("the socket is open")
	}
	answer := response(1, 10)
	if got, err := io.ReadAll(x); err != nil || len(got) != answer.Size() {
		t.Errorf("%d bytes came, %v, want the answer's %d and the end", len(got), err, answer.Size())
	}
}

// A panic goes on at once: what the handler was about to do under a lock would be waited for in vain.
func TestAPanicOfTheHandlerIsNotHeld(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	f := request(1, 0)
	if _, err := x.Write(f.Append([]byte(wire.Preface))); err != nil {
		t.Fatal(err)
	}
	h := &leaving{leave: func() { panic(errBroken) }}
	h.conn = New(y, Options{Accepts: true})
	defer func() {
		if p, _ := recover().(error); !errors.Is(p, errBroken) || h.ends != 0 || h.conn.Cause() != nil {
			t.Errorf("Run panicked with %v after %d calls of BatchEnd, the cause is %v", p, h.ends, h.conn.Cause())
		}
		h.conn.Close(nil)
	}()
	h.conn.Run(h)
	t.Error("Run returned")
}
