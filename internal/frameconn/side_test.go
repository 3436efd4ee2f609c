package frameconn

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side is one end of a connection under test: a Handler that keeps what it gets.
type side struct {
	t    *testing.T
	conn *Conn
	// onFrame is called with every message, before it is kept. Set before run.
	onFrame func(f *wire.Frame) error
	ran     chan struct{} // closed when Run has returned

	mu      sync.Mutex
	changed sync.Cond
	frames  []wire.Frame
	spent   []uint64
	batches int
	over    bool
	cause   error
	bye     wire.Frame
}

// newSide wraps nc. Its Run starts with run.
func newSide(t *testing.T, nc net.Conn, opts Options) *side {
	t.Helper()
	s := &side{
		t: t, conn: New(nc, opts), ran: make(chan struct{}),
		bye: wire.Frame{Kind: wire.KindGoaway, Header: []byte("bye")},
	}
	s.changed.L = &s.mu
	return s
}

func (s *side) run() *side {
	go func() {
		cause := s.conn.Run(s)
		s.mu.Lock()
		s.over, s.cause = true, cause
		s.changed.Broadcast()
		s.mu.Unlock()
		close(s.ran)
	}()
	s.t.Cleanup(func() {
		s.conn.Close(nil)
		<-s.ran
		s.wantConsistent()
	})
	return s
}

// pair returns two running sides of a connection in memory.
func pair(t *testing.T, pipe testkit.PipeOptions, here, there Options) (a, b *side) {
	t.Helper()
	x, y := testkit.Pipe(pipe)
	there.Accepts = true
	return newSide(t, x, here).run(), newSide(t, y, there).run()
}

func (s *side) Frame(f *wire.Frame) error {
	kept := *f
	kept.Header, kept.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
	if s.onFrame != nil {
		if err := s.onFrame(&kept); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, kept)
	s.changed.Broadcast()
	return nil
}

func (s *side) BatchEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
}

func (s *side) Spent(callID uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent = append(s.spent, callID)
}

func (s *side) Farewell(cause *wire.Error) wire.Frame {
	bye := s.bye
	bye.Body = []byte(cause.Reason)
	return bye
}

// send queues a frame in the lane of its kind and flushes.
func (s *side) send(frames ...wire.Frame) {
	s.t.Helper()
	for _, f := range frames {
		wake, err := s.conn.Send(laneOf(f.Kind), &f, false)
		if err != nil {
			s.t.Fatalf("Send(%s): %v", f.Kind, err)
		}
		if wake {
			s.conn.Flush()
		}
	}
}

func laneOf(k wire.Kind) Lane {
	switch k {
	case wire.KindResponse:
		return Answers
	case wire.KindRequest, wire.KindCancel:
		return Requests
	default:
		return Control
	}
}

// wantFrames waits for n messages and returns and forgets them.
func (s *side) wantFrames(n int) []wire.Frame {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.frames) < n && !s.over {
		s.changed.Wait()
	}
	if len(s.frames) < n {
		s.t.Fatalf("the connection ended with %v after %d messages, want %d", s.cause, len(s.frames), n)
	}
	got := s.frames[:n]
	s.frames = s.frames[n:]
	return got
}

// wantSame waits for the messages and compares them.
func (s *side) wantSame(want ...wire.Frame) {
	s.t.Helper()
	for i, got := range s.wantFrames(len(want)) {
		if !sameFrame(got, want[i]) {
			s.t.Fatalf("message %d is %s, want %s", i, describe(got), describe(want[i]))
		}
	}
}

// wantCause waits for Run's end.
func (s *side) wantCause(want error) {
	s.t.Helper()
	<-s.ran
	if !errors.Is(s.cause, want) || !errors.Is(s.conn.Cause(), want) {
		s.t.Fatalf("Run returned %v and the cause is %v, want %v", s.cause, s.conn.Cause(), want)
	}
}

// wantBreach waits for Run's end with a breach of the protocol.
func (s *side) wantBreach(code wire.Code) *wire.Error {
	s.t.Helper()
	<-s.ran
	breach, ok := errors.AsType[*wire.Error](s.cause)
	if !ok || breach.Code != code {
		s.t.Fatalf("Run returned %v, want %s", s.cause, code)
	}
	return breach
}

func (s *side) wantConsistent() {
	s.t.Helper()
	if err := s.conn.ConsistencyCheck(); err != nil {
		s.t.Error(err)
	}
}

func (s *side) unsent() []uint64 {
	<-s.ran
	var ids []uint64
	s.conn.EachUnsent(func(id uint64) { ids = append(ids, id) })
	slices.Sort(ids)
	return ids
}

func (s *side) spentIDs() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.spent)
}

func sameFrame(a, b wire.Frame) bool {
	return bytes.Equal(a.Append(nil), b.Append(nil))
}

func describe(f wire.Frame) string {
	return f.Kind.String() + " with " + itoa(int(f.CallID)) + ", header " + itoa(len(f.Header)) + " and body " + itoa(len(f.Body))
}

// request has a body of n bytes that tells where in it one is.
func request(id uint64, n int) wire.Frame {
	return wire.Frame{Kind: wire.KindRequest, CallID: id, RPCID: id * 7, Attempt: 1, Hops: 1, Header: []byte("header"), Body: pattern(n)}
}

func response(id uint64, n int) wire.Frame {
	return wire.Frame{Kind: wire.KindResponse, CallID: id, Status: wire.AppError, Body: pattern(n)}
}

func control(k wire.Kind) wire.Frame { return wire.Frame{Kind: k, Header: []byte(k.String())} }

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}
