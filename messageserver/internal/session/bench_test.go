package session

import (
	"net"
	"runtime"
	"strconv"
	"testing"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// BenchmarkCall carries a request and its answer through two sessions of one node. The modules are as cheap as can be, so
// that what is left is the node and the connections.
func BenchmarkCall(b *testing.B) {
	for _, network := range []string{"pipe", "tcp"} {
		for _, inFlight := range []int{1, 64} {
			b.Run(network+"/"+strconv.Itoa(inFlight)+" in flight", func(b *testing.B) { benchmarkCall(b, network, inFlight) })
		}
	}
}

func benchmarkCall(b *testing.B, network string, inFlight int) {
	n := quietNode(b)
	dial := n.dialPipe
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		dial = func() net.Conn { return n.dialTCP(l) }
	}
	ready := make(chan struct{})
	server := runBench(dial(), loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), func(c *benchModule, f *wire.Frame) {
		switch f.Kind {
		case wire.KindPolicy:
			c.queue(frameconn.Control, &wire.Frame{Kind: wire.KindPolicyOK})
			close(ready)
		case wire.KindRequest:
			c.queue(frameconn.Answers, &wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Body: f.Body})
		}
	})
	<-ready
	for !n.router.HasModule("pay") {
		runtime.Gosched()
	}
	call := request(0, "pay.Move")
	left, finished := b.N, make(chan struct{})
	next := func(c *benchModule) {
		call.CallID++
		c.queue(frameconn.Requests, &call)
	}
	started, answered := 0, 0
	web := runBench(dial(), loginOf("web", "web-1", pb.Role_ROLE_CALLER), func(c *benchModule, f *wire.Frame) {
		switch f.Kind {
		case wire.KindWelcome:
			b.ResetTimer()
			b.ReportAllocs()
			for started < min(inFlight, left) {
				started++
				next(c)
			}
		case wire.KindResponse:
			if f.Status != wire.OK {
				b.Errorf("answered %s", f.Status)
			}
			if answered++; answered == left {
				close(finished)
			} else if started < left {
				started++
				next(c)
			}
		}
	})
	<-finished
	b.StopTimer()
	web.conn.Close(nil)
	server.conn.Close(nil)
	<-web.ended
	<-server.ended
	n.serving.Wait()
}

func (n *node) dialPipe() net.Conn {
	here, there := testkit.Pipe(testkit.PipeOptions{})
	n.serve(there)
	return here
}

func (n *node) dialTCP(l net.Listener) net.Conn {
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		n.t.Fatal(err)
	}
	n.serve(there)
	return here
}

// benchModule is a module that does what it does in its reader.
type benchModule struct {
	conn  *frameconn.Conn
	take  func(c *benchModule, f *wire.Frame)
	wake  bool
	ended chan struct{}
}

func runBench(nc net.Conn, l *pb.Login, take func(c *benchModule, f *wire.Frame)) *benchModule {
	frameconn.TuneTCP(nc)
	c := &benchModule{conn: frameconn.New(nc, frameconn.Options{}), take: take, ended: make(chan struct{})}
	login := header(wire.KindLogin, l)
	c.queue(frameconn.Control, &login)
	go func() { _ = c.conn.Run(c); close(c.ended) }()
	return c
}

func (c *benchModule) queue(l frameconn.Lane, f *wire.Frame) {
	if wake, err := c.conn.Send(l, f, false); err == nil && wake {
		c.wake = true
	}
}

func (c *benchModule) Frame(f *wire.Frame) error { c.take(c, f); return nil }

func (c *benchModule) BatchEnd() {
	if c.wake {
		c.wake = false
		c.conn.Flush()
	}
}

func (c *benchModule) Spent(uint64)                        {}
func (c *benchModule) Farewell(*wire.Error) (f wire.Frame) { return f }
