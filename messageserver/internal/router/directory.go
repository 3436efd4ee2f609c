package router

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// directory is who claims which name on which node: what tables are built from. Every change of it is one edit, which ends
// with one swap of the table.
type directory struct {
	// Static after construction.
	self *owner // this node

	rouse atomic.Int64 // when tend has something to do, on the node's clock; 0 is never

	// Guarded by mu.
	mu      sync.Mutex
	owners  map[string]*owner           // by node
	modules map[string]map[string]*name // by module and instance
	dirty   map[uint64]*Registration    // of this node, since Changes was called; nil: gone
	told    map[uint64]struct{}         // sessions of this node that know that they were replaced
	resting map[*name]struct{}          // names that change with time: see tend
	claims  int
}

// owner is a node with the sessions that it holds.
type owner struct {
	node string // static after construction

	// Guarded by directory.mu.
	via    Target // the link to it; nil for this node, and while it is not connected
	claims map[uint64]*claim
}

// claim is one session's claim to a name, immutable.
type claim struct {
	reg   *Registration
	owner *owner
	home  *home // nil on another node
}

// route returns over what the session of a claim is reached, or nil.
func (c *claim) routeLocked() Target {
	if c.home != nil {
		return c.home.target
	}
	return c.owner.via
}

func newDirectory(node string) *directory {
	self := &owner{node: node, claims: make(map[uint64]*claim)}
	return &directory{
		self:    self,
		owners:  map[string]*owner{node: self},
		modules: make(map[string]map[string]*name),
		dirty:   make(map[uint64]*Registration),
		told:    make(map[uint64]struct{}),
		resting: make(map[*name]struct{}),
	}
}

// edit is one change of the directory: which names it touches, and who is to be told when it is done.
type edit struct {
	now    time.Duration
	names  []*name
	homes  map[uint64]struct{} // sessions of this node that have come, gone or changed
	losers []Target
	downs  int  // names that are held down since
	reach  bool // nobody has logged in or out: nodes have come within reach, or gone out of it
}

// touch notes that a name is to be looked at again.
func (e *edit) touchLocked(n *name) {
	if !n.touched {
		n.touched = true
		e.names = append(e.names, n)
	}
}

// touchHome notes that others may or may not call a session of this node any more.
func (e *edit) touchHome(session uint64) {
	if e.homes == nil {
		e.homes = make(map[uint64]struct{}, 1)
	}
	e.homes[session] = struct{}{}
}

// edit makes one change. Who has lost its name, and who waits for changes, hears of it when the lock is free again.
func (r *Router) edit(change func(d *directory, e *edit)) {
	d := r.directory
	e := edit{now: r.now()}
	d.mu.Lock()
	waiting := len(d.dirty) > 0
	change(d, &e)
	r.commitLocked(&e)
	wake := !waiting && len(d.dirty) > 0
	d.mu.Unlock()
	r.counters.HoldDowns.Add(uint64(e.downs))
	r.counters.Replaced.Add(uint64(len(e.losers)))
	for _, loser := range e.losers {
		loser.Replace()
	}
	if wake && r.opts.Changed != nil {
		r.opts.Changed()
	}
}

// commitLocked decides every name that was touched, and swaps what calls look at.
func (r *Router) commitLocked(e *edit) {
	d := r.directory
	modules := make(map[string][]*name) // the names that are new in a table
	for _, n := range e.names {
		n.touched = false
		fresh := n.entry == nil
		d.resolveLocked(e, n)
		added := modules[n.module]
		if fresh && n.entry != nil {
			added = append(added, n)
		}
		modules[n.module] = added
	}
	if len(modules) > 0 {
		r.table.Store(r.table.Load().with(modules))
	}
	if len(e.homes) > 0 {
		changes := make(map[uint64]*home, len(e.homes))
		for session := range e.homes {
			changes[session] = nil
			if c := d.self.claims[session]; c != nil && !d.modules[c.reg.Module][c.reg.Instance].mute {
				changes[session] = c.home
			}
		}
		r.local.homes.edit(changes)
	}
}

// putLocked adds a claim, or replaces what its session claimed before.
func (d *directory) putLocked(e *edit, o *owner, reg *Registration, t Target) {
	if reg.Methods == nil {
		whole := *reg
		whole.Methods = noMethods
		reg = &whole
	}
	c := &claim{reg: reg, owner: o}
	if o == d.self {
		c.home = &home{reg: reg, target: t}
		d.dirty[reg.Session] = reg
		e.touchHome(reg.Session)
	}
	if old := o.claims[reg.Session]; old != nil {
		if old.reg.Module == reg.Module && old.reg.Instance == reg.Instance {
			n := d.modules[reg.Module][reg.Instance]
			n.claims[slices.Index(n.claims, old)] = c
			o.claims[reg.Session] = c
			e.touchLocked(n)
			return
		}
		d.dropLocked(e, o, reg.Session)
		if o == d.self {
			d.dirty[reg.Session] = reg
		}
	}
	n := d.nameLocked(reg.Module, reg.Instance)
	n.claims = append(n.claims, c)
	o.claims[reg.Session] = c
	d.claims++
	e.touchLocked(n)
}

