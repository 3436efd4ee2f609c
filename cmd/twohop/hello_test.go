package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twohop/twohop/rpcserver-sdk"
)

// hello is a module for scripts: hello --address LISTEN --ready-file FILE. The file appears once it is registered.
func hello() {
	address := flag.String("address", "", "the node")
	readyFile := flag.String("ready-file", "", "appears once the module is registered")
	startedFile := flag.String("started-file", "", "appears once Block runs")
	needs := flag.String("needs", "", "modules that it says it calls, with commas")
	secret := flag.String("secret", "", "its secret")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options := rpcserver.Options{
		Module: "hello", Instance: "h1", Group: "blue", Version: "1.2.3", Addresses: []string{*address}, Secret: *secret, KeyID: 1,
		Logger: slog.New(slog.DiscardHandler), DrainTimeout: time.Millisecond,
		OnConnect: func(rpcserver.Connection) { touch(*readyFile) },
	}
	if *needs != "" {
		options.Needs = strings.Split(*needs, ",")
	}
	s := rpcserver.New(options)
	rpcserver.Handle(s, "Say", func(_ context.Context, in *struct{ Name string }) (*map[string]any, error) {
		return &map[string]any{"text": "Hello, " + in.Name, "big": uint64(1<<63 - 1)}, nil
	}, rpcserver.Idempotent(), rpcserver.DefaultTimeout(2*time.Second))
	rpcserver.HandleRaw(s, "Echo", func(_ context.Context, r *rpcserver.Request) ([]byte, error) {
		return append([]byte(nil), r.Body...), nil
	})
	rpcserver.HandleRaw(s, "Who", func(ctx context.Context, _ *rpcserver.Request) ([]byte, error) {
		i := rpcserver.Info(ctx)
		return fmt.Appendf(nil, "%s asks in %q, key %q, meta %q, type %q, idempotent %t",
			i.Invoker.Module, i.Group, i.HashKey, i.Get("color"), i.ContentType, i.Idempotent), nil
	}, rpcserver.Idempotent())
	rpcserver.HandleRaw(s, "Fail", func(context.Context, *rpcserver.Request) ([]byte, error) {
		return nil, &rpcserver.AppError{Code: "NO_FUNDS", Message: "only\n\x1b[31m3 left", Details: map[string]string{"left": "3"}}
	})
	rpcserver.HandleRaw(s, "Exit", func(context.Context, *rpcserver.Request) ([]byte, error) {
		os.Exit(0)
		return nil, nil
	})
	rpcserver.HandleRaw(s, "Block", func(context.Context, *rpcserver.Request) ([]byte, error) {
		touch(*startedFile)
		<-ctx.Done() // of the module: the caller's end does not matter
		return nil, nil
	})
	if err := s.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// touch makes a file that is whole as soon as it is there.
func touch(file string) {
	if file == "" {
		return
	}
	temp := file + ".new"
	if err := os.WriteFile(temp, []byte("{}\n"), 0o600); err == nil {
		err = os.Rename(temp, file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
