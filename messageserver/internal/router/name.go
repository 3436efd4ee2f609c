package router

import (
	"cmp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/twohop/twohop/governance"
)

// When processes take a name from each other, it is held down.
const (
	takeovers      = 5                // more than so many
	takeoverWindow = 60 * time.Second // in so long
	holdDown       = 60 * time.Second // for so long
)

// linger is how long at least a name that nobody claims is kept, with what balancing knows of its last process: a process that comes
// back so soon goes on where it was.
const linger = time.Second

// name is a (module, instance) and who claims it. All fields but the first two are guarded by directory.mu.
type name struct {
	module, instance string // static after construction

	claims  []*claim
	picks   []*governance.Instance // of the processes that have had the name and claim it, or were the last to do so
	holder  string                 // the process that has it, or had it when one could be reached
	left    time.Duration          // when the last claim went, if there is none
	entry   *entry                 // what tables say of it, nil if nobody claims it
	feud    *feud                  // nil if it was not taken of late
	touched bool                   // by the edit under way
	mute    bool                   // it is held down: the other nodes were told that nobody here has it
}

// feud is the history of a name that processes take from each other.
type feud struct {
	taken []time.Duration // when, of late
	until time.Duration   // how long it is held down; 0: it is not
}

// resolveLocked decides who has a name, and builds what tables say of it.
func (d *directory) resolveLocked(e *edit, n *name) {
	claimed := n.entry != nil
	best := n.bestLocked()
	n.entry = nil
	if best != nil {
		uuid := best.reg.UUID
		sessions := n.sessionsLocked(uuid)
		if best.routeLocked() != nil {
			n.takeLocked(e, uuid)
			d.tellLocked(e, n, sessions)
		}
		n.entry = n.buildLocked(d, uuid, sessions)
	}
	switch {
	case best != nil:
		n.picks = slices.DeleteFunc(n.picks, func(p *governance.Instance) bool { return !n.hasProcess(p.UUID) })
	case claimed:
		n.holder, n.left = "", e.now
	}
	d.muteLocked(e, n)
	if len(n.claims) == 0 || n.feud != nil {
		d.resting[n] = struct{}{}
		d.rouseLocked(e.now + linger)
		if f := n.feud; f != nil && f.until > 0 {
			d.rouseLocked(f.until)
		}
	}
}

// muteLocked keeps the sessions of this node from the other nodes while their name is held down here: those need not have seen
// who took it from whom.
func (d *directory) muteLocked(e *edit, n *name) {
	mute := n.feud != nil && n.feud.until > 0
	if !mute && !n.mute {
		return
	}
	for _, c := range n.claims {
		if c.home == nil {
			continue
		}
		d.dirty[c.reg.Session] = c.reg
		if mute {
			d.dirty[c.reg.Session] = nil
		}
		e.touchHome(c.reg.Session)
	}
	n.mute = mute
}

func (n *name) has(c *claim) bool { return slices.Contains(n.claims, c) }

// hasProcess reports whether a process claims the name.
func (n *name) hasProcess(uuid string) bool {
	return slices.ContainsFunc(n.claims, func(c *claim) bool { return c.reg.UUID == uuid })
}

// bestLocked returns the claim that decides a name: of those whose sessions can be reached the one with the greatest stamp,
// else of all. Equal stamps, which no mesh gives, are told apart by the process.
func (n *name) bestLocked() (best *claim) {
	for _, c := range n.claims {
		if best == nil || c.beatsLocked(best) {
			best = c
		}
	}
	return best
}

func (c *claim) beatsLocked(other *claim) bool {
	if reached := c.routeLocked() != nil; reached != (other.routeLocked() != nil) {
		return reached
	}
	if order := c.reg.Stamp.Compare(other.reg.Stamp); order != 0 {
		return order > 0
	}
	return c.reg.UUID > other.reg.UUID
}

// takeLocked notes that a process has the name now. It is a takeover if the one that had it is still there: one that has gone
// and comes back as another process takes nothing from anybody, however often it does so.
func (n *name) takeLocked(e *edit, uuid string) {
	was := n.holder
	n.holder = uuid
	if was == uuid || !n.hasProcess(was) || e.reach {
		return
	}
	if n.feud == nil {
		n.feud = &feud{}
	}
	f := n.feud
	if f.until > 0 {
		return
	}
	f.forget(e.now)
	f.taken = append(f.taken, e.now)
	if len(f.taken) > takeovers {
		f.taken, f.until = nil, e.now+holdDown
		e.downs++
	}
}

// forget drops the takeovers that count no more.
func (f *feud) forget(now time.Duration) {
	f.taken = slices.DeleteFunc(f.taken, func(at time.Duration) bool { return now-at >= takeoverWindow })
}

// sessionsLocked returns the sessions of a process that count: the newest one on each node. Nodes number theirs upwards.
func (n *name) sessionsLocked(uuid string) []*claim {
	var sessions []*claim
	for _, c := range n.claims {
		if c.reg.UUID == uuid {
			sessions = append(sessions, c)
		}
	}
	if len(sessions) > 1 {
		slices.SortFunc(sessions, func(a, b *claim) int {
			return cmp.Or(cmp.Compare(a.owner.node, b.owner.node), cmp.Compare(b.reg.Session, a.reg.Session))
		})
		sessions = slices.CompactFunc(sessions, func(a, b *claim) bool { return a.owner == b.owner })
	}
	return sessions
}

