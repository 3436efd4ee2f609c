package router

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/balance"
	"github.com/twohop/twohop/proto/wire"
)

// table is what calls look at: who is registered, and how to get there. It is immutable: an edit of the directory makes a
// new one, in which the modules that it did not touch are the same.
type table struct {
	modules map[string]*module
}

// find returns the entry of an instance, or nil.
func (t *table) find(module, instance string) *entry {
	m := t.modules[module]
	if m == nil {
		return nil
	}
	return m.byName[instance]
}

// with returns the table in which some modules are built anew: from the entries that their names have now, and from those of
// the names given, which the old table does not have. A module without any is gone.
func (t *table) with(modules map[string][]*name) *table {
	next := &table{modules: make(map[string]*module, len(t.modules)+len(modules))}
	maps.Copy(next.modules, t.modules)
	for name, added := range modules {
		var entries []*entry
		if m := t.modules[name]; m != nil {
			entries = make([]*entry, 0, len(m.entries)+len(added))
			for _, e := range m.entries {
				if now := e.name.entry; now != nil {
					entries = append(entries, now)
				}
			}
		}
		for _, n := range added {
			entries = append(entries, n.entry)
		}
		if len(entries) == 0 {
			delete(next.modules, name)
		} else {
			next.modules[name] = newModule(name, entries)
		}
	}
	return next
}

// entry is one instance: the process that has a name, with the ways to it. Immutable but for pick, which all entries of one
// process share.
type entry struct {
	name    *name         // for the directory only
	reg     *Registration // of the first path
	pick    *governance.Instance
	paths   []path   // in the order in which calls try them; the first ones can be used
	usable  int      // so many of them
	lasting bool     // one of these does not drain
	methods *Methods // of all paths; nil where they differ
	held    bool     // the name is held down
}

// path is a way to an instance: one of its sessions.
type path struct {
	claim *claim
	via   Target // the session, or the link to its node; nil while that is not connected
}

// away reports whether a path could be used if its node were connected.
func (p *path) away() bool { return p.via == nil && p.claim.home == nil }

// choosable reports whether an instance can be chosen.
func (e *entry) choosable() bool { return e.usable > 0 && !e.held }

// has reports whether a method can be called at an instance, over some path that can be used.
func (e *entry) has(m *method) bool {
	if e.methods != nil {
		return m.in(e.methods)
	}
	return slices.ContainsFunc(e.paths[:e.usable], func(p path) bool { return m.in(p.claim.reg.Methods) })
}

// module is a module's part of a table, immutable.
type module struct {
	name    string
	methods map[string]*method
	entries []*entry
	byName  map[string]*entry
	byPick  map[*governance.Instance]*entry
	// reserved stands for the methods that every server SDK answers by itself; their names start with an underscore.
	reserved *method
	away     map[string]map[*Methods][]string // see addAway
}

// method is one method of a module: its contract, and who has it.
type method struct {
	module   *module
	name     string // "" of reserved
	contract Contract
	grouping
}

// in reports whether a set of methods has this one.
func (m *method) in(all *Methods) bool {
	if m.name == "" {
		return true
	}
	_, has := all.ByName[m.name]
	return has
}

// set is the instances that one choice is made from.
type set struct {
	instances []*governance.Instance
	pickers   [wire.BalanceLeastActive + 1]atomic.Pointer[governance.Picker] // by balancer, made when first used
}

// newSet leaves out what drains, unless there is nothing else.
func newSet(entries []*entry) *set {
	if slices.ContainsFunc(entries, func(e *entry) bool { return !e.lasting }) {
		lasting := slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { return !e.lasting })
		if len(lasting) > 0 {
			entries = lasting
		}
	}
	s := &set{instances: make([]*governance.Instance, len(entries))}
	for i, e := range entries {
		s.instances[i] = e.pick
	}
	return s
}

// picker returns the balancer of a kind over the set.
func (s *set) picker(kind wire.Balance) governance.Picker {
	if p := s.pickers[kind].Load(); p != nil {
		return *p
	}
	p := balance.New(balance.Kind(kind), s.instances, nil)
	if !s.pickers[kind].CompareAndSwap(nil, &p) {
		p = *s.pickers[kind].Load() // somebody was faster: all take turns at one
	}
	return p
}

// grouping is the sets over one list of instances: of all, and of each group.
type grouping struct {
	all    *set
	groups map[string]*set
}

func newGrouping(entries []*entry) grouping {
	byGroup := make(map[string][]*entry)
	for _, e := range entries {
		if group := e.reg.Group; group != "" {
			byGroup[group] = append(byGroup[group], e)
		}
	}
	g := grouping{all: newSet(entries), groups: make(map[string]*set, len(byGroup))}
	for group, members := range byGroup {
		g.groups[group] = newSet(members)
	}
	return g
}

// newModule builds a module's part of a table. Entries that cannot be chosen stay in it, so that they are listed.
func newModule(name string, entries []*entry) *module {
	m := &module{
		name:    name,
		entries: entries,
		byName:  make(map[string]*entry, len(entries)),
		byPick:  make(map[*governance.Instance]*entry, len(entries)),
	}
	for _, e := range entries {
		m.byPick[e.pick] = e
		m.byName[e.reg.Instance] = e
		m.addAway(e)
	}
	m.buildMethods()
	return m
}

// addAway notes which methods in which group an instance would have if nodes were connected that are not: module.away is the
// names of those nodes by group (or "", for all groups) and set of methods. There are few of either, so that a refusal that
// names the nodes does not look at every instance.
func (m *module) addAway(e *entry) {
	for i := range e.paths {
		p := &e.paths[i]
		if e.held || !p.away() {
			continue
		}
		groups := []string{"", e.reg.Group}
		if e.reg.Group == "" {
			groups = groups[:1]
		}
		for _, group := range groups {
			if m.away == nil {
				m.away = make(map[string]map[*Methods][]string)
			}
			if m.away[group] == nil {
				m.away[group] = make(map[*Methods][]string)
			}
			nodes := m.away[group][p.claim.reg.Methods]
			if at, there := slices.BinarySearch(nodes, p.claim.owner.node); !there {
				m.away[group][p.claim.reg.Methods] = slices.Insert(nodes, at, p.claim.owner.node)
			}
		}
	}
}

// nodesAway returns the nodes that are not connected and have an instance that a request for the method fits.
func (m *method) nodesAway(req *wire.Request) (nodes []string) {
	if m.module.away == nil {
		return nil
	}
	add := func(node string) {
		if !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	if len(req.Instance) == 0 {
		for methods, owners := range m.module.away[string(req.Group)] {
			if m.in(methods) {
				for _, node := range owners {
					add(node)
				}
			}
		}
	} else if e := m.module.byName[string(req.Instance)]; e != nil && !e.held && e.inGroup(req.Group) {
		for i := range e.paths {
			if p := &e.paths[i]; p.away() && m.in(p.claim.reg.Methods) {
				add(p.claim.owner.node)
			}
		}
	}
	slices.Sort(nodes)
	return nodes
}

// inGroup reports whether an instance is in a group; all are in none.
func (e *entry) inGroup(group []byte) bool { return len(group) == 0 || e.reg.Group == string(group) }
