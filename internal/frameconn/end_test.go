package frameconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestShutdownDeliversWhatIsQueued(t *testing.T) {
	gone := errors.New("gone")
	for n := range uint64(50) {
		a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
		var want []wire.Frame
		for id := range n {
			want = append(want, request(id+1, 1000))
		}
		a.send(want...)
		a.conn.Shutdown(gone)
		b.wantSame(want...)
		b.wantCause(io.EOF)
		a.wantCause(gone)
		if got := a.unsent(); len(got) != 0 {
			t.Fatalf("%v are unsent", got)
		}
	}
}

// Who was told to flush need not: Shutdown starts the writer.
func TestShutdownWithoutFlush(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
	f := control(wire.KindGoaway)
	a.conn.Send(Control, &f, false)
	a.conn.Shutdown(nil)
	a.conn.Flush()
	b.wantSame(f)
	b.wantCause(io.EOF)
	a.wantCause(ErrClosed)
}

func TestShutdownBeforeRun(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	a, b := newSide(t, x, Options{}), newSide(t, y, Options{Accepts: true}).run()
	f := control(wire.KindRefuse)
	a.conn.Send(Control, &f, false)
	a.conn.Shutdown(nil)
	a.run()
	b.wantSame(f)
	b.wantCause(io.EOF)
	a.wantCause(ErrClosed)
}

func TestNothingIsTakenAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := stuck(t, Options{})
		a.conn.Shutdown(io.ErrNoProgress)
		a.conn.Shutdown(nil)
		f := request(2, 1)
		if wake, err := a.conn.Send(Requests, &f, false); wake || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("Send: %t, %v", wake, err)
		}
		if takenBack, wake := a.conn.Cancel(2, wire.Timeout); takenBack || wake {
			t.Error("Cancel does something")
		}
		<-a.conn.Done()
		start := time.Now()
		a.wantCause(io.ErrNoProgress)
		if took := time.Since(start); took != lingerTime {
			t.Errorf("the flush gave up after %v, want %v", took, lingerTime)
		}
		if got := a.unsent(); len(got) != 1 || got[0] != stuckID {
			t.Errorf("%v are unsent, want the one that was stuck", got)
		}
	})
}

// The other side reads but does not close.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		a := newSide(t, x, Options{}).run()
		go io.Copy(io.Discard, y)
		start := time.Now()
		a.conn.Shutdown(nil)
		a.wantCause(ErrClosed)
		if took := time.Since(start); took != lingerTime {
			t.Errorf("it took %v, want %v", took, lingerTime)
		}
		y.Close()
	})
}

// The other side has said its last word before ours is written.
func TestFarewellAfterTheOtherSideEnded(t *testing.T) {
	for range 200 {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		s := newSide(t, y, Options{Accepts: true}).run()
		x.Write(append([]byte(wire.Preface), 0, 0, 0, 1))
		x.CloseWrite()
		s.wantBreach(wire.BadRequest)
		got, err := io.ReadAll(x)
		if f, _, decodeErr := wire.Decode(got, wire.MaxFrame); err != nil || decodeErr != nil || f.Kind != wire.KindGoaway {
			t.Fatalf("%x was read, %v, want the farewell", got, err)
		}
	}
}

// Unread input would reset the connection, and with it what was written last.
func TestFarewellReachesWhoKeepsSending(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	s := newSide(t, y, Options{Accepts: true}).run()
	x.Write(append([]byte(wire.Preface), 0, 0, 0, 1))
	x.Write(make([]byte, 500<<10))
	got := make([]byte, 1<<10)
	n, err := x.Read(got)
	if f, _, decodeErr := wire.Decode(got[:n], wire.MaxFrame); err != nil || decodeErr != nil || f.Kind != wire.KindGoaway {
		t.Fatalf("%x was read, %v, want the farewell", got[:n], err)
	}
	if _, err := x.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want the end", err)
	}
	x.Close()
	s.wantBreach(wire.BadRequest)
}

func TestNoFarewellOfKindZero(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	s := newSide(t, y, Options{Accepts: true})
	s.bye = wire.Frame{}
	s.run()
	x.Write(append([]byte(wire.Preface), 0, 0, 0, 1))
	x.CloseWrite()
	s.wantBreach(wire.BadRequest)
	if got, _ := io.ReadAll(x); len(got) != 0 {
		t.Errorf("%x was written", got)
	}
}

func TestCauseIsSetOnce(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	ends := []func(*Conn, error){(*Conn).Close, (*Conn).Shutdown}
	for _, end := range ends {
		for _, again := range ends {
			a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{})
			if a.conn.Cause() != nil {
				t.Error("an open connection has a cause")
			}
			end(a.conn, first)
			again(a.conn, second)
			a.wantCause(first)
			b.wantCause(io.EOF)
		}
	}
}

