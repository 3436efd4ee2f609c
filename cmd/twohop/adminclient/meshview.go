package adminclient

import "time"

// Heard is a node that was asked by the one that was asked.
type Heard struct {
	Node  string `json:"node"`
	Error string `json:"error,omitempty"` // why it was not heard
	Lack  string `json:"lack,omitempty"`  // what is missing in what it has said
}

// Member is a node of the list of members.
type Member struct {
	Node    string `json:"node"`
	Number  int    `json:"number"`
	Address string `json:"address"`
}

// Mesh describes the members as one node sees them.
type Mesh struct {
	Node     string       `json:"node"`
	Mesh     string       `json:"mesh"`
	Alone    bool         `json:"alone,omitempty"` // the node is not configured for a mesh
	Hash     string       `json:"members_hash"`    // of the list that is in force there
	Members  []MemberView `json:"members"`
	Troubles int          `json:"troubles"`
}

// MemberView describes a member, and the link to it. One that is removed is no member any more.
type MemberView struct {
	Member
	Self    bool    `json:"self,omitempty"`
	State   string  `json:"state"`
	Seconds float64 `json:"state_seconds"`
	Cause   string  `json:"cause,omitempty"`
	Removed bool    `json:"removed,omitempty"`
	Hash    string  `json:"members_hash,omitempty"` // of the list that it has; empty: it was not asked, or not heard
	Error   string  `json:"error,omitempty"`        // why it was not heard
}

// Links are every node's end of every link.
type Links struct {
	Node  string      `json:"node"`
	Mesh  string      `json:"mesh"`
	Nodes []NodeLinks `json:"nodes"`
}

// NodeLinks are one node's end of its links. If it was not heard, it has none.
type NodeLinks struct {
	Heard
	Links    []Link    `json:"links"`
	Troubles []Trouble `json:"troubles"`
}

// Link is one node's end of a link.
type Link struct {
	Peer         string  `json:"peer"`
	Number       int     `json:"number"`
	Address      string  `json:"address"`
	State        string  `json:"state"`
	Seconds      float64 `json:"state_seconds"`
	NotUp        float64 `json:"not_up_seconds"` // for which it has not been up, in whatever states
	Cause        string  `json:"cause,omitempty"`
	RTTMicros    int64   `json:"rtt_us"`
	UnansweredMS int64   `json:"oldest_unanswered_ms"`
	LastError    string  `json:"last_error,omitempty"`
	Incarnation  uint64  `json:"incarnation,string"`
	Version      uint64  `json:"version,string"`
	Entries      int     `json:"entries"`
	Digest       string  `json:"digest"`
	InFlight     int     `json:"in_flight"`
	FramesIn     uint64  `json:"frames_in"`
	FramesOut    uint64  `json:"frames_out"`
	BytesIn      uint64  `json:"bytes_in"`
	BytesOut     uint64  `json:"bytes_out"`
	QueuedBytes  int     `json:"queued_bytes"`
}

// Trouble is what an operator must hear of.
type Trouble struct {
	Kind    string  `json:"kind"`
	Peer    string  `json:"peer"`
	Seconds float64 `json:"seconds"`
	Cause   string  `json:"cause"`
}

// Loads say how busy nodes are.
type Loads struct {
	Node  string `json:"node"`
	Mesh  string `json:"mesh"`
	Nodes []Load `json:"nodes"`
}

// Load says how busy a node is. Totals count from its start, which was Uptime seconds ago. If it was not heard, only Heard is
// filled in.
type Load struct {
	Heard
	Number        int               `json:"number"`
	Version       string            `json:"version"`
	Started       time.Time         `json:"started"`
	Uptime        float64           `json:"uptime_seconds"`
	State         string            `json:"state"`
	Sessions      int               `json:"sessions"`
	Servers       int               `json:"servers"`
	Instances     int               `json:"instances"`
	Links         int               `json:"links"`
	LinksUp       int               `json:"links_up"`
	Troubles      int               `json:"troubles"`
	InFlight      int64             `json:"in_flight"`
	Submitted     uint64            `json:"submitted_total"`
	Settled       map[string]uint64 `json:"settled_total"`
	OneWay        uint64            `json:"oneway_total"`
	OneHop        uint64            `json:"one_hop_total"`
	TwoHop        uint64            `json:"two_hop_total"`
	Transit       uint64            `json:"transit_total"`
	LinkFramesIn  uint64            `json:"link_frames_in"`
	LinkFramesOut uint64            `json:"link_frames_out"`
	LinkBytesIn   uint64            `json:"link_bytes_in"`
	LinkBytesOut  uint64            `json:"link_bytes_out"`
	Goroutines    int               `json:"goroutines"`
	Heap          uint64            `json:"heap_bytes"`
	Memory        uint64            `json:"memory_bytes"`
	CPU           float64           `json:"cpu_seconds"`
}

// Change tells how every node took a new list of members.
type Change struct {
	Node    string `json:"node"`
	Hash    string `json:"members_hash"` // of the new list
	OK      bool   `json:"ok"`           // every node that stays a member has the list
	Results []Told `json:"results"`
}

// Told is how one node took it.
type Told struct {
	Node   string `json:"node"`
	Result string `json:"result"` // ok, failed, not_heard
	Error  string `json:"error,omitempty"`
	Role   string `json:"role"` // stays, joins, leaves
}
