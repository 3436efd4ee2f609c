package main

import (
	"context"
	"fmt"
)

// echo makes one call and returns its answer.
type echo func(ctx context.Context, body []byte) (answer []byte, err error)

// library is how a program uses one of the contenders.
type library struct {
	// serve answers requests with what they carry until ctx is done.
	serve func(ctx context.Context, target string) error
	// dial opens one connection. It need not wait for it: the first calls are tried until they succeed.
	dial func(target string) (call echo, hangUp func(), err error)
}

var libraries = map[string]library{
	"twohop": {serveTwohop, dialRaw("bench.Inline")},
	"pooled": {serveTwohop, dialRaw("bench.Pooled")},
	"typed":  {serveTwohop, dialTyped},
	"nats":   {serveNATS, dialNATS},
	"grpc":   {serveGRPC, dialGRPC},
	"floor":  {serveFloor, dialFloor},
}

func find(name string) (library, error) {
	l, ok := libraries[name]
	if !ok {
		return l, fmt.Errorf("there is no library %q", name)
	}
	return l, nil
}

// playService is an instance of the service: PEER ADDRESS.
func playService(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("a service wants PEER ADDRESS, got %q", args)
	}
	l, err := find(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		untilStdinEnds(ctx)
		cancel()
	}()
	return l.serve(ctx, args[1])
}
