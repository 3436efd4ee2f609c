package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestEverySplitGivesTheSame cuts one conversation at every byte.
func TestEverySplitGivesTheSame(t *testing.T) {
	malformed := request(3, "pay.Move")
	malformed.Header = malformed.Header[:3]
	first := request(4, "pay.Move")
	first.Flags |= wire.FlagMore
	var said []byte
	for _, f := range []wire.Frame{
		header(wire.KindLogin, loginOf("pay", "pay-1", pb.Role_ROLE_BOTH, "Move")),
		{Kind: wire.KindPing, CallID: 1},
		{Kind: 200, Header: []byte("skipped"), Body: []byte("whole")},
		request(1, "nobody.Move"),
		malformed,
		first,
		request(5, "nobody.Move"),
		{Kind: wire.KindPart, CallID: 4, Status: wire.Code(wire.KindRequest), Body: []byte("the rest")},
		cancel(99),
		{Kind: wire.KindPing, CallID: 2},
		{Kind: 99},
	} {
		said = f.Append(said)
	}
	said = append([]byte(wire.Preface), said...)
	whole := heardOf(t, said, len(said))
	for _, want := range []string{"WELCOME", "POLICY", "PONG", "NO_MODULE (call 1", "BAD_REQUEST (call 3", "NO_MODULE (call 4", "GOAWAY BAD_REQUEST"} {
		if !strings.Contains(whole, want) {
			t.Fatalf("nothing of %s in what the node said: %s", want, whole)
		}
	}
	for cut := range said {
		if got := heardOf(t, said, cut); got != whole {
			t.Fatalf("cut at %d of %d the node said %s\nwant %s", cut, len(said), got, whole)
		}
	}
}

// heardOf says something in two pieces and returns all that the node says, by lanes: within one the order is fixed.
func heardOf(t *testing.T, said []byte, cut int) (heard string) {
	story(t, func(n *node) {
		m := n.connect(testkit.PipeOptions{})
		m.write(said[:cut])
		synctest.Wait()
		m.write(said[cut:])
		heard = m.hear()
	})
	return heard
}

// hear returns all that the node says to its end.
func (m *module) hear() string {
	var control, answers bytes.Buffer
	for {
		f, err := m.next()
		if err != nil {
			return control.String() + answers.String()
		}
		lane := &control
		if f.Kind == wire.KindResponse {
			lane = &answers
		}
		fmt.Fprintln(lane, describe(f))
	}
}
