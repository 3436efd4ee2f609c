package rpcserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node with a script, for one server under test.
type node struct {
	t      *testing.T
	name   string // default alpha
	knows  []*pb.Node
	opened chan *link // sessions whose policy is in force

	mu     sync.Mutex
	down   bool
	refuse *pb.Refuse
	links  int
}

// link is the node's end of a session.
type link struct {
	node    *node
	near    *testkit.PipeConn
	conn    *frameconn.Conn
	number  uint64
	login   *pb.Login
	control chan wire.Frame
	gone    chan struct{}
	limits  *pb.Limits

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan *wire.Frame
	calls   chan wire.Frame // that the server makes
	stray   int             // answers that nobody waits for
}

func (n *node) dial(context.Context, string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, errors.New("connection refused")
	}
	near, far := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 20})
	n.links++
	l := &link{
		node: n, near: near, number: uint64(n.links), control: make(chan wire.Frame, 64), gone: make(chan struct{}),
		waiting: map[uint64]chan *wire.Frame{}, calls: make(chan wire.Frame, 64),
	}
	l.conn = frameconn.New(far, frameconn.Options{Accepts: true, MaxMessage: 17 << 20})
	go func() {
		l.conn.Run(l)
		close(l.gone)
	}()
	return near, nil
}

func (l *link) Frame(f *wire.Frame) error {
	kept := *f
	kept.Header, kept.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
	switch f.Kind {
	case wire.KindLogin:
		l.login = &pb.Login{}
		if err := proto.Unmarshal(f.Header, l.login); err != nil {
			return err
		}
		l.node.mu.Lock()
		refuse := l.node.refuse
		l.node.mu.Unlock()
		if refuse != nil {
			l.tell(wire.KindRefuse, refuse)
			l.conn.Shutdown(errors.New("refused"))
			return nil
		}
		l.tell(wire.KindWelcome, &pb.Welcome{
			Version: 1, Node: cmp.Or(l.node.name, "alpha"), Session: l.number, Stamp: &pb.Stamp{N: 1, Node: "alpha"}, Limits: l.limits,
			Nodes: l.node.knows,
		})
		l.tell(wire.KindPolicy, &pb.Policy{Epoch: 1, Version: l.number})
	case wire.KindPolicyOK:
		l.node.opened <- l
	case wire.KindResponse:
		if err := f.CheckPrefix(); err != nil {
			return err
		}
		if err := wire.CheckResponse(f.Header); err != nil {
			return err
		}
		l.mu.Lock()
		answer := l.waiting[f.CallID]
		delete(l.waiting, f.CallID)
		if answer == nil {
			l.stray++
		}
		l.mu.Unlock()
		if answer != nil {
			answer <- &kept
		}
	case wire.KindRequest:
		var h pb.RequestHeader
		if err := proto.Unmarshal(f.Header, &h); err != nil {
			return err
		}
		if h.GetModule() == "hello" { // the server asks whether calls reach it
			l.send(frameconn.Answers, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, RPCID: 1, Status: wire.NoModule})
			return nil
		}
		l.calls <- kept
	default:
		l.control <- kept
	}
	return nil
}