// tellLocked collects the sessions of this node that have lost the name: all but those that count.
func (d *directory) tellLocked(e *edit, n *name, sessions []*claim) {
	for _, c := range n.claims {
		if c.home == nil || slices.Contains(sessions, c) {
			continue
		}
		if _, known := d.told[c.reg.Session]; !known {
			d.told[c.reg.Session] = struct{}{}
			e.losers = append(e.losers, c.home.target)
		}
	}
}

// buildLocked makes the entry of a name that a process has over these sessions.
func (n *name) buildLocked(d *directory, uuid string, sessions []*claim) *entry {
	en := &entry{name: n, held: n.feud != nil && n.feud.until > 0, paths: make([]path, len(sessions))}
	weight, since := uint32(0), sessions[0].reg.Since
	for i, c := range sessions {
		since, weight = min(since, c.reg.Since), max(weight, c.reg.Weight)
		p := &en.paths[i]
		p.claim = c
		if p.via = c.routeLocked(); p.via != nil {
			en.usable++
			en.lasting = en.lasting || !c.reg.Draining
		}
	}
	n.sortLocked(d.self.node, en.paths)
	en.reg = en.paths[0].claim.reg
	en.methods = en.reg.Methods
	for _, p := range en.paths[1:] {
		if p.claim.reg.Methods != en.methods {
			en.methods = nil
			break
		}
	}
	en.pick = n.pickLocked(uuid, weight, since)
	return en
}

// sortLocked puts the paths of a process in the order in which calls try them: those that can be used, the one of this node
// first, the others in an order that differs from node to node, so that not all send to the same; then those that drain,
// and the rest.
func (n *name) sortLocked(node string, paths []path) {
	if len(paths) < 2 {
		return
	}
	rank := func(p path) (tier int, place uint64) {
		switch {
		case p.via == nil:
			return 3, p.claim.reg.Session
		case p.claim.reg.Draining:
			return 2, p.claim.reg.Session
		case p.claim.home != nil:
			return 0, 0
		}
		var h xxhash.Digest
		h.Reset()
		for _, s := range []string{node, p.claim.owner.node, p.claim.reg.UUID} {
			_, _ = h.WriteString(s)
			_, _ = h.Write([]byte{0})
		}
		return 1, h.Sum64()
	}
	slices.SortFunc(paths, func(a, b path) int {
		at, ap := rank(a)
		bt, bp := rank(b)
		switch {
		case at != bt:
			return at - bt
		case ap < bp:
			return -1
		case ap > bp:
			return 1
		}
		return 0
	})
}

// pickLocked returns what balancing knows of a process. It is the same value as long as the process claims the name, or has
// just done so, and says the same weight.
func (n *name) pickLocked(uuid string, weight uint32, since time.Duration) *governance.Instance {
	if weight == 0 {
		weight = governance.DefaultWeight
	}
	for i, p := range n.picks {
		if p.UUID != uuid {
			continue
		}
		if p.Weight != weight {
			n.picks[i] = governance.NewInstance(n.instance, uuid, weight, min(since, p.Since()))
		}
		n.picks[i].LoggedIn(since)
		return n.picks[i]
	}
	p := governance.NewInstance(n.instance, uuid, weight, since)
	n.picks = append(n.picks, p)
	return p
}

// rouseLocked sees to it that tend looks at what rests at the given time.
func (d *directory) rouseLocked(at time.Duration) {
	if next := time.Duration(d.rouse.Load()); next == 0 || at < next {
		d.rouse.Store(int64(max(at, 1)))
	}
}

// tend ends hold-downs that are over, and forgets the names that nobody has claimed for a while. It returns when it has to be
// called again.
func (r *Router) tend(now time.Duration) (next time.Duration) {
	d := r.directory
	if at := time.Duration(d.rouse.Load()); at == 0 {
		return now + time.Hour
	} else if now < at {
		return at
	}
	r.edit(func(d *directory, e *edit) {
		d.rouse.Store(0)
		for n := range d.resting {
			d.tendLocked(e, n, now)
		}
		if len(d.resting) > 0 {
			d.rouseLocked(now + linger)
		}
	})
	if at := time.Duration(d.rouse.Load()); at != 0 {
		return at
	}
	return now + time.Hour
}

func (d *directory) tendLocked(e *edit, n *name, now time.Duration) {
	if f := n.feud; f != nil {
		if f.until > 0 && now >= f.until {
			f.until = 0
			e.touchLocked(n)
		}
		if f.until > 0 {
			d.rouseLocked(f.until)
			return
		}
		if f.forget(now); len(f.taken) > 0 {
			return
		}
		n.feud = nil
	}
	if len(n.claims) == 0 && now-n.left < linger {
		return
	}
	delete(d.resting, n)
	if len(n.claims) == 0 && !n.touched {
		names := d.modules[n.module]
		if delete(names, n.instance); len(names) == 0 {
			delete(d.modules, n.module)
		}
	}
}

// HeldDown returns for how long a name is still held down, because processes have taken it from each other too often: 0 if it
// is not. None of those that claim it is chosen.
func (r *Router) HeldDown(module, instance string) (left time.Duration) {
	d := r.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.modules[module][instance]; n != nil && n.feud != nil && n.feud.until > 0 {
		return max(n.feud.until-r.now(), 0)
	}
	return 0
}
