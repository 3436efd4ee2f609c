package peer

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
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

// quiet is a node outside of a bubble, with an open link to a stage that plays a; nothing is said on it but by the test.
func quiet(t testing.TB) (n *node, l *link, s *stage) {
	m := newMesh(t, "a b")
	n = &node{m: m, name: "b", clock: frameconn.NewClock()}
	n.router = router.New(router.Options{Node: "b"}, n.clock.Now)
	incarnation, err := OpenIncarnation("", time.Now())
	if err == nil {
		n.peers, err = New(Options{
			Node: "b", Number: 2, Mesh: "test", Members: m.list, Incarnation: incarnation, Router: n.router, Clock: n.clock,
			Log: slog.New(slog.DiscardHandler),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s = newStage(frameOf(wire.KindHello, m.helloOf("a", func(h *pb.Hello) { h.Incarnation = 1 })))
	n.serve(s)
	<-s.quiet
	t.Cleanup(func() {
		s.Close()
		n.serving.Wait()
	})
	return n, memberOf(n, "a").link, s
}

// asker makes one call after the other, of which nothing is kept.
type asker struct {
	n      *node
	caller *router.Caller
	stamp  []byte
	frame  wire.Frame
	batch  router.Batch
	code   wire.Code
	size   int
}

func (n *node) asker() *asker {
	r := wire.Request{Module: []byte("pay"), Method: []byte("Move")}
	return &asker{
		n: n, caller: n.router.OpenCaller("web"), stamp: wire.AppendInvoker(nil, "web", "web-1", "10.0.0.1", n.name, 99),
		frame: wire.Frame{Kind: wire.KindRequest, CallID: 1, Header: r.Append(nil), Body: []byte("question")},
	}
}

// Answer implements router.Origin.
func (a *asker) Answer(_ *router.Batch, _ *router.Call, answer *router.Answer) {
	a.code, a.size = answer.Code, len(answer.Body)
}

func (a *asker) ask() error {
	c := a.n.router.Call()
	c.Origin, c.ID, c.Caller, c.Stamp = a, 1, a.caller, a.stamp
	c.Arrived, c.Budget = a.n.clock.Now(), 10*time.Second
	if err := c.Keep(&a.frame); err != nil {
		return err
	}
	a.batch.Now, a.code = a.n.clock.Now(), 9999
	a.n.router.Submit(&a.batch, c, 0)
	a.batch.Flush()
	return nil
}

// registration is of an instance of pay.
func registration(session uint64, node string) *router.Registration {
	return &router.Registration{
		Session: session, Module: "pay", Instance: "pay-1", UUID: "u1", Stamp: router.Stamp{N: 1, Node: node},
		Methods: router.NewMethods(map[string]router.Contract{"Move": {}}),
	}
}

// forwarding returns a function that takes a call of b to a, and the answer back.
func forwarding(t testing.TB) func() {
	n, l, s := quiet(t)
	n.router.Announce("a", []router.Change{{Session: 5, Registration: registration(5, "a")}})
	n.router.Connect("a", l)
	asker := n.asker()
	answer := wire.Frame{Kind: wire.KindResponse, Hops: 1, Body: []byte("answer")}
	return func() {
		if err := asker.ask(); err != nil {
			t.Fatal(err)
		}
		answer.CallID = <-s.ids
		if err := l.Frame(&answer); err != nil {
			t.Fatal(err)
		}
		l.BatchEnd()
		if asker.code != wire.OK || asker.size != len(answer.Body) {
			t.Fatalf("answered %s with %d bytes", asker.code, asker.size)
		}
	}
}

// counter is a session that remembers the last attempt only.
type counter struct {
	slots router.Slots
	last  uint64
}

func (c *counter) Send(_ *router.Batch, f *wire.Frame, _ bool) error { c.last = f.CallID; return nil }
func (c *counter) Cancel(*router.Batch, uint64, wire.Code) bool      { return false }
func (c *counter) Slots() *router.Slots                              { return &c.slots }
func (c *counter) Replace()                                          {}

// taking returns a function that takes a call of a to a session of b, and the answer back.
func taking(t testing.TB) func() {
	n, l, s := quiet(t)
	session := &counter{}
	n.router.Register(registration(5, "b"), session)
	r := wire.Request{Module: []byte("pay"), Method: []byte("Move")}
	header := wire.AppendCallStamp(wire.AppendInvoker(r.Append(nil), "web", "web-1", "10.0.0.1", "a", 99), 1, 1, 5)
	request := wire.Frame{Kind: wire.KindRequest, CallID: 1, Hops: 1, BudgetMS: 10_000, Header: header, Body: []byte("question")}
	var batch router.Batch
	body := []byte("answer")
	return func() {
		request.CallID++
		if err := l.Frame(&request); err != nil {
			t.Fatal(err)
		}
		l.BatchEnd()
		ticket, ok := session.slots.Release(session.last)
		if !ok {
			t.Fatal("the request did not come to the session")
		}
		batch.Now = n.clock.Now()
		n.router.End(&batch, ticket, &router.End{Code: wire.OK, Hops: 1, Body: body})
		batch.Flush()
		if id := <-s.ids; id != request.CallID {
			t.Fatalf("the answer to %d, want %d", id, request.CallID)
		}
	}
}

// TestCrossingDoesNotAllocate counts for a request and its answer, at the ingress and at the node that has the session.
func TestCrossingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	for name, cross := range map[string]func(testing.TB) func(){"ingress": forwarding, "owner": taking} {
		t.Run(name, func(t *testing.T) {
			forward := cross(t)
			for range 1000 {
				forward()
			}
			if allocs := testing.AllocsPerRun(5000, forward); allocs != 0 {
				t.Errorf("%v allocations for a request and its answer", allocs)
			}
		})
	}
}

func BenchmarkIngress(b *testing.B) { benchmarkCrossing(b, forwarding(b)) }
func BenchmarkOwner(b *testing.B)   { benchmarkCrossing(b, taking(b)) }

// benchmarkCrossing says what one node does for one call that crosses, but for reading and writing.
func benchmarkCrossing(b *testing.B, forward func()) {
	b.ReportAllocs()
	for b.Loop() {
		forward()
	}
}
