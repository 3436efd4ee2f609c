package caller

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// echoNode lets everybody in and answers each request with its own body, from its reader.
type echoNode struct {
	conn *frameconn.Conn
	wake bool
}

func (e *echoNode) Frame(f *wire.Frame) error {
	answer := wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, RPCID: 1, Body: f.Body}
	lane := frameconn.Answers
	switch f.Kind {
	case wire.KindRequest:
	case wire.KindLogin:
		lane, answer = frameconn.Control, wire.Frame{Kind: wire.KindWelcome, Header: marshal(&pb.Welcome{Version: 1, Node: "echo", Session: 1})}
	default:
		return nil
	}
	wake, err := e.conn.Send(lane, &answer, false)
	e.wake = e.wake || wake
	return err
}

func (e *echoNode) BatchEnd() {
	if e.wake {
		e.wake = false
		e.conn.Flush()
	}
}
func (*echoNode) Spent(uint64)                    {}
func (*echoNode) Farewell(*wire.Error) wire.Frame { return wire.Frame{} }

// loopback returns a client of an echoing node over TCP.
func loopback(b *testing.B) *Client {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			frameconn.TuneTCP(nc)
			e := &echoNode{}
			e.conn = frameconn.New(nc, frameconn.Options{Accepts: true})
			go e.conn.Run(e)
		}
	}()
	c, err := New(Options{
		Addresses: []string{l.Addr().String()}, Login: &pb.Login{Module: "web", Role: pb.Role_ROLE_CALLER},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	c.Start()
	b.Cleanup(func() {
		c.Close()
		l.Close()
		<-done
	})
	if err := c.WaitOpen(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// inFlight runs call with n calls in flight.
func inFlight(b *testing.B, n int, call func() error) {
	b.ReportAllocs()
	b.SetParallelism(max(1, n/2)) // of two processors
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkCall(b *testing.B) {
	body := make([]byte, 128)
	message := &pb.Node{Name: "a name of some length", Address: "an address:of some more length"}
	for _, n := range []int{2, 64} {
		b.Run(fmt.Sprintf("raw/%d", n), func(b *testing.B) {
			c := loopback(b)
			inFlight(b, n, func() error {
				_, err := c.CallRaw(context.Background(), "shop.Buy", body)
				return err
			})
		})
		b.Run(fmt.Sprintf("protobuf/%d", n), func(b *testing.B) {
			c := loopback(b)
			inFlight(b, n, func() error {
				var out pb.Node
				return c.Call(context.Background(), "shop.Buy", message, &out)
			})
		})
		b.Run(fmt.Sprintf("json/%d", n), func(b *testing.B) {
			c := loopback(b)
			inFlight(b, n, func() error {
				var out order
				return c.Call(context.Background(), "shop.Buy", &order{"tea"}, &out)
			})
		})
		b.Run(fmt.Sprintf("cancellable/%d", n), func(b *testing.B) {
			c := loopback(b)
			ctx := b.Context()
			inFlight(b, n, func() error {
				_, err := c.CallRaw(ctx, "shop.Buy", body)
				return err
			})
		})
	}
}
