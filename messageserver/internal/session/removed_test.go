package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestTheNodeIsRemovedFromTheMesh: who is logged in is sent to the other nodes, and who comes is refused, until it is a member
// again.
func TestTheNodeIsRemovedFromTheMesh(t *testing.T) {
	story(t, func(n *node) {
		pay, web := n.server("pay", "pay-1", "Move"), n.caller("web")
		n.sessions.SendAway([]*pb.Node{{Name: "c", Address: "10.0.0.3:7070"}})
		for _, m := range []*module{pay, web} {
			f := m.wantCode(wire.KindGoaway, wire.Draining)
			g := &pb.Goaway{}
			if err := readControl(&f, g); err != nil || len(g.GetTry()) != 1 || g.GetTry()[0].GetName() != "c" {
				t.Fatalf("%v, %v: want c to be tried", g, err)
			}
		}
		web.send(request(1, "pay.Move"))
		web.wantAnswer(1, wire.Draining)
		late := n.connect(testkit.PipeOptions{})
		late.write([]byte(wire.Preface))
		late.send(header(wire.KindLogin, loginOf("late", "late-1", pb.Role_ROLE_CALLER)))
		late.wantRefuse(wire.Draining)
		pay.leave()
		time.Sleep(31 * time.Second) // web does not leave
		synctest.Wait()
		web.wantClosed()
		n.sessions.TakeBack()
		n.caller("back")
	})
}
