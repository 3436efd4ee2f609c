package rpcclient_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

type HelloRequest struct{ Name string }

type HelloReply struct{ Text string }

// startHello runs a node and a module that says hello.
func startHello() (address string, stop func()) {
	quiet := slog.New(slog.DiscardHandler)
	node, err := messageserver.New(messageserver.Options{
		Listen: "127.0.0.1:0", Admin: messageserver.AdminOptions{Listen: "off"}, Log: quiet,
	})
	if err != nil {
		panic(err)
	}
	hello := rpcserver.New(rpcserver.Options{Module: "hello", Addresses: []string{node.Addr()}, Logger: quiet})
	rpcserver.Handle(hello, "Say", func(_ context.Context, in *HelloRequest) (*HelloReply, error) {
		if in.Name == "" {
			return nil, rpcserver.Errorf("NO_NAME", "whom shall I greet?")
		}
		return &HelloReply{Text: "Hello, " + in.Name + "!"}, nil
	}, rpcserver.Idempotent())
	nodeCtx, stopNode := context.WithCancel(context.Background())
	helloCtx, stopHello := context.WithCancel(context.Background())
	nodeDone, helloDone := make(chan error), make(chan error)
	go func() { nodeDone <- node.Run(nodeCtx) }()
	go func() { helloDone <- hello.Run(helloCtx) }()
	if err := hello.WaitReady(helloCtx); err != nil {
		panic(err)
	}
	return node.Addr(), func() {
		stopHello()
		<-helloDone
		stopNode()
		<-nodeDone
	}
}

func Example() {
	address, stop := startHello()
	defer stop()

	c, err := rpcclient.Dial(address, rpcclient.Options{Module: "web", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	reply, err := rpcclient.Call[HelloReply](context.Background(), c, "hello.Say", &HelloRequest{Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.Text)
	// Output: Hello, Ada!
}

// What an error's class says is what a program needs first.
func ExampleError() {
	address, stop := startHello()
	defer stop()
	c, err := rpcclient.Dial(address, rpcclient.Options{Module: "web", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = rpcclient.Call[HelloReply](context.Background(), c, "hello.Say", &HelloRequest{})
	fmt.Println("it ran:", errors.Is(err, rpcclient.ErrExecuted), "·", rpcclient.AsError(err).AppCode)

	_, err = rpcclient.Call[HelloReply](context.Background(), c, "goodbye.Say", &HelloRequest{Name: "Ada"})
	fmt.Println("it did not:", errors.Is(err, rpcclient.ErrNotExecuted), "·", rpcclient.AsError(err).Code)

	_, err = rpcclient.Call[HelloReply](context.Background(), c, "nonsense", nil)
	fmt.Println("wrong from the start:", errors.Is(err, rpcclient.CodeBadRequest))
	// Output:
	// it ran: true · NO_NAME
	// it did not: true · NO_MODULE
	// wrong from the start: true
}

func ExampleWantReceipt() {
	address, stop := startHello()
	defer stop()
	c, err := rpcclient.Dial(address, rpcclient.Options{Module: "web", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	var r rpcclient.Receipt
	err = c.Call(context.Background(), "hello.Say", &HelloRequest{Name: "Ada"}, nil,
		rpcclient.WantReceipt(&r), rpcclient.Idempotent(), rpcclient.Timeout(2*time.Second))
	fmt.Println(err, r.Receiver.Module, r.Attempts)
	// Output: <nil> hello 1
}

func ExampleClient_Go() {
	address, stop := startHello()
	defer stop()
	c, err := rpcclient.Dial(address, rpcclient.Options{Module: "web", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	var ada, bob HelloReply
	first := c.Go(context.Background(), "hello.Say", &HelloRequest{Name: "Ada"}, &ada)
	second := c.Go(context.Background(), "hello.Say", &HelloRequest{Name: "Bob"}, &bob)
	fmt.Println(first.Wait(), second.Wait(), ada.Text, bob.Text)
	// Output: <nil> <nil> Hello, Ada! Hello, Bob!
}
