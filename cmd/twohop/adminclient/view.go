package adminclient

import "time"

// Info describes a node.
type Info struct {
	Node    string    `json:"node"`
	Mesh    string    `json:"mesh"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
	Listen  string    `json:"listen"`
	Admin   string    `json:"admin"`
	Ready   bool      `json:"ready"`
	Counts  Counts    `json:"counts"`
	Number  int       `json:"number"`
	Peers   *Peers    `json:"peers,omitempty"` // nil: the node is alone
}

// Peers say in short how a node stands in its mesh.
type Peers struct {
	Members  int    `json:"members"`
	Hash     string `json:"members_hash"`
	Links    int    `json:"links"`
	LinksUp  int    `json:"links_up"`
	Troubles int    `json:"troubles"`
}

// Counts say how much there is of each at a node.
type Counts struct {
	Sessions  int `json:"sessions"`
	Modules   int `json:"modules"`
	Instances int `json:"instances"`
	Methods   int `json:"methods"`
	InFlight  int `json:"in_flight"`
}

// Session describes a connection of a module. Before the login most of it is empty.
type Session struct {
	Session     uint64  `json:"session,string"`
	State       string  `json:"state"`
	Role        string  `json:"role"`
	Lifetime    string  `json:"lifetime"`
	Module      string  `json:"module"`
	Instance    string  `json:"instance"`
	UUID        string  `json:"uuid"`
	SDK         string  `json:"sdk"`
	Remote      string  `json:"remote"`
	Age         float64 `json:"age_seconds"`
	InFlight    int     `json:"in_flight"`
	Outstanding int     `json:"outstanding"`
	FramesIn    uint64  `json:"frames_in"`
	FramesOut   uint64  `json:"frames_out"`
	BytesIn     uint64  `json:"bytes_in"`
	BytesOut    uint64  `json:"bytes_out"`
	QueuedBytes int     `json:"queued_bytes"`
}

// Module describes a registered module.
type Module struct {
	Module    string     `json:"module"`
	Methods   []Method   `json:"methods"`
	Instances []Instance `json:"instances"`
}

// Method describes a method with the contract that all instances keep.
type Method struct {
	Method           string `json:"method"`
	Idempotent       bool   `json:"idempotent"`
	Reachable        bool   `json:"reachable"`
	RunLate          bool   `json:"run_late"`
	Visibility       string `json:"visibility"`
	DefaultTimeoutMS uint32 `json:"default_timeout_ms"`
	Instances        int    `json:"instances"`
}

// Instance describes a registered process. One node names the session that it knows; the mesh names all paths.
type Instance struct {
	Instance    string   `json:"instance"`
	UUID        string   `json:"uuid"`
	Group       string   `json:"group,omitempty"`
	Weight      uint32   `json:"weight"`
	Zone        string   `json:"zone,omitempty"`
	AppVersion  string   `json:"app_version,omitempty"`
	Needs       []string `json:"needs,omitempty"`
	Node        string   `json:"node,omitempty"`
	Session     uint64   `json:"session,string,omitempty"`
	Remote      string   `json:"remote,omitempty"`
	Age         float64  `json:"age_seconds"`
	Outstanding int      `json:"outstanding"`
	Failing     float64  `json:"failing"`
	Draining    bool     `json:"draining,omitempty"`
	HeldDown    bool     `json:"held_down,omitempty"` // processes took its name from each other too often
	Paths       []Path   `json:"paths,omitempty"`
}

// Path is a session of an instance, at one node. Where one node was asked for what it knows by itself it says whether calls
// can go there, and no more; where all were asked, each says how its own sessions are.
type Path struct {
	Node        string  `json:"node"`
	Session     uint64  `json:"session,string"`
	Usable      *bool   `json:"usable,omitempty"`
	Remote      string  `json:"remote,omitempty"`
	Age         float64 `json:"age_seconds,omitempty"`
	Outstanding int     `json:"outstanding"`
	Draining    bool    `json:"draining,omitempty"`
}
