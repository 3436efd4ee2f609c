package cluster

import (
	"testing"

	"github.com/twohop/twohop/messageserver"
)

// TestARemovedNodeSendsItsModulesAway: those that are logged in at a node that is taken out of the mesh move to the others, and
// no call fails.
func TestARemovedNodeSendsItsModulesAway(t *testing.T) {
	onEachMesh(t, abc, func(t *testing.T, m *mesh) {
		pay := m.serveAt("pay", "pay-1", echo, "a", "b")
		alice := m.clientAt("alice", "b")
		alice.wantReply("pay.Do", "before")
		var left []messageserver.Member
		for _, one := range m.members {
			if one.Node != "b" {
				left = append(left, one)
			}
		}
		for _, name := range []string{"b", "a", "c"} {
			if err := m.hosts[name].node.SetMembers(left); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			alice.wantReply("pay.Do", "after")
		}
		eventually(t, "nobody is logged in at b", func() bool {
			b := m.hosts["b"].node
			return b.Sessions("pay") == 0 && b.Sessions("alice") == 0
		})
		eventually(t, "pay-1 has a path at c", func() bool { return m.hosts["c"].node.Sessions("pay") == 1 })
		if err := m.hosts["b"].node.SetMembers(m.members); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "c"} {
			if err := m.hosts[name].node.SetMembers(m.members); err != nil {
				t.Fatal(err)
			}
		}
		m.wantUp()
		m.clientAt("bob", "b").wantReply("pay.Do", "back")
		pay.wantStop()
	})
}
