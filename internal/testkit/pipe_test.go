package testkit

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPipeCarriesBytes(t *testing.T) {
	chunks := map[string]func(int) int{
		"as they come": nil,
		"one by one":   func(int) int { return 1 },
		"half":         func(n int) int { return n / 2 },
		"too many":     func(n int) int { return n + 1 },
	}
	for name, chunk := range chunks {
		t.Run(name, func(t *testing.T) {
			a, b := Pipe(PipeOptions{Buffer: 100, Chunk: chunk})
			sent := bytes.Repeat([]byte("0123456789abc"), 300)
			for _, ends := range [][2]*PipeConn{{a, b}, {b, a}} {
				go func() {
					ends[0].Write(sent)
					ends[0].CloseWrite()
				}()
				got, err := io.ReadAll(ends[1])
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes came, %v", len(got), err)
				}
			}
		})
	}
}

func TestPipeWritesBlockWhenTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(PipeOptions{Buffer: 10})
		if n, err := a.Write(make([]byte, 10)); n != 10 || err != nil {
			t.Fatal(n, err)
		}
		var wrote int
		go func() { wrote, _ = a.Write(make([]byte, 5)) }()
		synctest.Wait()
		if wrote != 0 || a.Buffered() != 10 {
			t.Error("a write into a full buffer has returned")
		}
		b.Read(make([]byte, 4))
		synctest.Wait()
		if wrote != 0 || a.Buffered() != 10 {
			t.Errorf("%d bytes are buffered, want 10 and one left to write", a.Buffered())
		}
		b.Read(make([]byte, 1))
		synctest.Wait()
		if wrote != 5 {
			t.Error("the write has not returned")
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(PipeOptions{Buffer: 10})
		start := time.Now()
		a.SetDeadline(start.Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		if n, err := a.Write(make([]byte, 11)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the deadline: %d, %v", n, err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write(make([]byte, 11)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %d, %v", n, err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v, want 2 s", took)
		}
		var timeout net.Error
		if _, err := a.Read(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		a.SetDeadline(time.Time{})
		b.Write([]byte("x"))
		if n, err := a.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read without a deadline: %d, %v", n, err)
		}
		// Moving a deadline reaches a read that waits.
		done := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		a.SetReadDeadline(time.Now())
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
	})
}

func TestPipeClose(t *testing.T) {
	a, b := Pipe(PipeOptions{})
	a.Write([]byte("last words"))
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "last words" || err != nil {
		t.Errorf("%q was read, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write to who has closed: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if err := a.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if err := a.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetDeadline after Close: %v", err)
	}
}

func TestPipeCloseWakesBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(PipeOptions{Buffer: 1})
		a.Write([]byte("x"))
		ends := make(chan error)
		go func() { _, err := a.Read(make([]byte, 1)); ends <- err }()
		go func() { _, err := a.Write(make([]byte, 1)); ends <- err }()
		synctest.Wait()
		a.Close()
		for range 2 {
			if err := <-ends; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v, want closed", err)
			}
		}
		b.Read(make([]byte, 1))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("Read: %v", err)
		}
	})
}

func TestPipeCloseWithUnreadInputIsAReset(t *testing.T) {
	a, b := Pipe(PipeOptions{})
	b.Write([]byte("unread"))
	a.Write([]byte("answer"))
	a.Close()
	got := make([]byte, 10)
	if n, err := b.Read(got); string(got[:n]) != "answer" || err != nil {
		t.Errorf("%q was read, %v", got[:n], err)
	}
	if _, err := b.Read(got); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("then %v, want a reset", err)
	}
}

func TestPipeFailsAfterSomeBytes(t *testing.T) {
	broken := errors.New("broken")
	a, b := Pipe(PipeOptions{})
	a.FailWriteAfter(7, broken)
	if n, err := a.Write([]byte("abc")); n != 3 || err != nil {
		t.Error(n, err)
	}
	if n, err := a.Write([]byte("defghi")); n != 4 || !errors.Is(err, broken) {
		t.Error(n, err)
	}
	if n, err := a.Write([]byte("j")); n != 0 || !errors.Is(err, broken) {
		t.Error(n, err)
	}
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "abcdefg" || err != nil {
		t.Errorf("%q was read, %v", got, err)
	}
}

func TestPipeHasNames(t *testing.T) {
	a, b := Pipe(PipeOptions{})
	if a.LocalAddr() != b.RemoteAddr() || b.LocalAddr() != a.RemoteAddr() || a.LocalAddr() == b.LocalAddr() {
		t.Error("the ends do not name each other")
	}
	if a.LocalAddr().Network() != "pipe" || a.LocalAddr().String() != "a" {
		t.Errorf("the first end is %s %s", a.LocalAddr().Network(), a.LocalAddr())
	}
}
