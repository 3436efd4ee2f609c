package rpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

// These stories run against a real node, over TCP and unix sockets.

var quiet = slog.New(slog.DiscardHandler)

// startNode runs a node until the test ends, or stop is called.
func startNode(t *testing.T, listen string, change ...func(*messageserver.Options)) (address string, stop func()) {
	t.Helper()
	opts := messageserver.Options{Listen: listen, Admin: messageserver.AdminOptions{Listen: "off"}, Log: quiet}
	for _, c := range change {
		c(&opts)
	}
	node, err := messageserver.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("node: %v", err)
		}
		if err := node.ConsistencyCheck(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return node.Addr(), stop
}

// serve runs a server until the test ends, or stop is called, and waits until it is ready.
func serve(t *testing.T, opts rpcserver.Options, prepare func(s *rpcserver.Server)) (s *rpcserver.Server, stop func()) {
	t.Helper()
	opts.Logger = quiet
	s = rpcserver.New(opts)
	prepare(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", s, err)
		}
	})
	t.Cleanup(stop)
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

func dial(t *testing.T, address, module string) *rpcclient.Client {
	t.Helper()
	c, err := rpcclient.Dial(address, rpcclient.Options{Module: module, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func echo(_ context.Context, r *rpcserver.Request) ([]byte, error) {
	return append([]byte(nil), r.Body...), nil
}

func TestModulesCallEachOther(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "node")} {
		address, _ := startNode(t, listen)
		addresses := []string{address}
		invoker := make(chan rpcserver.CallInfo, 1)
		serve(t, rpcserver.Options{Module: "stock", Addresses: addresses}, func(s *rpcserver.Server) {
			rpcserver.HandleRaw(s, "Take", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
				invoker <- rpcserver.Info(ctx)
				return echo(ctx, r)
			})
		})
		serve(t, rpcserver.Options{Module: "shop", Addresses: addresses, Instance: "shop-1", Needs: []string{"stock"}}, func(s *rpcserver.Server) {
			rpcserver.HandleRaw(s, "Buy", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
				return s.Client().CallRaw(ctx, "stock.Take", r.Body, rpcserver.Metadata("user", "ada"))
			})
		})
		alice := dial(t, address, "web")
		var receipt rpcclient.Receipt
		answer, err := alice.CallRaw(t.Context(), "shop.Buy", []byte("tea"), rpcclient.WantReceipt(&receipt))
		if err != nil || string(answer) != "tea" {
			t.Fatalf("got %q, %v", answer, err)
		}
		if i := <-invoker; i.Invoker.Module != "shop" || i.Invoker.Instance != "shop-1" || i.Get("user") != "ada" || i.Ingress != "node-1" {
			t.Errorf("stock was called with %+v", i)
		}
		if receipt.Receiver.Instance != "shop-1" || receipt.RPCID == 0 {
			t.Errorf("receipt is %+v", receipt)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	address, _ := startNode(t, "127.0.0.1:0")
	serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Echo", echo)
	})
	alice := dial(t, address, "web")
	if _, err := alice.CallRaw(t.Context(), "shop.Echo", nil); err != nil { // larger ones do not wait for the connection
		t.Fatal(err)
	}
	call := func(size int) {
		body := bytes.Repeat([]byte{byte(size >> 10)}, size)
		answer, err := alice.CallRaw(t.Context(), "shop.Echo", body)
		if err != nil || !bytes.Equal(answer, body) {
			t.Errorf("%d bytes: got %d, %v", size, len(answer), err)
		}
	}
	call(5 << 20) // alone: it is more than may wait on a connection
	var all sync.WaitGroup
	for _, size := range []int{0, 1, 64 << 10, 65 << 10, 1 << 20} {
		all.Go(func() { call(size) })
	}
	all.Wait()
}

