package main

import (
	"context"
	"log/slog"

	"google.golang.org/protobuf/types/known/wrapperspb"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

func serveTwohop(ctx context.Context, target string) error {
	s := rpcserver.New(rpcserver.Options{
		Module: "bench", Addresses: []string{target},
		Connections: 1, // at this node and no other: so that a second hop is one
		Logger:      slog.New(slog.DiscardHandler),
	})
	raw := func(_ context.Context, r *rpcserver.Request) ([]byte, error) { return r.Body, nil }
	rpcserver.HandleRaw(s, "Inline", raw, rpcserver.Inline())
	rpcserver.HandleRaw(s, "Pooled", raw)
	rpcserver.Handle(s, "Typed", func(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) { return in, nil })
	return s.Run(ctx)
}

func dialMesh(target string) (*rpcclient.Client, func(), error) {
	c, err := rpcclient.Dial(target, rpcclient.Options{Module: "caller", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return c, func() { _ = c.Close() }, nil
}

// dialRaw calls a method that takes and returns bytes.
func dialRaw(method string) func(target string) (echo, func(), error) {
	return func(target string) (echo, func(), error) {
		c, hangUp, err := dialMesh(target)
		return func(ctx context.Context, body []byte) ([]byte, error) {
			return c.CallRaw(ctx, method, body)
		}, hangUp, err
	}
}

func dialTyped(target string) (echo, func(), error) {
	c, hangUp, err := dialMesh(target)
	return func(ctx context.Context, body []byte) ([]byte, error) {
		answer, err := rpcclient.Call[wrapperspb.BytesValue](ctx, c, "bench.Typed", &wrapperspb.BytesValue{Value: body})
		return answer.GetValue(), err
	}, hangUp, err
}
