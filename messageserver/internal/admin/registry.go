package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// maxReport is where one answer to _node.Registry ends, in bytes; the last module may go over it by one instance with its
// methods. What nodes say to each other ends at 16 MiB.
const maxReport = 4 << 20

// registryQuestion asks for what follows the first instances.
type registryQuestion struct {
	Offset int `json:"offset"`
}

// registryAnswer is a part of what the sessions of one node serve.
type registryAnswer struct {
	Node    string         `json:"node"`
	Modules []moduleReport `json:"modules"`
	Total   int            `json:"total"`          // instances at this node
	Next    int            `json:"next,omitempty"` // the answer was cut: the rest begins at this offset
}

// moduleReport is a module with the instances at one node.
type moduleReport struct {
	Module    string              `json:"module"`
	Methods   []router.MethodView `json:"methods"`
	Instances []instanceReport    `json:"instances"`
}

// instanceReport is an instance as the node says that holds its session.
type instanceReport struct {
	Instance    string   `json:"instance"`
	UUID        string   `json:"uuid"`
	Group       string   `json:"group,omitempty"`
	Weight      uint32   `json:"weight"`
	Zone        string   `json:"zone,omitempty"`
	AppVersion  string   `json:"app_version,omitempty"`
	Needs       []string `json:"needs,omitempty"`
	Session     uint64   `json:"session,string"`
	Remote      string   `json:"remote"`
	Age         float64  `json:"age_seconds"`
	Outstanding int      `json:"outstanding"`
	Failing     float64  `json:"failing"` // as calls that enter at this node see it
	Draining    bool     `json:"draining,omitempty"`
	HeldDown    bool     `json:"held_down,omitempty"`
}

// ownModules lists what the sessions of this node serve, by name. Contracts are those of the whole mesh, as this node knows
// it.
func (src *Sources) ownModules() (own []moduleReport) {
	sessions := make(map[uint64]Session)
	for _, s := range src.Sessions() {
		sessions[s.Number] = s
	}
	for _, m := range src.Router.Registry(src.Now()) {
		r := moduleReport{Module: m.Module, Methods: m.Methods}
		for _, i := range m.Instances {
			for _, p := range i.Paths {
				if !p.Local {
					continue
				}
				s := sessions[p.Session] // empty if it has just ended
				r.Instances = append(r.Instances, instanceReport{
					Instance: i.Instance, UUID: i.UUID, Group: i.Group, Weight: i.Weight, Zone: i.Zone, AppVersion: i.AppVersion,
					Needs: i.Needs, Session: p.Session, Remote: s.Remote, Age: i.Age, Outstanding: s.Outstanding,
					Failing: i.Failing, Draining: p.Draining, HeldDown: i.HeldDown,
				})
			}
		}
		if len(r.Instances) > 0 {
			own = append(own, r)
		}
	}
	return own
}

// ownRegistry returns the part that begins at offset and is not much longer than maxReport.
func (src *Sources) ownRegistry(offset int) registryAnswer {
	a := registryAnswer{Node: src.Node, Modules: []moduleReport{}}
	size := 0
	for _, m := range src.ownModules() {
		part := moduleReport{Module: m.Module, Methods: m.Methods}
		for i := range m.Instances {
			a.Total++
			if a.Total <= offset || a.Next > 0 {
				continue
			}
			if len(part.Instances) == 0 {
				size += sizeOf(m.Methods)
			}
			size += sizeOf(&m.Instances[i])
			part.Instances = append(part.Instances, m.Instances[i])
			if size > maxReport {
				a.Next = a.Total
			}
		}
		if len(part.Instances) > 0 {
			a.Modules = append(a.Modules, part)
		}
	}
	if a.Next == a.Total {
		a.Next = 0 // nothing follows
	}
	return a
}

func sizeOf(v any) int {
	text, err := json.Marshal(v)
	if err != nil {
		return maxReport // it fails again where it is written, and is reported there
	}
	return len(text)
}

// askRegistry reads what another node serves, part after part. What changes meanwhile may be missing or stand there twice.
func (src *Sources) askRegistry(ctx context.Context, node string) ([]moduleReport, error) {
	var all []moduleReport
	for offset := 0; ; {
		part, err := ask[registryAnswer](ctx, src, node, "Registry", registryQuestion{offset})
		if err != nil {
			return nil, err
		}
		all = append(all, part.Modules...)
		if part.Next <= offset {
			return all, nil
		}
		offset = part.Next
	}
}

