package rpcserver_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

// throughNode returns a client that calls a server through a node, all in this process.
func throughNode(tb testing.TB) *rpcclient.Client {
	tb.Helper()
	node, err := messageserver.New(messageserver.Options{
		Listen: "127.0.0.1:0", Admin: messageserver.AdminOptions{Listen: "off"}, Log: quiet,
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- node.Run(ctx) }()
	s := rpcserver.New(rpcserver.Options{Module: "shop", Addresses: []string{node.Addr()}, Logger: quiet})
	rpcserver.HandleRaw(s, "Echo", echo)
	rpcserver.HandleRaw(s, "Inline", func(_ context.Context, r *rpcserver.Request) ([]byte, error) { return r.Body, nil }, rpcserver.Inline())
	rpcserver.Handle(s, "Typed", func(_ context.Context, in *pb.Node) (*pb.Node, error) { return in, nil })
	serving, stop := context.WithCancel(context.Background())
	go func() { done <- s.Run(serving) }()
	tb.Cleanup(func() {
		stop()
		<-done
		cancel()
		<-done
	})
	if err := s.WaitReady(ctx); err != nil {
		tb.Fatal(err)
	}
	c, err := rpcclient.Dial(node.Addr(), rpcclient.Options{Module: "web", Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkThroughNode measures a call from a client through a node to a server and back, all in this process.
func BenchmarkThroughNode(b *testing.B) {
	c, ctx := throughNode(b), b.Context()
	body, message := make([]byte, 128), &pb.Node{Name: "a name of some length", Address: "an address:of some more length"}
	run := func(b *testing.B, inFlight int, call func() error) {
		b.ReportAllocs()
		b.SetParallelism(max(1, inFlight/2)) // of two processors
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for _, n := range []int{2, 64} {
		b.Run(fmt.Sprintf("raw/%d", n), func(b *testing.B) {
			run(b, n, func() error {
				_, err := c.CallRaw(ctx, "shop.Echo", body)
				return err
			})
		})
		b.Run(fmt.Sprintf("inline/%d", n), func(b *testing.B) {
			run(b, n, func() error {
				_, err := c.CallRaw(ctx, "shop.Inline", body)
				return err
			})
		})
		b.Run(fmt.Sprintf("protobuf/%d", n), func(b *testing.B) {
			run(b, n, func() error {
				var out pb.Node
				return c.Call(ctx, "shop.Typed", message, &out)
			})
		})
	}
}
