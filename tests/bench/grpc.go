package main

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What protoc-gen-go-grpc would generate for a service with one method.

const fullMethod = "/bench.Bench/Typed"

type benchServer interface {
	typed(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)
}

var serviceDesc = grpc.ServiceDesc{
	ServiceName: "bench.Bench",
	HandlerType: (*benchServer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Typed",
		Handler: func(s any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.BytesValue)
			if err := dec(in); err != nil {
				return nil, err
			}
			return s.(benchServer).typed(ctx, in)
		},
	}},
}

type grpcEcho struct{}

func (grpcEcho) typed(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	return in, nil
}

func serveGRPC(ctx context.Context, target string) error {
	l, err := net.Listen("tcp", target)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&serviceDesc, grpcEcho{})
	go func() {
		<-ctx.Done()
		s.Stop()
	}()
	return s.Serve(l)
}

// dialGRPC calls the services in turn: one connection is one to each of them.
func dialGRPC(target string) (echo, func(), error) {
	var state resolver.State
	for at := range strings.SplitSeq(target, ",") {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: at})
	}
	services := manual.NewBuilderWithScheme("bench")
	services.InitialState(state)
	c, err := grpc.NewClient("bench:///services", grpc.WithResolvers(services),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // as the others have one
		defer cancel()
		out := new(wrapperspb.BytesValue)
		err := c.Invoke(ctx, fullMethod, &wrapperspb.BytesValue{Value: body}, out)
		return out.GetValue(), err
	}, func() { _ = c.Close() }, nil
}