// registry answers /v1/registry.
func (s *Server) registry(w http.ResponseWriter, r *http.Request) {
	p, err := readPage(r.URL.Query())
	everywhere := false
	if err == nil {
		everywhere, err = readScope(r.URL.Query())
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if everywhere {
		s.meshRegistry(w, r, p)
		return
	}
	modules := s.src.Router.Registry(s.src.Now())
	answer(w, http.StatusOK, struct {
		Node    string              `json:"node"`
		Total   int                 `json:"total"`
		Offset  int                 `json:"offset"`
		Modules []router.ModuleView `json:"modules"`
	}{s.src.Node, len(modules), p.offset, cut(modules, p)})
}

// readScope reports whether all nodes are asked, or only this one.
func readScope(query url.Values) (everywhere bool, err error) {
	switch scope := query.Get("scope"); scope {
	case "", "node":
		return false, nil
	case "mesh":
		return true, nil
	default:
		return false, fmt.Errorf("scope is %q, must be node or mesh", scope)
	}
}

// module is a module of the mesh.
type module struct {
	Module    string              `json:"module"`
	Methods   []router.MethodView `json:"methods"`
	Instances []*instance         `json:"instances"`
}

// instance is one process that serves a module, whatever nodes it is logged in to.
type instance struct {
	Instance    string   `json:"instance"`
	UUID        string   `json:"uuid"`
	Group       string   `json:"group,omitempty"`
	Weight      uint32   `json:"weight"`
	Zone        string   `json:"zone,omitempty"`
	AppVersion  string   `json:"app_version,omitempty"`
	Needs       []string `json:"needs,omitempty"`
	Age         float64  `json:"age_seconds"` // of its oldest path
	Outstanding int      `json:"outstanding"` // over all paths
	Failing     float64  `json:"failing"`     // where calls see most of it
	Draining    bool     `json:"draining,omitempty"`
	HeldDown    bool     `json:"held_down,omitempty"`
	Paths       []path   `json:"paths"`
}

// path is a session of an instance.
type path struct {
	Node        string  `json:"node"`
	Session     uint64  `json:"session,string"`
	Remote      string  `json:"remote"`
	Age         float64 `json:"age_seconds"`
	Outstanding int     `json:"outstanding"`
	Draining    bool    `json:"draining,omitempty"`
}

// meshRegistry answers /v1/registry with scope=mesh.
func (s *Server) meshRegistry(w http.ResponseWriter, r *http.Request, p page) {
	type row struct {
		Node  string `json:"node"`
		Error string `json:"error,omitempty"` // why it was not heard: what it serves is missing
	}
	all := gather(r.Context(), &s.src, s.src.ownModules, s.src.askRegistry)
	nodes := make([]row, 0, len(all))
	for i := range all {
		nodes = append(nodes, row{all[i].node, reason(all[i].err)})
	}
	modules := merge(all)
	blame(modules, s.src.Router.Registry(s.src.Now()))
	answer(w, http.StatusOK, struct {
		Node    string    `json:"node"`
		Mesh    string    `json:"mesh"`
		Nodes   []row     `json:"nodes"`
		Total   int       `json:"total"`
		Offset  int       `json:"offset"`
		Modules []*module `json:"modules"`
	}{s.src.Node, s.src.Mesh, nodes, len(modules), p.offset, cut(modules, p)})
}

// merge makes one list of what the nodes have said. Sessions of one process are one instance; two processes with one name
// are two, until one of them is replaced. A module's methods are those that the first node knows.
func merge(all []heard[[]moduleReport]) []*module {
	type key struct{ module, instance, uuid string }
	byName := make(map[string]*module)
	byKey := make(map[key]*instance)
	modules := []*module{}
	for i := range all {
		for _, report := range all[i].said {
			m := byName[report.Module]
			if m == nil {
				m = &module{Module: report.Module, Methods: report.Methods}
				byName[report.Module] = m
				modules = append(modules, m)
			}
			for j := range report.Instances {
				r := &report.Instances[j]
				k := key{report.Module, r.Instance, r.UUID}
				if byKey[k] == nil {
					byKey[k] = &instance{
						Instance: r.Instance, UUID: r.UUID, Group: r.Group, Weight: r.Weight, Zone: r.Zone, AppVersion: r.AppVersion,
						Needs: r.Needs, Draining: true,
					}
					m.Instances = append(m.Instances, byKey[k])
				}
				byKey[k].add(all[i].node, r)
			}
		}
	}
	slices.SortFunc(modules, func(x, y *module) int { return cmp.Compare(x.Module, y.Module) })
	for _, m := range modules {
		slices.SortFunc(m.Instances, func(x, y *instance) int {
			return cmp.Or(cmp.Compare(x.Instance, y.Instance), cmp.Compare(x.UUID, y.UUID))
		})
	}
	return modules
}

// add adds a path. An instance drains when all its paths do.
func (i *instance) add(node string, r *instanceReport) {
	i.Paths = append(i.Paths, path{node, r.Session, r.Remote, r.Age, r.Outstanding, r.Draining})
	slices.SortFunc(i.Paths, func(x, y path) int { return cmp.Compare(x.Node, y.Node) })
	i.Age = max(i.Age, r.Age)
	i.Outstanding += r.Outstanding
	i.Failing = max(i.Failing, r.Failing)
	i.Draining = i.Draining && r.Draining
	i.HeldDown = i.HeldDown || r.HeldDown
}

// blame adds how the instances fail the calls that enter at this node, which their own nodes cannot know.
func blame(modules []*module, views []router.ModuleView) {
	type key struct{ module, instance, uuid string }
	failing := make(map[key]float64)
	for _, m := range views {
		for i := range m.Instances {
			failing[key{m.Module, m.Instances[i].Instance, m.Instances[i].UUID}] = m.Instances[i].Failing
		}
	}
	for _, m := range modules {
		for _, i := range m.Instances {
			i.Failing = max(i.Failing, failing[key{m.Module, i.Instance, i.UUID}])
		}
	}
}