func TestCloseFromEverywhere(t *testing.T) {
	for range 30 {
		a, b := pair(t, testkit.PipeOptions{}, Options{Heartbeat: time.Hour}, Options{})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					f := request(uint64(i), 100)
					if wake, err := a.conn.Send(Requests, &f, false); err == nil && wake {
						a.conn.Flush()
					}
				}
				switch i % 3 {
				case 0:
					a.conn.Close(nil)
				case 1:
					a.conn.Shutdown(nil)
				default:
					b.conn.Close(nil)
				}
			})
		}
		all.Wait()
		<-a.ran
		<-b.ran
		select {
		case <-a.conn.Done():
		default:
			t.Fatal("Run has returned and Done is not closed")
		}
	}
}

func TestCloseBeforeRun(t *testing.T) {
	x, _ := testkit.Pipe(testkit.PipeOptions{})
	a := newSide(t, x, Options{Heartbeat: time.Second})
	f := request(1, 1)
	a.conn.Send(Requests, &f, false)
	a.conn.Close(errBroken)
	a.run()
	a.wantCause(errBroken)
	if got := a.unsent(); len(got) != 1 {
		t.Errorf("%v are unsent, want the one that was queued", got)
	}
	if a.conn.pulse != nil {
		t.Error("the keepalive was started")
	}
}

// Someone was told to flush and never does: Run returns all the same.
func TestRunDoesNotWaitForAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, testkit.PipeOptions{}, Options{}, Options{})
		synctest.Wait()
		f := request(1, 1)
		if wake, _ := a.conn.Send(Requests, &f, false); !wake {
			t.Fatal("nobody is told to flush")
		}
		a.wantConsistent()
		a.conn.Close(nil)
		a.wantCause(ErrClosed)
		a.conn.Flush()
		if got := a.unsent(); len(got) != 1 {
			t.Errorf("%v are unsent, want 1", got)
		}
	})
}

func TestStartAndStop(t *testing.T) {
	for i := range 200 {
		x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 100})
		a := newSide(t, x, Options{Heartbeat: time.Millisecond, Dead: time.Minute})
		b := newSide(t, y, Options{Accepts: true, PauseReading: true, Queue: 1000})
		b.onFrame = func(f *wire.Frame) error {
			answer := response(f.CallID, 10)
			if wake, _ := b.conn.Send(Answers, &answer, false); wake {
				b.conn.Flush()
			}
			return nil
		}
		a.run()
		b.run()
		var senders sync.WaitGroup
		for id := range uint64(4) {
			senders.Go(func() {
				for n := range uint64(i % 17) {
					f := request(id<<32|n, int(n)*10)
					if wake, err := a.conn.Send(Requests, &f, false); err == nil && wake {
						a.conn.Flush()
					}
					if _, wake := a.conn.Cancel(id<<32|n, wire.Cancelled); wake {
						a.conn.Flush()
					}
				}
			})
		}
		if i%2 == 0 {
			senders.Wait()
		}
		switch i % 3 {
		case 0:
			a.conn.Close(nil)
		case 1:
			b.conn.Shutdown(nil)
		case 2:
			y.Close()
		}
		senders.Wait()
		<-a.ran
		<-b.ran
	}
}

// Over TLS, too, Shutdown delivers and Close waits for nobody.
func TestEndsOverTLS(t *testing.T) {
	config := serverConfig(t)
	tlsPair := func(t *testing.T) (a, b *side) {
		t.Helper()
		x, y := tcpPair(t)
		return newSide(t, tls.Client(x, &tls.Config{InsecureSkipVerify: true}), Options{}).run(),
			newSide(t, tls.Server(y, config), Options{Accepts: true}).run()
	}
	t.Run("Shutdown", func(t *testing.T) {
		a, b := tlsPair(t)
		roundTrip(a, b, true)
		roundTrip(b, a, true)
		f := control(wire.KindGoaway)
		a.send(f)
		a.conn.Shutdown(nil)
		b.wantSame(f)
		b.wantCause(io.EOF)
		a.wantCause(ErrClosed)
	})
	t.Run("Close", func(t *testing.T) {
		a, b := tlsPair(t)
		a.send(request(1, 1))
		b.wantFrames(1)
		a.conn.Close(nil)
		a.wantCause(ErrClosed)
		<-b.ran
	})
}

// layered is like TLS: its own Close says goodbye first, which can take a while.
type layered struct {
	*testkit.PipeConn
	t *testing.T
}

func (l layered) NetConn() net.Conn { return l.PipeConn }

func (l layered) Close() error {
	l.t.Error("Close says goodbye")
	return nil
}

func TestCloseSaysNoGoodbye(t *testing.T) {
	x, y := testkit.Pipe(testkit.PipeOptions{})
	a := newSide(t, layered{x, t}, Options{}).run()
	b := newSide(t, y, Options{Accepts: true}).run()
	a.conn.Close(nil)
	a.wantCause(ErrClosed)
	b.wantCause(io.EOF)
}

func serverConfig(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