func TestNothingFailsWhileAnInstanceStops(t *testing.T) {
	address, _ := startNode(t, "127.0.0.1:0")
	prepare := func(s *rpcserver.Server) { rpcserver.HandleRaw(s, "Echo", echo) }
	stops := make([]func(), 3)
	start := func(i int) {
		_, stops[i] = serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}, Instance: fmt.Sprintf("shop-%d", i)}, prepare)
	}
	for i := range stops {
		start(i)
	}
	alice := dial(t, address, "web")
	over := make(chan struct{})
	var calls atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := alice.CallRaw(t.Context(), "shop.Echo", []byte("x")); err != nil {
					t.Errorf("after %d calls: %v", calls.Load(), err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range stops {
		stops[i]()
		start(i)
	}
	close(over)
	all.Wait()
	if calls.Load() == 0 {
		t.Error("no call was made")
	}
}

func TestHandlersOfAStoppingServerMayCall(t *testing.T) {
	address, _ := startNode(t, "127.0.0.1:0")
	serve(t, rpcserver.Options{Module: "stock", Addresses: []string{address}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Take", echo)
	})
	started, goOn := make(chan struct{}, 1), make(chan struct{})
	_, stop := serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}, Needs: []string{"stock"}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Buy", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			started <- struct{}{}
			<-goOn
			return s.Client().CallRaw(ctx, "stock.Take", r.Body)
		})
		rpcserver.HandleRaw(s, "Echo", echo)
	})
	alice := dial(t, address, "web")
	bought := alice.Go(t.Context(), "shop.Buy", []byte("tea"), nil)
	<-started
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	for { // until the node has read that the server stops
		_, err := alice.CallRaw(t.Context(), "shop.Echo", nil)
		if errors.Is(err, rpcclient.ErrNotExecuted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	if err := bought.Wait(); err != nil {
		t.Error(err)
	}
	<-stopped
}

func TestNodeThatRestartsIsFoundAgain(t *testing.T) {
	address, stop := startNode(t, "127.0.0.1:0", func(o *messageserver.Options) { o.DrainTimeout = 300 * time.Millisecond })
	serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Echo", echo)
	})
	alice := dial(t, address, "web")
	if _, err := alice.CallRaw(t.Context(), "shop.Echo", nil); err != nil {
		t.Fatal(err)
	}
	stop()
	startNode(t, address)
	for {
		_, err := alice.CallRaw(t.Context(), "shop.Echo", nil)
		if err == nil {
			return
		}
		if !errors.Is(err, rpcclient.ErrNotExecuted) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, rpcclient.CodeNoModule) && !errors.Is(err, rpcclient.CodeNoInstance) && !errors.Is(err, rpcclient.CodeDraining) {
			t.Fatal(err)
		}
	}
}

func TestSecrets(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	address, _ := startNode(t, "127.0.0.1:0", func(o *messageserver.Options) {
		o.Auth = messageserver.AuthOptions{Mode: "secret", Modules: []messageserver.ModuleSecret{
			{Module: "shop", Secret: secret}, {Module: "web", KeyID: 2, Secret: secret + "2"},
		}}
	})
	serve(t, rpcserver.Options{Module: "shop", Addresses: []string{address}, Secret: secret}, func(s *rpcserver.Server) {
		rpcserver.HandleRaw(s, "Echo", echo)
	})
	for _, c := range []struct {
		module, secret string
		key            uint32
		want           error
	}{
		{"web", secret + "2", 2, nil},
		{"web", secret + "2", 1, rpcclient.CodeUnauthenticated},
		{"web", secret, 2, rpcclient.CodeUnauthenticated},
		{"evil", secret, 0, rpcclient.CodeUnauthenticated},
		{"web", "", 0, rpcclient.CodeUnauthenticated},
	} {
		client, err := rpcclient.Dial(address, rpcclient.Options{Module: c.module, Secret: c.secret, KeyID: c.key, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CallRaw(t.Context(), "shop.Echo", nil)
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
		client.Close()
	}
}

func TestTheNewerProcessWins(t *testing.T) {
	address, _ := startNode(t, "127.0.0.1:0")
	options := rpcserver.Options{Module: "shop", Instance: "shop-1", Addresses: []string{address}, Logger: quiet}
	old := rpcserver.New(options)
	rpcserver.HandleRaw(old, "Echo", echo)
	ended := make(chan error, 1)
	go func() { ended <- old.Run(t.Context()) }()
	if err := old.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	serve(t, options, func(s *rpcserver.Server) { rpcserver.HandleRaw(s, "Echo", echo) })
	if err := <-ended; !errors.Is(err, rpcserver.ErrReplaced) {
		t.Errorf("Run of the old process returned %v", err)
	}
	if _, err := dial(t, address, "web").CallRaw(t.Context(), "shop.Echo", nil); err != nil {
		t.Error(err)
	}
}

func TestNodeThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = dial(t, address, "web").CallRaw(t.Context(), "shop.Echo", nil, rpcclient.Timeout(50*time.Millisecond))
	if !errors.Is(err, rpcclient.CodeExpired) {
		t.Errorf("got %v", err)
	}
}