func (l *link) BatchEnd()    {}
func (l *link) Spent(uint64) {}
func (l *link) Farewell(*wire.Error) wire.Frame {
	return wire.Frame{Kind: wire.KindGoaway}
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func (l *link) send(lane frameconn.Lane, f *wire.Frame) {
	if wake, _ := l.conn.Send(lane, f, true); wake {
		l.conn.Flush()
	}
}

func (l *link) tell(kind wire.Kind, m proto.Message) {
	l.send(frameconn.Control, &wire.Frame{Kind: kind, Header: marshal(m)})
}

// question is a request that the node sent.
type question struct {
	link   *link
	id     uint64
	answer chan *wire.Frame
}

// ask sends a request. edit changes frame and header before they are encoded.
func (l *link) ask(method, body string, edit ...func(f *wire.Frame, h *pb.RequestHeader)) *question {
	h := &pb.RequestHeader{
		Module: "hello", Method: method, InvokerModule: "web", InvokerInstance: "web-1", InvokerIp: "10.0.0.1", InvokerSession: 5,
		InvokerCall: 6, IngressNode: "alpha", ReceivedAt: 1_000_000, Target: 1,
	}
	l.mu.Lock()
	l.lastID++
	q := &question{link: l, id: l.lastID, answer: make(chan *wire.Frame, 1)}
	l.waiting[q.id] = q.answer
	l.mu.Unlock()
	f := wire.Frame{Kind: wire.KindRequest, CallID: q.id, RPCID: 1000 + q.id, BudgetMS: 5000, Hops: 1, Body: []byte(body)}
	for _, e := range edit {
		e(&f, h)
	}
	f.Header = marshal(h)
	l.send(frameconn.Requests, &f)
	return q
}

func (q *question) cancel(why wire.Code) {
	q.link.send(frameconn.Requests, &wire.Frame{Kind: wire.KindCancel, CallID: q.id, Status: why})
}

// want waits for the answer and wants this status.
func (q *question) want(status wire.Code) (body string, h *pb.ResponseHeader) {
	t := q.link.node.t
	t.Helper()
	f := <-q.answer
	h = &pb.ResponseHeader{}
	if err := proto.Unmarshal(f.Header, h); err != nil {
		t.Fatal(err)
	}
	if f.Status != status {
		t.Fatalf("answer is %v %v %q, want %v", f.Status, h, f.Body, status)
	}
	return string(f.Body), h
}

func (q *question) wantBody(body string) {
	q.link.node.t.Helper()
	if got, _ := q.want(wire.OK); got != body {
		q.link.node.t.Fatalf("answer is %q, want %q", got, body)
	}
}

func budget(ms uint32) func(*wire.Frame, *pb.RequestHeader) {
	return func(f *wire.Frame, _ *pb.RequestHeader) { f.BudgetMS = ms }
}

func key(k string) func(*wire.Frame, *pb.RequestHeader) {
	return func(_ *wire.Frame, h *pb.RequestHeader) { h.HashKey = []byte(k) }
}

func oneWay(f *wire.Frame, _ *pb.RequestHeader) { f.CallID, f.Flags = 0, wire.FlagOneWay }

// running is a server whose Run is under way.
type running struct {
	*Server
	stopping context.CancelFunc
	ended    chan error
}

// story runs a test with a node and a server that prepare has given methods, on virtual time.
func story(t *testing.T, prepare func(s *Server), tell func(t *testing.T, n *node, s *running), change ...func(*Options)) {
	t.Helper()
	meshStory(t, prepare, func(t *testing.T, nodes []*node, s *running) { tell(t, nodes[0], s) }, []string{"alpha"}, change...)
}

// twoNodes is story with two nodes that know each other.
func twoNodes(t *testing.T, prepare func(s *Server), tell func(t *testing.T, alpha, beta *node, s *running), change ...func(*Options)) {
	t.Helper()
	meshStory(t, prepare, func(t *testing.T, nodes []*node, s *running) { tell(t, nodes[0], nodes[1], s) }, []string{"alpha", "beta"}, change...)
}

func meshStory(
	t *testing.T, prepare func(s *Server), tell func(t *testing.T, nodes []*node, s *running), names []string, change ...func(*Options),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		byAddress := map[string]*node{}
		var nodes []*node
		var known []*pb.Node
		for _, name := range names {
			known = append(known, &pb.Node{Name: name, Address: name + ":1"})
			nodes = append(nodes, &node{t: t, name: name, opened: make(chan *link, 64)})
			byAddress[name+":1"] = nodes[len(nodes)-1]
		}
		for _, n := range nodes {
			n.knows = known
		}
		opts := Options{
			Module: "hello", Addresses: []string{"alpha:1"}, Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, address string) (net.Conn, error) {
				time.Sleep(time.Millisecond) // so that tell comes first
				return byAddress[address].dial(ctx, address)
			},
		}
		for _, c := range change {
			c(&opts)
		}
		s := New(opts)
		prepare(s)
		ctx, cancel := context.WithCancel(context.Background())
		r := &running{Server: s, stopping: cancel, ended: make(chan error, 1)}
		over := make(chan struct{})
		go func() {
			defer close(over)
			r.ended <- s.Run(ctx)
		}()
		defer func() {
			if err := s.ConsistencyCheck(); err != nil {
				t.Error(err)
			}
			cancel()
			<-over
			if err := s.ConsistencyCheck(); err != nil {
				t.Error(err)
			}
		}()
		tell(t, nodes, r)
	})
}

// gate is a handler that says when it starts and waits until it is let go.
type gate struct {
	started chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{started: make(chan string, 4096), open: make(chan struct{})} }

func (g *gate) handle(_ context.Context, r *Request) ([]byte, error) {
	g.started <- string(r.Body)
	<-g.open
	return append([]byte(nil), r.Body...), nil
}
