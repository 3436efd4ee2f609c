package rpcserver_test

import (
	"context"
	"fmt"
	"time"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

type Order struct {
	Item  string
	Count int
}

type Receipt struct{ Text string }

// runNode runs a node; stop ends it.
func runNode() (address string, stop func()) {
	node, err := messageserver.New(messageserver.Options{
		Listen: "127.0.0.1:0", Admin: messageserver.AdminOptions{Listen: "off"}, Log: quiet,
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- node.Run(ctx) }()
	return node.Addr(), func() {
		cancel()
		<-done
	}
}

func ExampleHandle() {
	address, stopNode := runNode()
	defer stopNode()

	s := rpcserver.New(rpcserver.Options{Module: "shop", Addresses: []string{address}, Logger: quiet})
	rpcserver.Handle(s, "Buy", func(ctx context.Context, o *Order) (*Receipt, error) {
		if o.Count < 1 {
			return nil, rpcserver.Errorf("BAD_COUNT", "cannot sell %d", o.Count)
		}
		return &Receipt{Text: fmt.Sprintf("%d %s for %s", o.Count, o.Item, rpcserver.Info(ctx).Invoker.Module)}, nil
	}, rpcserver.DefaultTimeout(2*time.Second))

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if err := s.WaitReady(ctx); err != nil {
		fmt.Println(err)
	}

	c, err := rpcclient.Dial(address, rpcclient.Options{Module: "web", Logger: quiet})
	if err != nil {
		fmt.Println(err)
	}
	receipt, err := rpcclient.Call[Receipt](ctx, c, "shop.Buy", &Order{"tea", 2})
	fmt.Println(receipt.Text, err)
	_, err = rpcclient.Call[Receipt](ctx, c, "shop.Buy", &Order{"tea", 0})
	fmt.Println(rpcclient.AsError(err).AppCode)
	c.Close()

	stop()
	fmt.Println(<-done)
	// Output:
	// 2 tea for web <nil>
	// BAD_COUNT
	// <nil>
}

// Interceptors are around every handler.
func ExampleInterceptor() {
	logged := func(ctx context.Context, r *rpcserver.Request, next rpcserver.HandlerFunc) ([]byte, error) {
		answer, err := next(ctx, r)
		fmt.Println(r.Info().Invoker.Module, "→", r.Method, err)
		return answer, err
	}
	address, stopNode := runNode()
	defer stopNode()
	s := rpcserver.New(rpcserver.Options{
		Module: "shop", Addresses: []string{address}, Interceptors: []rpcserver.Interceptor{logged}, Logger: quiet,
	})
	rpcserver.HandleRaw(s, "Echo", func(_ context.Context, r *rpcserver.Request) ([]byte, error) { return r.Body, nil })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if err := s.WaitReady(ctx); err != nil {
		fmt.Println(err)
	}
	// A server may call, too; here it calls itself.
	answer, err := s.Client().CallRaw(ctx, "shop.Echo", []byte("hello"))
	fmt.Println(string(answer), err)
	stop()
	<-done
	// Output:
	// shop → Echo <nil>
	// hello <nil>
}
