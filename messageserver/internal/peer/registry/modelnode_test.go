package registry

import (
	"fmt"
	"slices"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// start is a new process.
func (n *node) start() {
	n.w.epoch++
	n.alive, n.boot, n.paused = true, n.w.epoch, 0
	n.kept = max(n.kept+1, n.clock)
	n.own = NewOwn(n.kept)
	n.own.ring.maxVersions, n.own.ring.maxKeys = 6, 24
	n.changes, n.history = nil, make(map[Mark]state)
	n.past[n.boot] = n.history
	n.remember()
	for i := range n.peers {
		if i == n.index {
			continue
		}
		member := n.peers[i] != nil && n.peers[i].member
		n.peers[i] = &other{member: member, view: NewView(n.w.nodes[i].name), held: make(state)}
	}
	n.w.tracef("%s starts as %v", n.name, n.own.Mark())
}

// remember keeps the state that the node has now.
func (n *node) remember() {
	s := make(state, n.own.Count())
	for r := range n.own.Each {
		s[r.Session] = r
	}
	if before, known := n.history[n.own.Mark()]; known && !equal(before, s) {
		n.w.failf("%s has two states of version %v", n.name, n.own.Mark())
	}
	n.history[n.own.Mark()] = s
}

func equal(a, b state) bool {
	if len(a) != len(b) {
		return false
	}
	for session, r := range a {
		if o := b[session]; o == nil || !same(r, o) {
			return false
		}
	}
	return true
}

// apply makes a version of what has changed.
func (n *node) apply() {
	before := n.own.Mark()
	made := n.own.Apply(n.changes)
	n.changes = n.changes[:0]
	after := n.own.Mark()
	if made != (after != before) || made && after.Version != before.Version+1 {
		n.w.failf("%s: a batch led from %v to %v", n.name, before, after)
	}
	n.remember()
}

// running reports whether the process does anything now.
func (n *node) running() bool { return n.alive && n.w.now >= n.paused }

// take handles a frame, and looks whether the view is what it must be.
func (n *node) take(from *node, f frame) {
	w, o := n.w, n.peers[from.index]
	result, err := o.x.Take(f.kind, f.header, w.now)
	if err != nil {
		w.failf("%s: %v", n.name, err)
	}
	n.follow(from, result.Changes)
}

// follow gives changes to the table, and compares table, view, and the owner's history.
func (n *node) follow(from *node, changes []router.Change) {
	w, o := n.w, n.peers[from.index]
	for _, c := range changes {
		old := o.held[c.Session]
		switch {
		case c.Registration == nil && old == nil:
			w.failf("%s is told that session %d of %s is gone, which was not there", n.name, c.Session, from.name)
		case c.Registration == nil:
			delete(o.held, c.Session)
		case old != nil && same(old, c.Registration):
			w.failf("%s is told of session %d of %s, which has not changed", n.name, c.Session, from.name)
		default:
			o.held[c.Session] = c.Registration
		}
	}
	mark := o.view.Mark()
	if mark.before(o.mark) {
		w.failf("P2: %s went from %v to %v of %s", n.name, o.mark, mark, from.name)
	}
	o.mark = mark
	want, known := from.past[o.boot][mark]
	if !known && mark.Version > 0 {
		w.failf("P3: %s holds %v of %s, which never was", n.name, mark, from.name)
	}
	if !equal(want, o.view.entries) {
		w.failf("P3: %s holds %d entries as %v of %s, which has %d there", n.name, o.view.Count(), mark, from.name, len(want))
	}
	if !equal(o.held, o.view.entries) {
		w.failf("the changes that %s was told do not lead to its view of %s at %v", n.name, from.name, mark)
	}
}

// drop forgets a link.
func (n *node) drop(o *other) {
	if o.x != nil {
		c := o.x.Counters()
		n.w.tally.Frames.Add(&c)
	}
	o.x = nil
}

// close ends a link; the other side hears of it when the network lets it.
func (n *node) close(to *node) {
	o := n.peers[to.index]
	if o.x == nil {
		return
	}
	n.w.send(n.index, to.index, frame{epoch: o.epoch})
	n.drop(o)
}

// dial makes a link, if the network lets it.
func (n *node) dial(to *node) {
	w, here, there := n.w, n.peers[to.index], to.peers[n.index]
	if !to.running() || !here.member || !there.member || w.paths[n.index][to.index].blocked || w.paths[to.index][n.index].blocked {
		return
	}
	hello := here.view.Known()
	if !to.meet(n) {
		return
	}
	answer := there.view.Known()
	if !n.meet(to) {
		return
	}
	w.epoch++
	w.tally.Links++
	to.drop(there)
	w.tracef("%s ═ %s: %v of %v, %v of %v", n.name, to.name, hello.Mark, to.own.Mark(), answer.Mark, n.own.Mark())
	o := Options{partEntries: 1 + w.rnd.IntN(4)}
	here.x, here.epoch = NewExchange(n.own, here.view, o, answer, w.now), w.epoch
	there.x, there.epoch = NewExchange(to.own, there.view, o, hello, w.now), w.epoch
}

// meet looks at the incarnation that another node brings; one that is too low is raised.
func (n *node) meet(from *node) bool {
	w, o, brought := n.w, n.peers[from.index], from.own.Mark().Incarnation
	known := o.view.Highest()
	if brought == known && o.boot != 0 && o.boot != from.boot { // as the peer room does
		brought = 0
	}
	changes, ok := o.view.Meet(brought)
	if ok != (brought >= known) {
		w.failf("P2: %s knows incarnation %d of %s and met %d: %v", n.name, known, from.name, brought, ok)
	}
	if !ok {
		w.tally.Refused++
		from.kept = known + 1
		from.own.Reincarnate(from.kept)
		from.remember()
		w.tracef("%s is refused by %s, and raised to %v", from.name, n.name, from.own.Mark())
		return false
	}
	if brought > known && o.view.Count() > 0 {
		w.failf("P12: %s met incarnation %d of %s and holds %d entries of a lower one", n.name, brought, from.name, o.view.Count())
	}
	o.boot = from.boot
	n.follow(from, changes)
	return true
}

// sessions returns the node's sessions in order.
func (n *node) sessions() []*router.Registration {
	return slices.SortedFunc(n.own.Each, func(a, b *router.Registration) int { return int(a.Session) - int(b.Session) })
}

var contracts = []*router.Methods{
	charging,
	router.NewMethods(map[string]router.Contract{"Charge": {Visibility: "admin"}}),
	nil,
}

func (n *node) newSession() *router.Registration {
	w := n.w
	w.session++
	w.stamp++
	return &router.Registration{
		Session: w.session, Module: "pay", Instance: fmt.Sprintf("pay-%d", w.rnd.IntN(6)), UUID: fmt.Sprintf("u%d", w.stamp),
		Stamp: router.Stamp{N: 1 + w.stamp - uint64(w.rnd.IntN(int(min(w.stamp, 5)))), Node: n.name}, Methods: contracts[w.rnd.IntN(len(contracts))],
		Weight: uint32(w.rnd.IntN(3)), Since: w.now,
	}
}
