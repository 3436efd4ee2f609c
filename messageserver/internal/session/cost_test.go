package session

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// stage is a connection whose other side says what it is given, once, and is never heard of again. What the node says is
// thrown away, but for the call_ids.
type stage struct {
	net.Conn // none: what is not defined here is not used

	said   []byte
	quiet  chan struct{} // closed when all is said and the node waits for more
	closed chan struct{}
	ids    chan uint64
	once   sync.Once
}

func newStage(frames ...wire.Frame) *stage {
	s := &stage{said: []byte(wire.Preface), quiet: make(chan struct{}), closed: make(chan struct{}), ids: make(chan uint64, 64)}
	for _, f := range frames {
		s.said = f.Append(s.said)
	}
	return s
}

func (s *stage) Read(b []byte) (int, error) {
	if len(s.said) == 0 {
		close(s.quiet)
		<-s.closed
		return 0, io.EOF
	}
	n := copy(b, s.said)
	s.said = s.said[n:]
	return n, nil
}

func (s *stage) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; rest = rest[4+binary.BigEndian.Uint32(rest):] {
		if kind := wire.Kind(rest[4]); kind == wire.KindRequest || kind == wire.KindResponse {
			s.ids <- binary.BigEndian.Uint64(rest[8:])
		}
	}
	return len(b), nil
}

func (s *stage) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *stage) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (s *stage) SetReadDeadline(time.Time) error  { return nil }
func (s *stage) SetWriteDeadline(time.Time) error { return nil }

// TestForwardingDoesNotAllocate counts for a request and its answer through two sessions.
func TestForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	n := quietNode(t)
	server := newStage(header(wire.KindLogin, loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move")), header(wire.KindPolicyOK, &pb.PolicyOk{}))
	web := newStage(header(wire.KindLogin, loginOf("web", "web-1", pb.Role_ROLE_CALLER)))
	for _, s := range []*stage{server, web} {
		n.serve(s)
		<-s.quiet
	}
	sessions := make(map[string]*session)
	for _, c := range n.sessions.snapshot() {
		sessions[c.login.GetModule()] = c
	}
	call := request(1, "pay.Move")
	answer := wire.Frame{Kind: wire.KindResponse, Body: []byte("answer")}
	forward := func() {
		call.CallID++
		if err := sessions["web"].Frame(&call); err != nil {
			t.Fatal(err)
		}
		sessions["web"].BatchEnd()
		answer.CallID = <-server.ids
		if err := sessions["pay"].Frame(&answer); err != nil {
			t.Fatal(err)
		}
		sessions["pay"].BatchEnd()
		if id := <-web.ids; id != call.CallID {
			t.Fatalf("the answer to %d, want %d", id, call.CallID)
		}
	}
	for range 100 {
		forward()
	}
	if allocs := testing.AllocsPerRun(2000, forward); allocs != 0 {
		t.Errorf("%v allocations for a request and its answer", allocs)
	}
	server.Close()
	web.Close()
	n.serving.Wait()
}

// quietNode is a node outside of a bubble.
func quietNode(t testing.TB) *node {
	n := &node{t: t, clock: frameconn.NewClock()}
	n.router = router.New(router.Options{Node: "a"}, n.clock.Now)
	var ids atomic.Uint64
	var err error
	n.sessions, err = New(Options{
		Node: "a", Router: n.router, Clock: n.clock, NextID: func() uint64 { return ids.Add(1) }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	n.ticking.Go(func() { n.clock.Run(ctx, n.router.Tick) })
	t.Cleanup(func() { n.stop(); n.ticking.Wait() })
	return n
}
