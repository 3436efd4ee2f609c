package rpcclient_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/rpcclient-sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDialSaysEverythingThatIsWrong(t *testing.T) {
	_, err := rpcclient.Dial("nowhere", rpcclient.Options{Module: "a b", Timeout: -1})
	for _, part := range []string{"rpcclient: ", `"nowhere"`, `"a b"`, "timeout"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %v, want %q in it", err, part)
		}
	}
}

func TestFaceOfTheClient(t *testing.T) {
	address, stop := startHello()
	defer stop()
	connected, left := make(chan rpcclient.Connection, 1), make(chan error, 1)
	c, err := rpcclient.Dial("127.0.0.1:1,"+address, rpcclient.Options{
		Module: "web", Instance: "web-1", Lifetime: rpcclient.Short, Logger: slog.New(slog.DiscardHandler),
		OnConnect:    func(n rpcclient.Connection) { connected <- n },
		OnDisconnect: func(_ rpcclient.Connection, cause error) { left <- cause },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := <-connected; n.Node != "node-1" || n.Address != address || n.Session == 0 {
		t.Errorf("connected to %+v", n)
	}
	answer, err := c.CallRaw(t.Context(), "hello.Say", []byte(`{"Name":"Ada"}`), rpcclient.ContentType("application/json"))
	if err != nil || string(answer) != `{"Text":"Hello, Ada!"}` {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := c.OneWay(t.Context(), "hello.Say", &HelloRequest{Name: "Ada"}); err != nil {
		t.Error(err)
	}
	if s := c.State(); s.Name != rpcclient.StateOpen || s.Node != "node-1" || c.Stats().InFlight != 0 || c.String() != "rpcclient(web-1)" {
		t.Errorf("%s: state %v, stats %+v", c, s, c.Stats())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if cause := <-left; !errors.Is(cause, rpcclient.ErrClosed) {
		t.Errorf("left because of %v", cause)
	}
	if _, err := rpcclient.Call[HelloReply](context.Background(), c, "hello.Say", nil); !errors.Is(err, rpcclient.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if rpcclient.AsError(errors.New("x")) != nil {
		t.Error("AsError makes something of nothing")
	}
}
