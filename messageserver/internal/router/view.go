package router

import (
	"cmp"
	"slices"
	"time"
)

// HasModule reports whether an instance of the module can be chosen.
func (r *Router) HasModule(name string) bool {
	m := r.table.Load().modules[name]
	return m != nil && slices.ContainsFunc(m.entries, (*entry).choosable)
}

// HasInstance reports whether an instance can be chosen.
func (r *Router) HasInstance(module, instance string) bool {
	e := r.table.Load().find(module, instance)
	return e != nil && e.choosable()
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

// InstanceView describes an instance. Node, Session and Remote are those of the path in use, which is the first.
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
	Failing     float64       `json:"failing"`             // share of attempts that ended badly of late
	Draining    bool          `json:"draining,omitempty"`  // it drains over every path that could be used
	HeldDown    bool          `json:"held_down,omitempty"` // processes took its name from each other too often
	Paths       []PathView    `json:"paths"`               // in the order in which calls try them, then those that cannot be used
}

// PathView describes one way to an instance.
type PathView struct {
	Node     string `json:"node"`
	Session  uint64 `json:"session,string"`
	Usable   bool   `json:"usable"` // it does not drain, and its node is this one or connected
	Draining bool   `json:"draining,omitempty"`
	Local    bool   `json:"local,omitempty"` // the node is this one
}

// Registry lists what is registered in the mesh as this node knows it, by name.
func (r *Router) Registry(now time.Duration) []ModuleView {
	t := r.table.Load()
	views := make([]ModuleView, 0, len(t.modules))
	for name, m := range t.modules {
		v := ModuleView{Module: name, Methods: make([]MethodView, 0, len(m.methods)), Instances: make([]InstanceView, 0, len(m.entries))}
		for _, meth := range m.methods {
			v.Methods = append(v.Methods, MethodView{Method: meth.name, Contract: meth.contract, Instances: len(meth.all.instances)})
		}
		for _, e := range m.entries {
			v.Instances = append(v.Instances, e.view(now))
		}
		slices.SortFunc(v.Methods, func(a, b MethodView) int { return cmp.Compare(a.Method, b.Method) })
		slices.SortFunc(v.Instances, func(a, b InstanceView) int { return cmp.Compare(a.Instance, b.Instance) })
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b ModuleView) int { return cmp.Compare(a.Module, b.Module) })
	return views
}

func (e *entry) view(now time.Duration) InstanceView {
	v := InstanceView{
		Instance: e.reg.Instance, UUID: e.reg.UUID, Group: e.reg.Group, Weight: e.pick.Weight, Zone: e.reg.Zone,
		AppVersion: e.reg.AppVersion, Needs: e.reg.Needs, Node: e.paths[0].claim.owner.node, Session: e.reg.Session,
		Remote: e.reg.Remote, Since: e.pick.Since(), Age: (now - e.pick.Since()).Seconds(),
		Outstanding: e.pick.Outstanding(), Failing: e.pick.Failing(now), HeldDown: e.held,
		Paths: make([]PathView, len(e.paths)),
	}
	for i, p := range e.paths {
		reg := p.claim.reg
		v.Paths[i] = PathView{
			Node: p.claim.owner.node, Session: reg.Session, Usable: p.via != nil, Draining: reg.Draining, Local: p.claim.home != nil,
		}
		v.Draining = v.Draining || !e.lasting && reg.Draining
	}
	return v
}

// HeldName is a name that is held down, for people.
type HeldName struct {
	Module   string  `json:"module"`
	Instance string  `json:"instance"`
	Claims   int     `json:"claims"` // sessions that are logged in with it all the same
	Left     float64 `json:"left_seconds"`
}

// HeldNames lists the names that are held down, in their order.
func (r *Router) HeldNames() []HeldName {
	d := r.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	held := []HeldName{}
	for n := range d.resting {
		if n.feud != nil && n.feud.until > 0 {
			left := max(n.feud.until-r.now(), 0)
			held = append(held, HeldName{n.module, n.instance, len(n.claims), left.Seconds()})
		}
	}
	slices.SortFunc(held, func(a, b HeldName) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Instance, b.Instance))
	})
	return held
}
