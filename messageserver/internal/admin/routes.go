package admin

import (
	"net/http"
	"strings"
	"time"
)

// endpoint is one path, with what it takes and who answers.
type endpoint struct {
	path  string // a pattern of http.ServeMux
	allow string // methods besides HEAD, which is answered where GET is
	serve http.HandlerFunc
}

// endpoints are all that there are. docs/openapi.yaml describes each.
func (s *Server) endpoints() []endpoint {
	const get, post, both = "GET", "POST", "GET, PUT"
	return []endpoint{
		{"/healthz", get, s.health},
		{"/readyz", get, s.ready},
		{"/metrics", get, metricsHandler(&s.src).ServeHTTP},
		{"/debug/check", get, s.check},
		{"/debug/pprof/{$}", get, s.profiles},
		{"/debug/pprof/{name}", get, s.profile},
		{"/v1/info", get, s.info},
		{"/v1/sessions", get, s.sessions},
		{"/v1/registry", get, s.registry},
		{"/v1/load", get, s.load},
		{"/v1/mesh", get, s.mesh},
		{"/v1/members", both, s.members},
		{"/v1/links", get, s.links},
		{"/v1/troubles", get, s.troubles},
		{"/v1/rules", both, knows(map[string]string{"GET": "scope", "PUT": "dry_run"}, s.rules)},
		{"/v1/rules/validate", post, knows(parameters(""), s.validate)},
		{"/v1/rules/history", get, knows(parameters("before limit"), s.history)},
		{"/v1/rules/versions/{mark}", get, knows(parameters(""), s.version)},
		{"/v1/rules/diff", get, knows(parameters("from to"), s.diff)},
		{"/v1/rules/rollback", post, knows(parameters(""), s.rollback)},
		{"/v1/rules/explain", get, knows(parameters("rpc_id caller instance module method group ip external"), s.explain)},
		{"/v1/rules/refused", get, knows(parameters("scope limit rule caller module method"), s.refused)},
		{"/v1/switches", post, knows(parameters(""), s.switches)},
		{"/v1/stats", get, knows(parameters("scope by module method caller sort limit total from to step"), s.statistics)},
		{"/v1/stats/callers", get, knows(parameters("scope over module method"), s.callers)},
		{"/v1/stats/handlers", get, knows(parameters("scope"), s.handlers)},
		{"/v1/stats/export", get, knows(parameters("from to"), s.export)},
		{"/v1/alarms", get, knows(parameters("scope all"), s.alarms)},
		{"/v1/audit", get, knows(parameters("since author action limit"), s.audit)},
		{"/v1/quota", get, knows(parameters("scope"), s.quota)},
	}
}

// routes returns what answers, and the Allow header of each pattern.
func (s *Server) routes() (*http.ServeMux, map[string]string) {
	mux := http.NewServeMux()
	allow := make(map[string]string)
	var paths []string // as a request for anything else is told
	for _, e := range s.endpoints() {
		mux.HandleFunc(e.path, e.serve)
		allow[e.path] = strings.Replace(e.allow, "GET", "GET, HEAD", 1)
		if path := strings.TrimSuffix(e.path, "{$}"); !strings.HasPrefix(path, "/debug/pprof/{") {
			paths = append(paths, path)
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, struct {
			Error string   `json:"error"`
			Paths []string `json:"paths"`
		}{"there is no " + r.URL.Path, paths})
	})
	return mux, allow
}

// info answers /v1/info.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	type counts struct {
		Sessions  int   `json:"sessions"`
		Modules   int   `json:"modules"`
		Instances int   `json:"instances"`
		Methods   int   `json:"methods"`
		InFlight  int64 `json:"in_flight"`
	}
	modules := s.src.Router.Registry(s.src.Now())
	c := counts{Sessions: len(s.src.Sessions()), Modules: len(modules)}
	for _, m := range modules {
		c.Instances += len(m.Instances)
		c.Methods += len(m.Methods)
	}
	c.InFlight, _ = s.src.Router.InFlight()
	var peers *peerFacts
	if s.src.Peers != nil {
		peers = s.src.peerFacts()
	}
	answer(w, http.StatusOK, struct {
		Node    string    `json:"node"`
		Mesh    string    `json:"mesh"`
		Version string    `json:"version"`
		Started time.Time `json:"started"`
		Uptime  float64   `json:"uptime_seconds"`
		Listen  string    `json:"listen"`
		Admin   string    `json:"admin"`
		Ready   bool      `json:"ready"`
		Counts  counts    `json:"counts"`

		Number int        `json:"number"`
		Peers  *peerFacts `json:"peers,omitempty"` // missing: the node is alone
	}{
		s.src.Node, s.src.Mesh, s.src.Version, s.src.Started.UTC().Truncate(time.Millisecond),
		time.Since(s.src.Started).Seconds(), s.src.Address, s.Addr(), isReady(s.src.checks()), c, s.src.Number, peers,
	})
}

// peerFacts say in short how a node stands in its mesh.
type peerFacts struct {
	Members  int    `json:"members"` // with this node
	Hash     string `json:"members_hash"`
	Links    int    `json:"links"`
	LinksUp  int    `json:"links_up"`
	Troubles int    `json:"troubles"`
}

func (src *Sources) peerFacts() *peerFacts {
	members, own := src.ownMembers(), src.ownLinks()
	facts := &peerFacts{
		Members: len(members.Members), Hash: members.Hash, Links: len(own.Links), Troubles: len(own.Troubles),
	}
	for i := range own.Links {
		if own.Links[i].State == "up" {
			facts.LinksUp++
		}
	}
	return facts
}

// sessions answers /v1/sessions.
func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	p, err := readPage(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	all := s.src.Sessions()
	views := make([]any, 0, min(len(all), p.limit))
	for _, session := range cut(all, p) {
		views = append(views, session.View)
	}
	answer(w, http.StatusOK, struct {
		Node     string `json:"node"`
		Total    int    `json:"total"`
		Offset   int    `json:"offset"`
		Sessions []any  `json:"sessions"`
	}{s.src.Node, len(all), p.offset, views})
}
