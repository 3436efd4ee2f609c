package router

import (
	"cmp"
	"sync/atomic"
)

// Stamp orders the processes that claim one name: the greater wins.
type Stamp struct {
	N    uint64
	Node string
}

// Compare returns -1, 0 or 1, as s is less than, equal to or greater than t.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.N, t.N), cmp.Compare(s.Node, t.Node))
}

// maxStampLead bounds how far a module's claim may move a node's clock of stamps, and maxStamp how far that of a node may: one
// claim must not use it up.
const (
	maxStampLead = 1 << 32
	maxStamp     = 1 << 62
)

// stampClock is a Lamport clock (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978): a process
// that logs in after another one was heard of has the greater stamp, on whichever node.
type stampClock struct{ n atomic.Uint64 }

// hear moves the clock up to a stamp that a module brings, and reports whether a mesh can have come to it.
func (c *stampClock) hear(n uint64) bool {
	if now := c.n.Load(); n > now && n-now > maxStampLead {
		return false
	}
	c.follow(n)
	return true
}

// follow moves the clock up to a stamp that another node has given.
func (c *stampClock) follow(n uint64) {
	for now := c.n.Load(); n > now && n < maxStamp; now = c.n.Load() {
		if c.n.CompareAndSwap(now, n) {
			return
		}
	}
}

// NextStamp returns the stamp of a process that logs in for the first time.
func (r *Router) NextStamp() Stamp { return Stamp{N: r.stamps.n.Add(1), Node: r.opts.Node} }

// HearStamp takes note of the stamp that a process brings. One that is further ahead than a mesh can have come is not true, and
// must not be used.
func (r *Router) HearStamp(s Stamp) (ok bool) { return r.stamps.hear(s.N) }
