package admin

import (
	"net/http"
	"time"
)

// paths are what is answered, as a request for anything else is told.
var paths = []string{
	"/healthz", "/readyz", "/metrics", "/debug/check", "/debug/pprof/", "/v1/info", "/v1/sessions", "/v1/registry", "/v1/load",
	"/v1/mesh", "/v1/members", "/v1/links", "/v1/troubles",
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.health)
	mux.HandleFunc("/readyz", s.ready)
	mux.Handle("/metrics", metricsHandler(&s.src))
	mux.HandleFunc("/debug/check", s.check)
	mux.HandleFunc("/debug/pprof/{$}", s.profiles)
	mux.HandleFunc("/debug/pprof/{name}", s.profile)
	mux.HandleFunc("/v1/info", s.info)
	mux.HandleFunc("/v1/sessions", s.sessions)
	mux.HandleFunc("/v1/registry", s.registry)
	mux.HandleFunc("/v1/load", s.load)
	mux.HandleFunc("/v1/mesh", s.mesh)
	mux.HandleFunc("/v1/members", s.members)
	mux.HandleFunc("/v1/links", s.links)
	mux.HandleFunc("/v1/troubles", s.troubles)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, struct {
			Error string   `json:"error"`
			Paths []string `json:"paths"`
		}{"there is no " + r.URL.Path, paths})
	})
	return mux
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
