package caller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is the nodes that a client under test may dial, by address.
type mesh struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[string]*node
	dials []string
}

// story runs a test with a mesh, on virtual time.
func story(t *testing.T, tell func(t *testing.T, m *mesh)) {
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{t: t, nodes: map[string]*node{}}
		tell(t, m)
	})
}

func (m *mesh) dial(_ context.Context, address string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dials = append(m.dials, address)
	n := m.nodes[address]
	switch {
	case n == nil:
		return nil, errors.New("no route to host")
	case n.down:
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	ours, theirs := testkit.Pipe(testkit.PipeOptions{})
	p := &peer{
		node: n, near: ours, number: uint64(len(n.peers) + 1), gone: make(chan struct{}),
		requests: make(chan wire.Frame, 4096), cancels: make(chan wire.Frame, 4096), control: make(chan wire.Frame, 256),
	}
	p.conn = frameconn.New(theirs, frameconn.Options{Accepts: true})
	n.peers = append(n.peers, p)
	go func() {
		p.cause = p.conn.Run(p)
		close(p.gone)
	}()
	return ours, nil
}

// node is a node with a script.
type node struct {
	mesh    *mesh
	name    string
	address string
	opened  chan *peer // sessions that got a WELCOME

	// Guarded by mesh.mu.
	down   bool
	refuse *pb.Refuse
	peers  []*peer

	// Static once dialed.
	directory *scram.Directory
	forged    bool // the WELCOME proves nothing
	limits    *pb.Limits
	knows     []*pb.Node
	policy    bool
	answer    func(p *peer, f *wire.Frame) // on the reader; nil: requests wait in peer.requests
}

func (m *mesh) node(name, address string) *node {
	n := &node{mesh: m, name: name, address: address, opened: make(chan *peer, 256)}
	m.mu.Lock()
	m.nodes[address] = n
	m.mu.Unlock()
	return n
}

// set changes what the node does with logins.
func (n *node) set(change func()) {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	change()
}

// peer is the node's end of a session.
type peer struct {
	node     *node
	near     *testkit.PipeConn // the client's end
	conn     *frameconn.Conn
	number   uint64
	login    *pb.Login
	exchange *scram.Server
	requests chan wire.Frame
	cancels  chan wire.Frame
	control  chan wire.Frame
	gone     chan struct{}
	cause    error // after gone
}

func (p *peer) Frame(f *wire.Frame) error {
	kept := *f
	kept.Header, kept.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
	switch f.Kind {
	case wire.KindLogin:
		p.login = &pb.Login{}
		if err := proto.Unmarshal(f.Header, p.login); err != nil {
			return err
		}
		return p.letIn()
	case wire.KindProof:
		var proof pb.Proof
		if err := proto.Unmarshal(f.Header, &proof); err != nil {
			return err
		}
		final, err := p.exchange.Final(proof.GetScramClientFinal())
		if err != nil {
			return p.refuse(&pb.Refuse{Code: uint32(wire.Unauthenticated), Message: "wrong secret"})
		}
		p.welcome(final)
	case wire.KindRequest:
		var r wire.Request
		if err := r.Walk(f.Header, wire.ByModule); err != nil {
			return err
		}
		if err := r.Check(f); err != nil {
			return err
		}
		if p.node.answer != nil {
			p.node.answer(p, &kept)
			return nil
		}
		p.requests <- kept
	case wire.KindCancel:
		p.cancels <- kept
	default:
		p.control <- kept
	}
	return nil
}

func (p *peer) letIn() error {
	n := p.node
	n.mesh.mu.Lock()
	refuse := n.refuse
	n.mesh.mu.Unlock()
	if refuse != nil {
		return p.refuse(refuse)
	}
	if n.directory == nil {
		p.welcome(nil)
		return nil
	}
	exchange, err := scram.NewServer(n.directory, "", nil)
	if err != nil {
		return err
	}
	p.exchange = exchange
	first, err := exchange.First(p.login.GetScramClientFirst())
	if err != nil {
		return p.refuse(&pb.Refuse{Code: uint32(wire.Unauthenticated), Message: err.Error()})
	}
	p.tell(wire.KindChallenge, &pb.Challenge{ScramServerFirst: first})
	return nil
}

var errRefused = errors.New("refused")

func (p *peer) refuse(r *pb.Refuse) error {
	p.tell(wire.KindRefuse, r)
	p.conn.Shutdown(errRefused)
	return nil
}

func (p *peer) welcome(final []byte) {
	n := p.node
	if n.forged {
		final = nil
	}
	stamp := p.login.GetStamp()
	if stamp == nil {
		stamp = &pb.Stamp{N: 7, Node: n.name}
	}
	p.tell(wire.KindWelcome, &pb.Welcome{
		Version: 1, ScramServerFinal: final, Node: n.name, Mesh: "test", Session: p.number<<8 | uint64(n.name[0]),
		Stamp: stamp, Limits: n.limits, Nodes: n.knows,
	})
	if n.policy && p.login.GetRole() != pb.Role_ROLE_CALLER {
		p.tell(wire.KindPolicy, &pb.Policy{Epoch: 1, Version: p.number})
	}
	select {
	case n.opened <- p:
	default: // a test of very many sessions, which looks at none
	}
}

func (p *peer) BatchEnd()    {}
func (p *peer) Spent(uint64) {}
func (p *peer) Farewell(cause *wire.Error) wire.Frame {
	return wire.Frame{Kind: wire.KindGoaway, Header: marshal(&pb.Goaway{Code: uint32(cause.Code), Message: cause.Reason})}
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func (p *peer) send(l frameconn.Lane, f *wire.Frame) {
	if wake, _ := p.conn.Send(l, f, false); wake {
		p.conn.Flush()
	}
}

func (p *peer) tell(kind wire.Kind, m proto.Message) {
	p.send(frameconn.Control, &wire.Frame{Kind: kind, Header: marshal(m)})
}

// reply answers a request.
func (p *peer) reply(f *wire.Frame, status wire.Code, h *pb.ResponseHeader, body string) {
	answer := wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, RPCID: 77, Status: status, Body: []byte(body)}
	if h != nil {
		answer.Header = marshal(h)
	}
	p.send(frameconn.Answers, &answer)
}

func (p *peer) goaway(code wire.Code, try ...*pb.Node) {
	p.tell(wire.KindGoaway, &pb.Goaway{Code: uint32(code), Message: "leave", Try: try})
}

// kill breaks the connection.
func (p *peer) kill() { p.conn.Close(errors.New("killed")) }

// echo answers every request with its own body.
func echo(p *peer, f *wire.Frame) { p.reply(f, wire.OK, nil, string(f.Body)) }

// client returns a started client of the addresses.
func (m *mesh) client(addresses string, change ...func(*Options)) *Client {
	m.t.Helper()
	opts := Options{
		Addresses: []string{addresses}, Dial: m.dial, Logger: slog.New(slog.DiscardHandler),
		Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER},
	}
	for _, c := range change {
		c(&opts)
	}
	c, err := New(opts)
	if err != nil {
		m.t.Fatal(err)
	}
	c.Start()
	m.t.Cleanup(func() { wantConsistent(m.t, c) })
	m.t.Cleanup(c.Close)
	return c
}

func wantConsistent(t *testing.T, c *Client) {
	t.Helper()
	if err := c.ConsistencyCheck(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("after Close %d calls are in flight and %d wait", s.InFlight, s.Waiting)
	}
}

// ask is a call that somebody waits for in the background.
type ask struct {
	body []byte
	err  error
	done chan struct{}
}

func (c *Client) ask(ctx context.Context, body string, opts ...CallOption) *ask {
	a := &ask{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = c.Call(ctx, "shop.Buy", []byte(body), &a.body, opts...)
	}()
	return a
}

// wantError waits for the call's end and wants this class and code.
func (a *ask) wantError(t *testing.T, class Class, code Code) *Error {
	t.Helper()
	<-a.done
	return wantError(t, a.err, class, code)
}

func wantError(t *testing.T, err error, class Class, code Code) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %v %v", err, class, code)
	}
	if e.Class != class || e.Code != code {
		t.Fatalf("got %v, want %v %v", err, class, code)
	}
	return e
}

func (a *ask) wantReply(t *testing.T, body string) {
	t.Helper()
	<-a.done
	if a.err != nil || string(a.body) != body {
		t.Fatalf("got %q, %v, want %q", a.body, a.err, body)
	}
}
