// Package cluster tells stories about whole nodes: real sessions, real SDKs, named actors.
package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a story: it is only used up when something is wrong.
const patience = 20 * time.Second

// onEach tells a story over memory and over TCP.
func onEach(t *testing.T, story func(t *testing.T, c *cluster)) {
	t.Run("memory", func(t *testing.T) { story(t, start(t, true)) })
	t.Run("tcp", func(t *testing.T) { story(t, start(t, false)) })
}

// cluster is the nodes and modules of one story.
type cluster struct {
	t      *testing.T
	memory bool
	ctx    context.Context
	nodes  map[string]*node
	ends   []func()
}

// node is a message server.
type node struct {
	*messageserver.Server
	pipes   *testkit.Listener // nil over TCP, and in a mesh
	journal *journal          // in a mesh
	stop    context.CancelFunc
	done    chan error
}

// start starts one node, "a"; the story ends with every consistency check.
func start(t *testing.T, memory bool, edit ...func(*messageserver.Options)) *cluster {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := &cluster{t: t, memory: memory, ctx: ctx, nodes: map[string]*node{}}
	t.Cleanup(func() {
		for _, v := range slices.Backward(c.ends) {
			v()
		}
		cancel()
	})
	c.startNode("a", edit...)
	return c
}

func (c *cluster) startNode(name string, edit ...func(*messageserver.Options)) *node {
	c.t.Helper()
	n := &node{done: make(chan error, 1)}
	o := messageserver.Options{Node: name, Listen: "127.0.0.1:0", DrainTimeout: 2 * time.Second, Log: slog.New(slog.DiscardHandler)}
	o.Admin.Listen = "off"
	if c.memory {
		n.pipes = testkit.Listen()
		o.Listener = n.pipes
	}
	for _, e := range edit {
		e(&o)
	}
	s, err := messageserver.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	n.Server = s
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.done <- s.Run(ctx) }()
	c.nodes[name] = n
	c.ends = append(c.ends, func() {
		eventually(c.t, "the node is quiet", func() bool { return s.ConsistencyCheck() == nil && s.InFlight() == 0 })
		if err := s.ConsistencyCheck(); err != nil {
			c.t.Errorf("node %s: %v", name, err)
		}
		stop()
		if err := <-n.done; err != nil {
			c.t.Errorf("node %s ended with %v", name, err)
		}
	})
	return n
}

func (c *cluster) dialer(name string) func(context.Context, string) (net.Conn, error) {
	if !c.memory {
		return nil
	}
	n := c.nodes[name]
	return func(context.Context, string) (net.Conn, error) { return n.pipes.Dial() }
}

func (c *cluster) address(name string) string {
	if c.memory {
		return "127.0.0.1:1"
	}
	return c.nodes[name].Addr()
}

// module is one instance of a module that is called.
type module struct {
	c        *cluster
	name     string
	server   *rpcserver.Server
	stop     context.CancelFunc
	done     chan error
	started  atomic.Int64 // handlers that began
	finished atomic.Int64
	conns    *cutter
}

type rawHandler = func(ctx context.Context, r *rpcserver.Request) ([]byte, error)

// serve starts an instance of a module with one raw method, Do, and waits until the node has it.
func (c *cluster) serve(moduleName, instance string, do rawHandler, edit ...func(*rpcserver.Options)) *module {
	c.t.Helper()
	m := &module{c: c, name: instance, done: make(chan error, 1), conns: newCutter(c.dialer("a"))}
	o := rpcserver.Options{
		Module: moduleName, Instance: instance, Addresses: []string{c.address("a")}, Dial: m.conns.dial,
		Logger: slog.New(slog.DiscardHandler), DrainTimeout: 5 * time.Second,
	}
	for _, e := range edit {
		e(&o)
	}
	s := rpcserver.New(o)
	m.server = s
	rpcserver.HandleRaw(s, "Do", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
		m.started.Add(1)
		defer m.finished.Add(1)
		return do(ctx, r)
	}, rpcserver.Idempotent())
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() { m.done <- s.Run(ctx) }()
	c.ends = append(c.ends, func() {
		m.stop()
		<-m.done
	})
	eventually(c.t, instance+" is registered", func() bool { return c.nodes["a"].HasInstance(moduleName, instance) })
	return m
}

// wantStop stops the instance and waits for a clean end.
func (m *module) wantStop() {
	m.c.t.Helper()
	m.stop()
	select {
	case err := <-m.done:
		if err != nil {
			m.c.t.Errorf("%s ended with %v", m.name, err)
		}
		m.done <- nil
	case <-m.c.ctx.Done():
		m.c.t.Fatalf("%s does not stop", m.name)
	}
}

// echo answers with what it got.
func echo(_ context.Context, r *rpcserver.Request) ([]byte, error) {
	return append([]byte(nil), r.Body...), nil
}

// client is a caller.
type client struct {
	c *cluster
	*rpcclient.Client
}

func (c *cluster) client(name string, edit ...func(*rpcclient.Options)) *client {
	c.t.Helper()
	o := rpcclient.Options{Module: name, Dial: c.dialer("a"), Logger: slog.New(slog.DiscardHandler)}
	for _, e := range edit {
		e(&o)
	}
	cl, err := rpcclient.Dial(c.address("a"), o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.ends = append(c.ends, func() { cl.Close() })
	return &client{c, cl}
}

func (cl *client) wantReply(method, body string, opts ...rpcclient.CallOption) {
	cl.c.t.Helper()
	got, err := cl.CallRaw(cl.c.ctx, method, []byte(body), opts...)
	if err != nil || string(got) != body {
		cl.c.t.Fatalf("%s(%q) = %q, %v", method, body, got, err)
	}
}

func (cl *client) wantError(code rpcclient.Code, method, body string, opts ...rpcclient.CallOption) *rpcclient.Error {
	cl.c.t.Helper()
	got, err := cl.CallRaw(cl.c.ctx, method, []byte(body), opts...)
	if err == nil {
		cl.c.t.Fatalf("%s(%q) = %q, want %v", method, body, got, code)
	}
	return wantCode(cl.c.t, err, code)
}

func wantCode(t *testing.T, err error, code rpcclient.Code) *rpcclient.Error {
	t.Helper()
	var e *rpcclient.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want code %v", err, code)
	}
	return e
}

// eventually waits for what happens soon, by asking.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		<-time.After(time.Millisecond)
	}
}

// cutter dials, and cuts what it dialled.
type cutter struct {
	dialNext func(context.Context, string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
	down  bool
}

func newCutter(next func(context.Context, string) (net.Conn, error)) *cutter {
	if next == nil {
		next = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return &cutter{dialNext: next}
}

func (c *cutter) dial(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errNoHost
	}
	nc, err := c.dialNext(ctx, address)
	if err == nil {
		c.conns = append(c.conns, nc)
	}
	return nc, err
}

// cut closes all connections; down keeps new ones from being made.
func (c *cutter) cut(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	for _, nc := range c.conns {
		nc.Close()
	}
	c.conns = nil
}

// stay keeps new connections from being made, or lets them be made again; those that there are stay.
func (c *cutter) stay(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}
