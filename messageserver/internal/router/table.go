package router

import (
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/balance"
	"github.com/twohop/twohop/proto/wire"
)

// table is who is registered. It is immutable: a change makes a new one.
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

// module is a module's part of a table, immutable.
type module struct {
	name    string
	methods map[string]*method
	entries []*entry
	byName  map[string]*entry
	byPick  map[*governance.Instance]*entry
	// reserved stands for the methods that every server SDK answers by itself; their names start with an underscore.
	reserved *method
}

// entry is one registered instance, immutable; pick and counters are shared by all entries of one process.
type entry struct {
	*Registration
	target Target
	node   string // the owner node
	pick   *governance.Instance
}

// method is one method of a module: its contract, and who has it.
type method struct {
	module   *module
	name     string
	contract Contract
	all      *set
	groups   map[string]*set
}

// set is the instances that one choice is made from, with one picker per balancer.
type set struct {
	pickers   [wire.BalanceLeastActive + 1]governance.Picker
	instances []*governance.Instance
}

func newSet(entries []*entry) *set {
	s := &set{instances: make([]*governance.Instance, len(entries))}
	for i, e := range entries {
		s.instances[i] = e.pick
	}
	for kind := range s.pickers {
		s.pickers[kind] = balance.New(balance.Kind(kind), s.instances, nil)
	}
	return s
}

// newModule builds a module's part of a table. Draining entries stay in it, so that they are listed, and are not chosen.
func newModule(name string, entries []*entry) *module {
	m := &module{
		name:    name,
		methods: make(map[string]*method),
		entries: entries,
		byName:  make(map[string]*entry, len(entries)),
		byPick:  make(map[*governance.Instance]*entry, len(entries)),
	}
	var choosable []*entry
	for _, e := range entries {
		m.byPick[e.pick] = e
		m.byName[e.Instance] = e
		if !e.Draining {
			choosable = append(choosable, e)
		}
	}
	common := newGrouping(choosable)
	m.reserved = &method{module: m, name: "_", contract: Contract{Idempotent: true}, all: common.all, groups: common.groups}
	for _, e := range entries {
		for name := range e.Methods.ByName {
			if m.methods[name] == nil {
				m.methods[name] = newMethod(m, name, choosable, common)
			}
		}
	}
	return m
}

// grouping is the sets over one list of instances: of all, and of each group.
type grouping struct {
	all    *set
	groups map[string]*set
}

func newGrouping(entries []*entry) grouping {
	byGroup := make(map[string][]*entry)
	for _, e := range entries {
		if e.Group != "" {
			byGroup[e.Group] = append(byGroup[e.Group], e)
		}
	}
	g := grouping{all: newSet(entries), groups: make(map[string]*set, len(byGroup))}
	for group, members := range byGroup {
		g.groups[group] = newSet(members)
	}
	return g
}

// newMethod merges the contracts of all instances that have the method: it is idempotent only if all say so. Instances
// without it are not chosen for it.
func newMethod(m *module, name string, choosable []*entry, common grouping) *method {
	having := slices.DeleteFunc(slices.Clone(choosable), func(e *entry) bool { _, has := e.Methods.ByName[name]; return !has })
	g := common
	if len(having) != len(choosable) {
		g = newGrouping(having)
	}
	meth := &method{module: m, name: name, all: g.all, groups: g.groups}
	first := true
	for _, e := range m.entries {
		c, has := e.Methods.ByName[name]
		switch {
		case !has:
		case first:
			meth.contract, first = c, false
		default:
			meth.contract = meth.contract.merge(c)
		}
	}
	return meth
}

// swapLocked replaces one module's entries; a module without any is gone.
func (r *Router) swapLocked(name string, change func(entries []*entry) []*entry) {
	old := r.table.Load()
	var entries []*entry
	if m := old.modules[name]; m != nil {
		entries = slices.Clone(m.entries)
	}
	entries = change(entries)
	next := &table{modules: make(map[string]*module, len(old.modules)+1)}
	maps.Copy(next.modules, old.modules)
	if len(entries) == 0 {
		delete(next.modules, name)
	} else {
		next.modules[name] = newModule(name, entries)
	}
	r.table.Store(next)
}

// Register adds the instance of a session of this node, over t. Of two processes that claim one (module, instance) the one
// with the greater stamp has it, whichever comes first; of two sessions of one process the newer one. The other is told by
// Target.Replace.
func (r *Router) Register(reg *Registration, t Target) {
	r.mu.Lock()
	var loser Target
	if e := r.table.Load().find(reg.Module, reg.Instance); e != nil && e.Session != reg.Session {
		loser = e.target
		if e.UUID != reg.UUID && reg.Stamp.Compare(e.Stamp) < 0 {
			loser = t
		}
	}
	if loser == nil || loser != t {
		r.modules[reg.Session] = reg.Module
		r.swapLocked(reg.Module, func(entries []*entry) []*entry {
			fresh := &entry{Registration: reg, target: t, node: r.opts.Node}
			if i := slices.IndexFunc(entries, func(e *entry) bool { return e.Instance == reg.Instance }); i >= 0 {
				if e := entries[i]; e.UUID == reg.UUID && max(e.Weight, 1) == max(reg.Weight, 1) {
					fresh.pick = e.pick // the same process: its slow start and its outstanding calls go on
				}
				entries = slices.Delete(entries, i, i+1)
			}
			if fresh.pick == nil {
				fresh.pick = governance.NewInstance(reg.Instance, reg.UUID, reg.Weight, reg.Since)
			}
			return append(entries, fresh)
		})
	}
	r.mu.Unlock()
	r.counters.Registrations.Add(1)
	if loser != nil {
		r.counters.Replaced.Add(1)
		loser.Replace()
	}
}

