package router

import (
	"errors"
	"fmt"
)

// ConsistencyCheck compares what the router counts with what it holds. It may be called while calls are under way; what it
// can only say of a quiet router it says when there are none. No registration is taken meanwhile.
func (r *Router) ConsistencyCheck() error {
	c := check{}
	calls, kept := r.InFlight()
	transit := r.local.InFlight()
	if calls < 0 || kept < 0 || transit < 0 {
		c.addf("%d calls in flight, %d in transit and %d bytes kept, must not be negative", calls, transit, kept)
	}
	c.directory(r)
	if armed := r.wheel.len(); calls == 0 && transit == 0 && armed != 0 {
		if again, _ := r.InFlight(); again == 0 && r.local.InFlight() == 0 {
			c.addf("no call is in flight, and %d timers are armed", armed)
		}
	}
	return errors.Join(c.errs...)
}

// check collects differences.
type check struct{ errs []error }

func (c *check) addf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("router: "+format, args...))
}

// directory compares claims with names, names with the table, and the sessions of this node with what Local has.
func (c *check) directory(r *Router) {
	d := r.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	claims := 0
	for node, o := range d.owners {
		claims += len(o.claims)
		for session, cl := range o.claims {
			n := d.modules[cl.reg.Module][cl.reg.Instance]
			if cl.reg.Session != session || cl.owner != o || n == nil || !n.has(cl) {
				c.addf("session %d of %s claims %s/%s, and the name does not know", session, node, cl.reg.Module, cl.reg.Instance)
			}
			if (cl.home != nil) != (o == d.self) {
				c.addf("session %d of %s is taken for one of another node", session, node)
			}
		}
	}
	names, named := c.names(r)
	if claims != d.claims || claims != named {
		c.addf("%d claims by node, %d by name, %d counted", claims, named, d.claims)
	}
	entries := 0
	for name, m := range r.table.Load().modules {
		entries += len(m.entries)
		c.module(name, m)
	}
	if entries != names {
		c.addf("%d names are claimed, and the table has %d", names, entries)
	}
	homes := r.local.homes.all()
	for session, h := range homes {
		if cl := d.self.claims[session]; cl == nil || cl.home != h {
			c.addf("session %d can be reached by other nodes, and is not registered", session)
		}
	}
	open := 0
	for _, cl := range d.self.claims {
		if n := d.modules[cl.reg.Module][cl.reg.Instance]; n == nil || !n.mute {
			open++
		}
	}
	if len(homes) != open {
		c.addf("%d sessions are registered and not held down, and %d can be reached by other nodes", open, len(homes))
	}
}

// names checks every name against its entry in the table, and returns how many are claimed and by how many sessions.
func (c *check) names(r *Router) (claimed, claims int) {
	d, t := r.directory, r.table.Load()
	for module, names := range d.modules {
		for instance, n := range names {
			if _, rests := d.resting[n]; len(n.claims) == 0 && !rests {
				c.addf("%s/%s is claimed by nobody, and never forgotten", module, instance)
			}
			claims += len(n.claims)
			if len(n.claims) > 0 {
				claimed++
			}
			if e := t.find(module, instance); e != n.entry {
				c.addf("the table has another entry of %s/%s than its name", module, instance)
			}
			if n.touched || (n.entry == nil) != (len(n.claims) == 0) {
				c.addf("%s/%s has %d claims and was not decided", module, instance, len(n.claims))
			}
			if n.entry != nil {
				c.paths(d, n)
			}
		}
	}
	return claimed, claims
}

// paths checks that what calls may use is there and connected.
func (c *check) paths(d *directory, n *name) {
	e := n.entry
	for i, p := range e.paths {
		o := p.claim.owner
		if d.owners[o.node] != o || !n.has(p.claim) || p.claim.reg.UUID != e.pick.UUID {
			c.addf("%s/%s has a path to session %d of %s, which is not there", n.module, n.instance, p.claim.reg.Session, o.node)
		}
		if p.via != nil && p.via != p.claim.routeLocked() {
			c.addf("%s/%s has a path to %s over a way that is not in use", n.module, n.instance, o.node)
		}
		if (p.via != nil) != (i < e.usable) {
			c.addf("%s/%s has %d paths that can be used, and path %d is wrong about it", n.module, n.instance, e.usable, i)
		}
	}
}

// module checks one module of the table.
func (c *check) module(name string, m *module) {
	if len(m.byPick) != len(m.entries) || len(m.byName) != len(m.entries) {
		c.addf("module %s has %d instances, %d by name and %d by picker", name, len(m.entries), len(m.byName), len(m.byPick))
	}
	if len(m.entries) == 0 {
		c.addf("module %s is registered and has no instance", name)
	}
	for _, e := range m.entries {
		if m.byPick[e.pick] != e {
			c.addf("instance %s/%s is not found by its picker's name for it", name, e.reg.Instance)
		}
		if n := e.pick.Outstanding(); n < 0 {
			c.addf("instance %s/%s has %d attempts outstanding", name, e.reg.Instance, n)
		}
	}
}
