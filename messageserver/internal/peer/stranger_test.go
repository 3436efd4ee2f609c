package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// stranger is the other end of a link, which says what a test tells it to, byte by byte.
type stranger struct {
	t     testing.TB
	name  string
	calls chan *testkit.PipeConn // nodes that dial it

	conn   *testkit.PipeConn
	in     []byte // read and not decoded
	hello  *pb.Hello
	number uint64 // of the last heartbeat heard
	beats  uint64 // said
	client *scram.Client
}

func (s *stranger) title() string { return s.name }

func (s *stranger) serve(nc net.Conn) { s.calls <- nc.(*testkit.PipeConn) }

// visit connects a stranger to a node, over which nothing has been said.
func (n *node) visit(name string) *stranger {
	here, there := testkit.Pipe(testkit.PipeOptions{})
	s := &stranger{t: n.m.t, name: name, conn: here}
	n.serve(there)
	return s
}

// visitFrom connects a stranger whose address is another one than that of everybody else.
func (n *node) visitFrom(address net.Addr) *stranger {
	here, there := testkit.Pipe(testkit.PipeOptions{})
	s := &stranger{t: n.m.t, name: "a", conn: here}
	n.serve(addressed{there, address})
	return s
}

// addressed is a connection from an address.
type addressed struct {
	*testkit.PipeConn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// visitInPieces connects a stranger of whom no read gets more than a chunk.
func (n *node) visitInPieces(chunk int) *stranger {
	here, there := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 20, Chunk: func(available int) int { return max(min(chunk, available), 1) }})
	s := &stranger{t: n.m.t, name: "a", conn: here}
	n.serve(there)
	return s
}

// stand makes a stranger listen at an address.
func (m *mesh) stand(name string) *stranger {
	s := &stranger{t: m.t, name: name, calls: make(chan *testkit.PipeConn, 100)}
	m.net.listen(name, s)
	return s
}

// pickUp takes the next connection that comes, and its preface.
func (s *stranger) pickUp() {
	s.t.Helper()
	if err := s.answerTheDoor(); err != nil {
		s.t.Fatal(err)
	}
}

// answerTheDoor is pickUp where who has dialled may have left.
func (s *stranger) answerTheDoor() error {
	s.t.Helper()
	s.in = nil
	select {
	case s.conn = <-s.calls:
	case <-time.After(time.Minute):
		s.t.Fatal("nobody dials")
	}
	preface := make([]byte, 8)
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(s.conn, preface); err != nil || string(preface) != wire.Preface {
		return fmt.Errorf("preface %q, %w", preface, err)
	}
	return nil
}

// helloOf is a HELLO that is fine for a mesh whose members are numbered in the order of the list.
func (m *mesh) helloOf(name string, edits ...func(*pb.Hello)) *pb.Hello {
	h := &pb.Hello{
		VersionMin: 1, VersionMax: 1, Mesh: "test", Node: name, BootId: []byte("0123456789abcdef"), Incarnation: 1 << 50,
	}
	for _, one := range m.list {
		if one.Node == name {
			h.Number = uint32(one.Number)
		}
	}
	for _, edit := range edits {
		edit(h)
	}
	return h
}

func frameOf(k wire.Kind, m proto.Message) wire.Frame {
	f := wire.Frame{Kind: k}
	if m != nil {
		f.Header, _ = proto.Marshal(m)
	}
	return f
}

func (s *stranger) write(b []byte) {
	s.t.Helper()
	// The node may have closed, and then it does not matter what else is said.
	_ = s.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := s.conn.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatal(err)
	}
}

func (s *stranger) send(frames ...wire.Frame) {
	s.t.Helper()
	var b []byte
	for _, f := range frames {
		b = f.Append(b)
	}
	s.write(b)
}

// next returns the next frame, or why there is none within a time.
func (s *stranger) next(within time.Duration) (wire.Frame, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(within))
	for {
		f, size, err := wire.Decode(s.in, 1<<30)
		if err == nil {
			f.Header, f.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
			s.in = s.in[size:]
			return f, nil
		}
		if !errors.Is(err, wire.ErrShort) {
			return f, err
		}
		b := make([]byte, 64<<10)
		got, err := s.conn.Read(b)
		s.in = append(s.in, b[:got]...)
		if err != nil {
			return f, err
		}
	}
}

// want returns the next frame that is not about the registry, which must be of a kind.
func (s *stranger) want(k wire.Kind) wire.Frame {
	s.t.Helper()
	f, err := s.nextBut(time.Minute)
	if err != nil {
		s.t.Fatalf("%v, want %s", err, k)
	}
	if f.Kind != k {
		s.t.Fatalf("got %s (%q), want %s", f.Kind, f.Header, k)
	}
	return f
}