// change replaces the registration of a session, if it has one. nil takes it out.
func (r *Router) change(session uint64, edit func(reg Registration) *Registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moduleName, ok := r.modules[session]
	if !ok {
		return
	}
	m := r.table.Load().modules[moduleName]
	if m == nil {
		return
	}
	i := slices.IndexFunc(m.entries, func(e *entry) bool { return e.Session == session })
	if i < 0 {
		return
	}
	r.swapLocked(moduleName, func(entries []*entry) []*entry {
		next := *entries[i]
		if next.Registration = edit(*next.Registration); next.Registration == nil {
			return slices.Delete(entries, i, i+1)
		}
		entries[i] = &next
		return entries
	})
}

// Update replaces the methods of a session's instance.
func (r *Router) Update(session uint64, methods *Methods) {
	r.change(session, func(reg Registration) *Registration { reg.Methods = methods; return &reg })
}

// Drain takes a session's instance out of every choice; attempts under way go on.
func (r *Router) Drain(session uint64) {
	r.change(session, func(reg Registration) *Registration { reg.Draining = true; return &reg })
}

// Unregister removes a session's instance, unless another session has replaced it.
func (r *Router) Unregister(session uint64) {
	r.change(session, func(Registration) *Registration { return nil })
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.modules, session)
}

// HasModule reports whether an instance of the module can be chosen.
func (r *Router) HasModule(name string) bool {
	m := r.table.Load().modules[name]
	return m != nil && slices.ContainsFunc(m.entries, func(e *entry) bool { return !e.Draining })
}

// HasInstance reports whether an instance can be chosen.
func (r *Router) HasInstance(module, instance string) bool {
	e := r.table.Load().find(module, instance)
	return e != nil && !e.Draining
}

// ModuleView describes a registered module, for people.
type ModuleView struct {
	Module    string         `json:"module"`
	Methods   []MethodView   `json:"methods"`
	Instances []InstanceView `json:"instances"`
}

// MethodView describes a method; its contract is the one that all instances keep.
type MethodView struct {
	Method string `json:"method"`
	Contract
	Instances int `json:"instances"` // how many of them have it and can be chosen
}

// InstanceView describes an instance.
type InstanceView struct {
	Instance    string        `json:"instance"`
	UUID        string        `json:"uuid"`
	Group       string        `json:"group,omitempty"`
	Weight      uint32        `json:"weight"`
	Zone        string        `json:"zone,omitempty"`
	AppVersion  string        `json:"app_version,omitempty"`
	Needs       []string      `json:"needs,omitempty"`
	Node        string        `json:"node"`
	Session     uint64        `json:"session,string"`
	Remote      string        `json:"remote"`
	Since       time.Duration `json:"-"` // of the node's clock
	Age         float64       `json:"age_seconds"`
	Outstanding int           `json:"outstanding"`
	Failing     float64       `json:"failing"` // share of attempts that ended badly of late
	Draining    bool          `json:"draining,omitempty"`
}

// Registry lists what is registered, by name.
func (r *Router) Registry(now time.Duration) []ModuleView {
	t := r.table.Load()
	views := make([]ModuleView, 0, len(t.modules))
	for name, m := range t.modules {
		v := ModuleView{Module: name, Methods: []MethodView{}, Instances: []InstanceView{}}
		for _, meth := range m.methods {
			v.Methods = append(v.Methods, MethodView{Method: meth.name, Contract: meth.contract, Instances: len(meth.all.instances)})
		}
		for _, e := range m.entries {
			v.Instances = append(v.Instances, InstanceView{
				Instance: e.Instance, UUID: e.UUID, Group: e.Group, Weight: e.pick.Weight, Zone: e.Zone,
				AppVersion: e.AppVersion, Needs: e.Needs, Node: e.node, Session: e.Session, Remote: e.Remote,
				Since: e.pick.Since(), Age: (now - e.pick.Since()).Seconds(), Outstanding: e.pick.Outstanding(),
				Failing: e.pick.Failing(now), Draining: e.Draining,
			})
		}
		sort.Slice(v.Methods, func(i, j int) bool { return v.Methods[i].Method < v.Methods[j].Method })
		sort.Slice(v.Instances, func(i, j int) bool { return v.Instances[i].Instance < v.Instances[j].Instance })
		views = append(views, v)
	}
	sort.Slice(views, func(i, j int) bool { return views[i].Module < views[j].Module })
	return views
}
