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

// Instance describes a registered process.
type Instance struct {
	Instance    string   `json:"instance"`
	UUID        string   `json:"uuid"`
	Group       string   `json:"group,omitempty"`
	Weight      uint32   `json:"weight"`
	Zone        string   `json:"zone,omitempty"`
	AppVersion  string   `json:"app_version,omitempty"`
	Needs       []string `json:"needs,omitempty"`
	Node        string   `json:"node"`
	Session     uint64   `json:"session,string"`
	Remote      string   `json:"remote"`
	Age         float64  `json:"age_seconds"`
	Outstanding int      `json:"outstanding"`
	Failing     float64  `json:"failing"`
	Draining    bool     `json:"draining,omitempty"`
}
