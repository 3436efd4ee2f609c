package caller

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twohop/twohop/proto/pb"
)

// addresses are the ways into the mesh that a client knows, besides what the nodes say that it has sessions with
// (Session.told). Guarded by Client.mu.
type addresses struct {
	given   []string                 // by the program, shuffled
	former  []way                    // what nodes said once; tried while no session takes calls
	reached map[string]string        // address → the node that answered the last login there
	rests   map[string]time.Duration // address → until when its node does not want to be asked
	vain    map[string]time.Duration // address → until when no call has a session moved there: that has just failed

	moved     time.Duration // when a call last had a session moved
	everMoved bool
}

// way is what a node said of a node.
type way struct{ node, address string }

const (
	maxLearnt    = 64          // ways that one node names, and former ones
	maxReached   = 256         // addresses whose nodes are remembered
	movesAtLeast = time.Second // between two moves that calls ask for
	vainTime     = 30 * time.Second
)

// waysOf returns the addresses of nodes that can be dialed, in random order: all clients hear the same list, and must not
// all go to its first node.
func waysOf(nodes []*pb.Node) (ways []way) {
	for _, n := range nodes {
		if w := (way{n.GetName(), n.GetAddress()}); checkAddress(w.address) == nil && len(ways) < maxLearnt {
			ways = append(ways, w)
		}
	}
	rand.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] }) //nolint:gosec // spreads load
	return ways
}

// learn replaces what the node of s has said about the mesh.
func (c *Client) learn(s *Session, nodes []*pb.Node) {
	ways := waysOf(nodes)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range ways {
		if slices.Contains(s.told, w) {
			continue
		}
		for _, p := range c.paths {
			delete(p.tried, w.address) // it is there now
		}
		delete(c.addresses.vain, w.address)
	}
	c.addresses.rememberLocked(s.told)
	s.told = ways
	c.changedLocked()
}

// rememberLocked keeps what nodes said that say so no more.
func (a *addresses) rememberLocked(ways []way) {
	for _, w := range ways {
		a.former = slices.DeleteFunc(a.former, func(f way) bool { return f.address == w.address })
		a.former = append(a.former, w)
	}
	if extra := len(a.former) - maxLearnt; extra > 0 {
		a.former = slices.Delete(a.former, 0, extra)
	}
}

// reachedLocked notes which node answers at an address.
func (a *addresses) reachedLocked(address, node string) {
	if len(a.reached) >= maxReached {
		clear(a.reached)
	}
	a.reached[address] = node
}

// restLocked has an address left alone for a while, as its node asked.
func (a *addresses) restLocked(address string, now, until time.Duration) {
	noteUntil(a.rests, address, now, until)
}

// refusedLocked has an address left alone whose node refused a login, for as long as it asked, or seems wise.
func (a *addresses) refusedLocked(address string, now time.Duration, refusal *Error) {
	rest := refusal.RetryAfter
	if final(refusal.Code) {
		rest = max(rest, refusedMin+rand.N(backoffMax-refusedMin)) //nolint:gosec // jitter
	}
	if rest > 0 {
		a.restLocked(address, now, now+rest)
	}
}

// noteUntil notes something that is over then, and forgets what is over now.
func noteUntil(notes map[string]time.Duration, address string, now, until time.Duration) {
	for other, over := range notes {
		if over <= now {
			delete(notes, other)
		}
	}
	notes[address] = until
}

// prefer has nodes tried next that the node of s names, which does not want the session any more.
func (c *Client) prefer(s *Session, nodes []*pb.Node) {
	ways := waysOf(nodes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses.rememberLocked(ways)
	var hints []string
	for _, w := range ways {
		if w.address != s.address && (s.node == "" || w.node != s.node) {
			hints = append(hints, w.address)
		}
	}
	if s.order == 0 { // nodes that let nobody in and name each other must not be asked for ever
		hints = slices.DeleteFunc(hints, func(a string) bool { return s.path.tried[a] })
	}
	s.path.hintLocked(hints)
	c.changedLocked()
}

// hintLocked has addresses tried next, also if they failed in this round: somebody says that it is worth it.
func (p *path) hintLocked(addresses []string) {
	p.hints = addresses
	for _, a := range addresses {
		delete(p.tried, a)
	}
}

// knownLocked returns the addresses that may be dialed: the given ones and those that are told, each once. While no session
// takes calls these are also the former ones: the last that a node said before it was lost may have been that it lost the others.
func (c *Client) knownLocked() []string {
	all := slices.Clone(c.addresses.given)
	add := func(w way) bool {
		if !slices.Contains(all, w.address) {
			all = append(all, w.address)
		}
		return true
	}
	c.toldLocked(add)
	if len(c.usable) == 0 {
		c.formerLocked(add)
	}
	return all
}

// toldLocked yields what the nodes say that there are sessions with, the newest session's first.
func (c *Client) toldLocked(yield func(way) bool) {
	for _, s := range slices.Backward(c.sessions) {
		for _, w := range s.told {
			if !yield(w) {
				return
			}
		}
	}
}

// formerLocked yields what nodes said once, the newest first.
func (c *Client) formerLocked(yield func(way) bool) {
	for _, w := range slices.Backward(c.addresses.former) {
		if !yield(w) {
			return
		}
	}
}

// nodeLocked returns the name of the node at an address: who answered there, else who was said to; empty if nobody knows.
func (c *Client) nodeLocked(address string) (node string) {
	if node = c.addresses.reached[address]; node != "" {
		return node
	}
	find := func(w way) bool {
		if w.address == address {
			node = w.node
		}
		return node == ""
	}
	c.toldLocked(find)
	if node == "" {
		c.formerLocked(find)
	}
	return node
}

// addressesLocked returns the known addresses of a node.
func (c *Client) addressesLocked(node string) (all []string) {
	add := func(w way) bool {
		if c.nodeLocked(w.address) == node && !slices.Contains(all, w.address) {
			all = append(all, w.address)
		}
		return true
	}
	for _, address := range c.addresses.given {
		add(way{address: address})
	}
	c.toldLocked(add)
	c.formerLocked(add)
	return all
}
