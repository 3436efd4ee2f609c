package cluster

import (
	"testing"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

var abc = []string{"a", "b", "c"}

func TestACallCrossesTwoNodes(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		m.serveAt("pay", "pay-1", echo, "b")
		alice := m.clientAt("alice", "a")
		var r rpcclient.Receipt
		alice.wantReply("pay.Do", "42", rpcclient.WantReceipt(&r))
		if r.Receiver.Instance != "pay-1" || r.Receiver.Node != "b" || len(r.Hops) != 2 {
			t.Errorf("receipt %+v, want pay-1 at b over two nodes", r)
		}
	})
}
