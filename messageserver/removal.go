package messageserver

import (
	"context"
	"slices"
	"time"

	"github.com/twohop/twohop/messageserver/internal/discovery"
	"github.com/twohop/twohop/proto/pb"
)

// enforce puts a list in force that was checked. A node that is not in it sends its modules to the others before the links go,
// because it has no way to modules elsewhere then; it takes logins again when it is a member again.
func (m *mesh) enforce(list discovery.List) error {
	s := m.server
	_, stays := list.Find(s.opts.Node)
	if !stays {
		s.opts.Log.Warn("this node is not in the list of members any more: it sends its modules to the others", "node", s.opts.Node)
		others := slices.DeleteFunc(m.peers.Nodes(), func(n *pb.Node) bool { return n.GetName() == s.opts.Node })
		s.sessions.SendAway(others)
		m.removed.CompareAndSwap(0, int64(max(s.clock.Now(), 1)))
	}
	if err := m.peers.SetMembers(peerMembers(list)); err != nil {
		return err
	}
	if stays {
		s.sessions.TakeBack()
		m.removed.Store(0)
	}
	return nil
}

// settleTime is how long a node that starts waits for the registries of the others before it takes modules.
const settleTime = 2 * time.Second

// settle waits until this node has heard of every other one that answers: before that it cannot say who is logged in where.
func (m *mesh) settle(ctx context.Context) {
	over := time.NewTimer(settleTime)
	defer over.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !m.peers.Settled() {
		select {
		case <-look.C:
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