// nextBut is next without the registry.
func (s *stranger) nextBut(within time.Duration) (wire.Frame, error) {
	for {
		f, err := s.next(within)
		switch f.Kind {
		case wire.KindHeartbeat:
			h := &pb.Heartbeat{}
			if proto.Unmarshal(f.Header, h) == nil {
				s.number = h.GetSequence()
			}
			continue
		case wire.KindSnapshot, wire.KindDelta, wire.KindResync:
			continue
		}
		return f, err
	}
}

// wantEnd wants the node to close.
func (s *stranger) wantEnd() {
	s.t.Helper()
	if f, err := s.nextBut(time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatalf("got %s, %v, want the end", f.Kind, err)
	}
}

func (s *stranger) wantRefuse(code wire.Code) *pb.Refuse {
	s.t.Helper()
	f := s.want(wire.KindRefuse)
	r := &pb.Refuse{}
	if err := proto.Unmarshal(f.Header, r); err != nil || wire.Code(r.GetCode()) != code {
		s.t.Fatalf("REFUSE %s (%s), %v, want %s", wire.Code(r.GetCode()), r.GetMessage(), err, code)
	}
	s.wantEnd()
	return r
}

// beat is a heartbeat of an empty registry.
func (s *stranger) beat(incarnation uint64) {
	s.t.Helper()
	s.beats++
	s.send(frameOf(wire.KindHeartbeat, &pb.Heartbeat{
		Incarnation: incarnation, Digest: make([]byte, 16), Sequence: s.beats, HeardSequence: s.number,
	}))
}

// knock says HELLO as a dialler, with the secret where there is one, and returns the node's.
func (s *stranger) knock(h *pb.Hello, secret string) {
	s.t.Helper()
	s.write([]byte(wire.Preface))
	if secret != "" {
		s.client, _ = scram.NewClient(h.GetMesh(), secret, nil)
		h.ScramClientFirst, _ = s.client.First()
	}
	s.send(frameOf(wire.KindHello, h))
	if secret != "" {
		s.prove()
	}
}

// prove answers a CHALLENGE.
func (s *stranger) prove() {
	s.t.Helper()
	s.send(s.proof())
}

func (s *stranger) proof() wire.Frame {
	s.t.Helper()
	c := &pb.Challenge{}
	if err := proto.Unmarshal(s.want(wire.KindChallenge).Header, c); err != nil {
		s.t.Fatal(err)
	}
	final, err := s.client.Final(c.GetScramServerFirst())
	if err != nil {
		s.t.Fatal(err)
	}
	return frameOf(wire.KindProof, &pb.Proof{ScramClientFinal: final})
}

// wantIn takes WELCOME and HELLO.
func (s *stranger) wantIn() {
	s.t.Helper()
	w := &pb.Welcome{}
	if err := proto.Unmarshal(s.want(wire.KindWelcome).Header, w); err != nil {
		s.t.Fatal(err)
	}
	if s.client != nil {
		if err := s.client.Verify(w.GetScramServerFinal()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.hello = &pb.Hello{}
	if err := proto.Unmarshal(s.want(wire.KindHello).Header, s.hello); err != nil {
		s.t.Fatal(err)
	}
	if err := wire.CheckHello(s.hello); err != nil {
		s.t.Fatal(err)
	}
}

// takeHello takes the HELLO of a node that dials.
func (s *stranger) takeHello() {
	s.t.Helper()
	s.hello = &pb.Hello{}
	if err := proto.Unmarshal(s.want(wire.KindHello).Header, s.hello); err != nil {
		s.t.Fatal(err)
	}
	if err := wire.CheckHello(s.hello); err != nil {
		s.t.Fatal(err)
	}
}

// challenge takes HELLO and PROOF of a node that dials, and returns the server's final message.
func (s *stranger) challenge(secret string) (server *scram.Server) {
	s.t.Helper()
	d, err := newDirectory(secret)
	if err != nil {
		s.t.Fatal(err)
	}
	server, err = scram.NewServer(d, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	first, err := server.First(s.hello.GetScramClientFirst())
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(frameOf(wire.KindChallenge, &pb.Challenge{ScramServerFirst: first}))
	return server
}

func (s *stranger) takeProof(server *scram.Server) (final []byte) {
	s.t.Helper()
	p := &pb.Proof{}
	if err := proto.Unmarshal(s.want(wire.KindProof).Header, p); err != nil {
		s.t.Fatal(err)
	}
	final, err := server.Final(p.GetScramClientFinal())
	if err != nil {
		s.t.Fatal(err)
	}
	return final
}

// leave closes and waits until the node has noticed.
func (s *stranger) leave() {
	s.conn.Close()
	synctest.Wait()
}