// dropLocked takes a session's claim away, if it has one.
func (d *directory) dropLocked(e *edit, o *owner, session uint64) {
	c := o.claims[session]
	if c == nil {
		return
	}
	delete(o.claims, session)
	d.claims--
	n := d.modules[c.reg.Module][c.reg.Instance]
	n.claims = slices.DeleteFunc(n.claims, func(other *claim) bool { return other == c })
	e.touchLocked(n)
	if o == d.self {
		d.dirty[session] = nil
		delete(d.told, session)
		e.touchHome(session)
	}
}

// touchAllLocked touches the names that a node's sessions claim.
func (d *directory) touchAllLocked(e *edit, o *owner) {
	for _, c := range o.claims {
		e.touchLocked(d.modules[c.reg.Module][c.reg.Instance])
	}
}

// Register adds a session of this node, whose calls go to t. Of two processes that claim one (module, instance) the one
// with the greater stamp has it, whichever comes first; of two sessions of one process on one node the newer one. The other
// is told by Target.Replace, and keeps its claim until it is unregistered.
func (r *Router) Register(reg *Registration, t Target) {
	r.counters.Registrations.Add(1)
	r.edit(func(d *directory, e *edit) { d.putLocked(e, d.self, reg, t) })
}

// amend replaces the registration of a session of this node, if it has one.
func (r *Router) amend(session uint64, change func(reg *Registration)) {
	r.edit(func(d *directory, e *edit) {
		if c := d.self.claims[session]; c != nil {
			reg := *c.reg
			change(&reg)
			d.putLocked(e, d.self, &reg, c.home.target)
		}
	})
}

// Update replaces the methods of a session of this node.
func (r *Router) Update(session uint64, m *Methods) {
	r.amend(session, func(reg *Registration) { reg.Methods = m })
}

// Drain keeps a session of this node for calls that have no other way: it is about to log in elsewhere.
func (r *Router) Drain(session uint64) {
	r.amend(session, func(reg *Registration) { reg.Draining = true })
}

// Unregister removes a session of this node.
func (r *Router) Unregister(session uint64) {
	r.edit(func(d *directory, e *edit) { d.dropLocked(e, d.self, session) })
}

// Changes returns what has become of the sessions of this node that have changed since the last call, in the order of their
// numbers: the newest value of each, and none of what it was between. A session that is gone may be one that no earlier call
// has named. Options.Changed says when there is something.
func (r *Router) Changes() []Change {
	d := r.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	changes := make([]Change, 0, len(d.dirty))
	for session, reg := range d.dirty {
		changes = append(changes, Change{session, reg})
	}
	clear(d.dirty)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Session, b.Session) })
	return changes
}

// Announce takes what another node says of its sessions, in order. A node that is not connected may be announced: its
// instances are listed, and not chosen.
func (r *Router) Announce(node string, changes []Change) {
	if node == r.opts.Node || len(changes) == 0 {
		return
	}
	r.edit(func(d *directory, e *edit) {
		o := d.ownerLocked(node)
		for _, c := range changes {
			if c.Registration == nil {
				d.dropLocked(e, o, c.Session)
				continue
			}
			r.stamps.follow(c.Registration.Stamp.N)
			d.putLocked(e, o, c.Registration, nil)
		}
	})
}

// Connect says that a node is reached over via: from now on its instances are chosen.
func (r *Router) Connect(node string, via Target) {
	if node == r.opts.Node {
		return
	}
	r.edit(func(d *directory, e *edit) {
		e.reach = true
		o := d.ownerLocked(node)
		o.via = via
		d.touchAllLocked(e, o)
	})
}

// Disconnect says that a node is not reached over via any more. When it returns, no call is given to the node, unless it has
// been connected over another way meanwhile. What it said of its sessions is kept.
func (r *Router) Disconnect(node string, via Target) {
	r.edit(func(d *directory, e *edit) {
		e.reach = true
		if o := d.owners[node]; o != nil && o != d.self && o.via == via {
			o.via = nil
			d.touchAllLocked(e, o)
		}
	})
}

// Forget removes a node with all that it said.
func (r *Router) Forget(node string) {
	r.edit(func(d *directory, e *edit) {
		o := d.owners[node]
		if o == nil || o == d.self {
			return
		}
		for session := range o.claims {
			d.dropLocked(e, o, session)
		}
		delete(d.owners, node)
	})
}

func (d *directory) ownerLocked(node string) *owner {
	o := d.owners[node]
	if o == nil {
		o = &owner{node: node, claims: make(map[uint64]*claim)}
		d.owners[node] = o
	}
	return o
}

// nameLocked returns a name, which is made if there is none.
func (d *directory) nameLocked(module, instance string) *name {
	m := d.modules[module]
	if m == nil {
		m = make(map[string]*name)
		d.modules[module] = m
	}
	n := m[instance]
	if n == nil {
		n = &name{module: module, instance: instance}
		m[instance] = n
	}
	return n
}
