//go:build unix

package frameconn

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// A Shutdown while the kernel is full lets the rest follow, and then the end.
func TestShutdownAfterAPartialWrite(t *testing.T) {
	a, far := narrow(t)
	frames := several(1)
	a.queue(frames...)
	a.conn.Flush()
	a.conn.Shutdown(errBroken)
	want := len(wire.Preface)
	for _, f := range frames {
		want += f.Size()
	}
	if got, err := io.ReadAll(far); err != nil || len(got) != want {
		t.Errorf("%d bytes came, %v, want %d", len(got), err, want)
	}
	far.Close()
	a.wantCause(errBroken)
	if got := a.unsent(); len(got) != 0 {
		t.Errorf("%v are unsent", got)
	}
}

// Who flushes does not wait, but who does not read is closed all the same.
func TestASlowReaderOverTCPEndsTheConnection(t *testing.T) {
	x, far := narrowPair(t)
	defer far.Close()
	const timeout = 10 * time.Millisecond
	a := newSide(t, x, Options{WriteTimeout: timeout}).run()
	a.queue(several(1)...)
	start := time.Now()
	a.conn.Flush()
	a.wantCause(ErrSlow)
	if took := time.Since(start); took < timeout {
		t.Errorf("it was closed after %v, want %v at least", took, timeout)
	}
	if got := a.unsent(); len(got) == 0 || len(got) == 100 {
		t.Errorf("%d are unsent, want some and not all", len(got))
	}
}

// Close, Shutdown and the far end's close meet writers on many goroutines: all end, and nothing is written after the end.
func TestEndsWhileOthersWriteDirectly(t *testing.T) {
	for i := range 60 {
		x, far := narrowPair(t)
		a := newSide(t, x, Options{}).run()
		begun, done := make(chan struct{}, 4), make(chan struct{})
		for sender := range uint64(4) {
			go func() {
				defer func() { done <- struct{}{} }()
				for n := uint64(1); ; n++ {
					f := request(sender<<32|n, 500)
					wake, err := a.conn.Send(Requests, &f, false)
					if wake {
						a.conn.Flush()
					}
					if err != nil && !errors.Is(err, ErrFull) {
						return
					}
					if n == 10 {
						begun <- struct{}{}
					}
				}
			}()
		}
		for range 4 {
			<-begun
		}
		switch i % 3 {
		case 0:
			a.conn.Close(nil)
		case 1:
			a.conn.Shutdown(nil)
			if _, err := io.Copy(io.Discard, far); err != nil {
				t.Error(err)
			}
		default:
		}
		far.Close()
		<-a.ran
		for range 4 {
			<-done
		}
		a.wantConsistent()
	}
}
