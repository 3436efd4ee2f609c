package caller

import (
	"slices"
	"time"

	"github.com/twohop/twohop/proto/pb"
)

// addresses are the ways into the mesh that a client knows. Guarded by Client.mu.
type addresses struct {
	given     []string          // by the program, shuffled
	learnt    []string          // from WELCOME
	preferred []string          // to be tried next, once
	nodes     map[string]string // name → address
	next      int
	moved     time.Duration // when a call last asked for another node
	everMoved bool
}

const (
	maxLearnt    = 64
	movesAtLeast = time.Second // between two moves that calls ask for
)

// nextAddress returns the address to try next: another one each time.
func (c *Client) nextAddress() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &c.addresses
	if len(a.preferred) > 0 {
		address := a.preferred[0]
		a.preferred = a.preferred[1:]
		return address
	}
	i := a.next % (len(a.given) + len(a.learnt))
	a.next++
	if i < len(a.given) {
		return a.given[i]
	}
	return a.learnt[i-len(a.given)]
}

func (c *Client) addressCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.addresses.given) + len(c.addresses.learnt)
}

// learn notes nodes.
func (c *Client) learn(nodes []*pb.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &c.addresses
	for _, node := range nodes {
		address := node.GetAddress()
		if checkAddress(address) != nil || len(a.learnt) >= maxLearnt {
			continue
		}
		a.nodes[node.GetName()] = address
		if !slices.Contains(a.given, address) && !slices.Contains(a.learnt, address) {
			a.learnt = append(a.learnt, address)
		}
	}
}

// prefer has nodes tried next that the node of s names, which does not want the session any more.
func (c *Client) prefer(s *Session, nodes []*pb.Node) {
	c.learn(nodes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses.preferred = nil
	for _, node := range nodes {
		address := node.GetAddress()
		if checkAddress(address) == nil && address != s.address && (s.node == "" || node.GetName() != s.node) {
			c.addresses.preferred = append(c.addresses.preferred, address)
		}
	}
}

// elsewhere sees to it that calls go to another node than that of s: one of try, or any other for nil. It reports whether
// there is one.
func (c *Client) elsewhere(s *Session, try []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.usable {
		if other != s && (try == nil || slices.Contains(try, other.node)) {
			c.usable[0], c.usable[i] = other, c.usable[0]
			return true
		}
	}
	if c.opts.Server != nil || c.closed {
		return false // a server stays where it is registered
	}
	if s.leaving {
		return true // the next session is on its way
	}
	a := &c.addresses
	var others []string
	if try == nil {
		for _, address := range slices.Concat(a.given, a.learnt) {
			if address != s.address && address != a.nodes[s.node] {
				others = append(others, address)
			}
		}
	}
	for _, node := range try {
		if address, known := a.nodes[node]; known && node != s.node {
			others = append(others, address)
		}
	}
	now := c.clock.Now()
	if len(others) == 0 || try != nil && a.everMoved && now-a.moved < movesAtLeast {
		return false
	}
	a.moved, a.everMoved = now, true
	if try != nil || len(a.preferred) == 0 {
		a.preferred = others
	}
	c.leaveLocked(s)
	return true
}
