package rpcserver_test

import (
	"testing"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/rpcclient-sdk"
)

// TestAllocations bounds what a call through client, node and server allocates, the caller's answer and the handler's argument
// among it.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	c := throughNode(t)
	body := make([]byte, 128)
	for _, test := range []struct {
		name string
		most float64
		call func() error
	}{
		{"raw: task, answer, and the handler's copy", 3, func() error { _, err := c.CallRaw(t.Context(), "shop.Echo", body); return err }},
		{"inline: task, answer", 2, func() error { _, err := c.CallRaw(t.Context(), "shop.Inline", body); return err }},
		{"typed: task, and argument and answer with a string each", 6, func() error {
			_, err := rpcclient.Call[pb.Node](t.Context(), c, "shop.Typed", &pb.Node{Name: "a name of some length"})
			return err
		}},
	} {
		if n := testing.AllocsPerRun(2000, func() {
			if err := test.call(); err != nil {
				t.Fatal(err)
			}
		}); n > test.most {
			t.Errorf("%s: %v allocations a call, want %v at most", test.name, n, test.most)
		} else {
			t.Log(test.name, n)
		}
	}
}
