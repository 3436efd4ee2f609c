package rpcserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	"github.com/twohop/twohop/rpcclient-sdk"
	"github.com/twohop/twohop/rpcserver-sdk"
)

// forgetful runs a node that keeps nothing, at a given address.
func forgetful(t *testing.T, listen string) (n *messageserver.Server, stop func()) {
	t.Helper()
	n, err := messageserver.New(messageserver.Options{Listen: listen, Admin: messageserver.AdminOptions{Listen: "127.0.0.1:0"}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	var over bool
	stop = func() {
		if over {
			return
		}
		over = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node has ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func putRules(t *testing.T, n *messageserver.Server, text string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+n.AdminAddr()+"/v1/rules", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/yaml")
	q.Header.Set("If-Match", "*")
	q.Header.Set("X-Reason", "a test")
	q.Close = true
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if said, err := io.ReadAll(a.Body); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s %s, %v", a.Status, said, err)
	}
}

// TestANodeThatForgetsItsRulesIsObeyedAgain: a server that stays, and enforces what the node has told it before it started anew, takes
// the first document after that for newer, however many there were before.
func TestANodeThatForgetsItsRulesIsObeyedAgain(t *testing.T) {
	first, stop := forgetful(t, "127.0.0.1:0")
	addr := first.Addr()
	serve(t, rpcserver.Options{Module: "shop", Addresses: []string{addr}}, func(s *rpcserver.Server) { rpcserver.HandleRaw(s, "Buy", echo) })
	c := dial(t, addr, "web")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// want calls until it is so, with a turn of the clock in between: a server that logs in again does so in its own time.
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	want := func(what string, so func([]byte, error) bool) {
		t.Helper()
		for {
			got, err := c.CallRaw(ctx, "shop.Buy", []byte("x"))
			if so(got, err) {
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				t.Fatalf("%s: %q, %v", what, got, err)
			}
		}
	}
	off := func(_ []byte, err error) bool {
		e := rpcclient.AsError(err)
		return e != nil && e.Code == rpcclient.CodeDegraded
	}
	for i := range 3 {
		putRules(t, first, fmt.Sprintf("format: 1\nrules:\n  - {id: off, module: shop, off: {fallback: v%d}}\n", i))
	}
	want("it is off", off)
	for second := time.Now().Unix(); time.Now().Unix() == second; <-again.C { // a start in the same second has the same epoch
	}
	stop()
	next, _ := forgetful(t, addr)
	putRules(t, next, "format: 1\nrules: []\n# anew\n")
	want("nothing is off", func(got []byte, err error) bool { return err == nil && bytes.Equal(got, []byte("x")) })
}
