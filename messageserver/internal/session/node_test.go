package session

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/messageserver/internal/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is sessions over a router, as a message server has them.
type node struct {
	t        testing.TB
	router   *router.Router
	sessions *Sessions
	clock    *frameconn.Clock
	serving  sync.WaitGroup
	ticking  sync.WaitGroup
	stop     context.CancelFunc
	modules  []*module
}

// story plays with a node in a bubble whose time is virtual. At its end everybody leaves, and nothing may be left.
func story(t *testing.T, play func(n *node), edit ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, edit...)
		defer n.end()
		play(n)
	})
}

func newNode(t testing.TB, edit ...func(*Options)) *node {
	n := &node{t: t, clock: frameconn.NewClock()}
	n.router = router.New(router.Options{Node: "a"}, n.clock.Now)
	var ids atomic.Uint64
	o := Options{
		Node: "a", Mesh: "test", Router: n.router, Clock: n.clock, NextID: func() uint64 { return ids.Add(1) },
		Log: slog.New(slog.DiscardHandler),
	}
	for _, e := range edit {
		e(&o)
	}
	var err error
	if n.sessions, err = New(o); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	n.ticking.Go(func() { n.clock.Run(ctx, n.router.Tick) })
	return n
}

// end lets everybody go and wants nothing to be left.
func (n *node) end() {
	n.t.Helper()
	for _, m := range n.modules {
		m.conn.Close()
	}
	n.serving.Wait()
	time.Sleep(time.Second) // of the bubble: what is still in flight ends with its grace
	if calls, kept := n.router.InFlight(); calls != 0 || kept != 0 {
		n.t.Errorf("%d calls in flight and %d bytes kept at the end", calls, kept)
	}
	if left := n.router.Registry(0); len(left) != 0 {
		n.t.Errorf("%v is registered at the end", left)
	}
	if left := n.sessions.List(); len(left) != 0 {
		n.t.Errorf("%v is open at the end", left)
	}
	n.sessions.lobby.mu.Lock()
	if waiting := len(n.sessions.lobby.queues); waiting != 0 {
		n.t.Errorf("%d addresses count as not logged in at the end", waiting)
	}
	n.sessions.lobby.mu.Unlock()
	n.wantConsistent()
	n.stop()
	n.ticking.Wait()
}

func (n *node) wantConsistent() {
	n.t.Helper()
	if err := n.router.ConsistencyCheck(); err != nil {
		n.t.Error(err)
	}
	if err := n.sessions.ConsistencyCheck(); err != nil {
		n.t.Error(err)
	}
}

// wantAlive wants sessions that open now to be served.
func (n *node) wantAlive() {
	n.t.Helper()
	server, caller := n.server("alive", "alive-1", "Move"), n.caller("witness")
	caller.send(request(1, "alive.Move"))
	server.answer(server.wantRequest(), 0, "yes")
	if got := caller.wantAnswer(1, 0); string(got.Body) != "yes" {
		n.t.Errorf("answer %q", got.Body)
	}
	server.leave()
	caller.leave()
	n.wantConsistent()
}

// serve hands nc to the node.
func (n *node) serve(nc net.Conn) { n.serving.Go(func() { n.sessions.Serve(nc) }) }

// connect opens a connection over which nothing has been said.
func (n *node) connect(o testkit.PipeOptions) *module { return n.connectFrom(o, nil) }

// connectFrom opens one that comes from an address; nil is a unix socket's.
func (n *node) connectFrom(o testkit.PipeOptions, addr *net.TCPAddr) *module {
	here, there := testkit.Pipe(o)
	m := &module{n: n, conn: here}
	n.modules = append(n.modules, m)
	if addr == nil {
		n.serve(there)
	} else {
		n.serve(addressed{there, addr})
	}
	return m
}

// addressed is a connection from an address.
type addressed struct {
	*testkit.PipeConn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }
