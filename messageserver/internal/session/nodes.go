package session

import (
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// newsEvery is how often modules are told at most which nodes there are.
const newsEvery = time.Second

// news tells modules which nodes there are when that has changed.
type news struct {
	// Held while the nodes are asked for and NODES is queued, so that the last one that a module gets is the newest.
	telling sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	changes uint64        // how often the nodes have changed
	told    time.Duration // when modules were told last, on the node's clock
	later   *time.Timer   // tells them next, or nil
}

// NodesChanged says that Options.Nodes returns other nodes than before. Open sessions whose modules take NODES are told, at
// most once a second: what comes sooner is told with the next. It does not block.
func (s *Sessions) NodesChanged() {
	n := &s.news
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changes++
	if n.later == nil {
		n.later = time.AfterFunc(max(0, n.told+newsEvery-s.opts.Clock.Now()), s.tellNodes)
	}
}

// tellNodes tells all who are to be told.
func (s *Sessions) tellNodes() {
	s.news.mu.Lock()
	s.news.later, s.news.told = nil, s.opts.Clock.Now()
	s.news.mu.Unlock()
	for _, c := range s.snapshot() {
		c.tellNodes()
	}
}

func (s *Sessions) nodeChanges() uint64 {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return s.news.changes
}

// tellNodes sends NODES to an open session whose module takes it. From any goroutine.
func (c *session) tellNodes() {
	if c.currentState() != stateOpen || c.login.GetFeatures()&wire.FeatureNodes == 0 || c.login.GetLifetime() != pb.Lifetime_LIFETIME_LONG {
		return
	}
	n := &c.room.news
	n.telling.Lock()
	f := controlFrame(wire.KindNodes, &pb.Nodes{Nodes: c.room.opts.Nodes()})
	wake, err := c.conn.Send(frameconn.Control, &f, false)
	n.telling.Unlock()
	if err == nil && wake {
		c.conn.Flush()
	}
}
