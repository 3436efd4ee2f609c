package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/audit"
	"github.com/twohop/twohop/messageserver/internal/quota"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

// Sources are where the answers come from. All fields are needed, but for Peers and what governs. The functions may be called
// concurrently.
type Sources struct {
	Node    string
	Number  int
	Mesh    string
	Version string
	Started time.Time
	Address string // where modules connect
	Router  *router.Router
	Now     func() time.Duration // the clock of the node, which the router has, too

	Sessions      func() []Session
	SessionCounts func() SessionCounts
	Needs         func() map[string][]string // modules that sessions need and nobody serves, by who needs them

	Peers Mesh // the other nodes; nil: the node is alone

	// What governs, and what it shows. What is nil is answered with 503.
	Rules  *rulestore.Rules
	Stats  *stats.Books
	Alarms *alarm.Alarms
	Audit  *audit.Log
	Quota  *quota.Leases
	// Enforcing says how many server sessions of a module there are here, of all modules for "", and how many of them have said
	// that they enforce the rules of this mark, or newer ones; nil: nothing is known of servers.
	Enforcing func(module string, mark governance.Mark) (servers, enforcing int)

	Listening   func() bool // connections of modules are accepted
	Draining    func() bool // the node sends its modules away: it has begun to stop, or is not of the mesh any more
	Consistency func() error

	// HashMembers is the same for two lists exactly if they have the same members, in any order; nodes compare it, too.
	HashMembers func(members []Member) string

	Classes []string // names of the classes of router.Counters.Settled
	Codes   []Code   // the assigned codes
}

// Session is one session: what metrics count of it, and how it is listed.
type Session struct {
	Number              uint64 // 0 before the login
	Remote              string
	Outstanding         int // calls that went to it and are not answered
	State, Role         string
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	QueuedBytes         int
	View                any // its JSON in /v1/sessions
}

// SessionCounts say what the sessions of a node have done.
type SessionCounts struct {
	Accepted, Refused, Opened               uint64
	LateAnswers, BrokenAnswers, LostAnswers uint64
	UnknownCancels, BadOneWay               uint64
	Breaches, Slow                          uint64
}

// Code is an assigned status code.
type Code struct {
	Number int
	Name   string
	Class  string
}

// Mesh is what a node knows of the other nodes, and how to ask them. Its methods may be called concurrently, and Links,
// Troubles and Members return values that are the caller's.
type Mesh interface {
	Links() []Link       // this node's end of every link, one per other member
	Troubles() []Trouble // what an operator must hear of
	Members() []Member   // the list that is in force here, with this node

	// CheckMembers says what is wrong with a list, every problem, and changes nothing.
	CheckMembers(members []Member) error
	// SetMembers checks the whole list, writes its file atomically and puts it in force. From is the hash of the list that it was
	// made from: if another one is in force, and not this one already, the error is an *OtherListError. Comparing and setting are
	// one step. Any error names every problem, and then nothing has changed.
	SetMembers(from string, members []Member) error

	// Ask calls a method of module _node at another node, over the link to it and no other. It ends with ctx.
	Ask(ctx context.Context, node, method string, body []byte) ([]byte, error)
}

// Member is a node of the mesh.
type Member struct {
	Node    string `json:"node"`
	Number  int    `json:"number"`
	Address string `json:"address"` // where other nodes connect
}

// OtherListError says that a node has another list of members than the one that a change was made from.
type OtherListError struct{ Node, Has, From string }

// Error names both lists.
func (e *OtherListError) Error() string {
	return fmt.Sprintf("the list in force at %s has the hash %s, and the change was made from %s: look at it again", e.Node, e.Has, e.From)
}

// Link is one node's end of a link.
type Link struct {
	Peer    string `json:"peer"`
	Number  int    `json:"number"`
	Address string `json:"address"`

	State   string  `json:"state"` // up syncing connecting waiting refused leaving down
	Seconds float64 `json:"state_seconds"`
	NotUp   float64 `json:"not_up_seconds"`  // for which it has not been up, in whatever states; 0 while it is
	Cause   string  `json:"cause,omitempty"` // why it is not up

	RTTMicros    int64  `json:"rtt_us"`
	UnansweredMS int64  `json:"oldest_unanswered_ms"`
	LastError    string `json:"last_error,omitempty"`

	Incarnation uint64 `json:"incarnation,string"` // these four: of what the peer has said of its registry
	Version     uint64 `json:"version,string"`
	Entries     int    `json:"entries"`
	Digest      string `json:"digest"`

	InFlight    int    `json:"in_flight"` // calls that wait for the peer's answer
	FramesIn    uint64 `json:"frames_in"`
	FramesOut   uint64 `json:"frames_out"`
	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
	QueuedBytes int    `json:"queued_bytes"`
}

// Trouble is what an operator must hear of: link_down, link_one_way, link_slow, node_dead, node_clone, membership_differs,
// registry_differs, not_a_member.
type Trouble struct {
	Kind    string  `json:"kind"`
	Peer    string  `json:"peer"`
	Seconds float64 `json:"seconds"` // since when
	Cause   string  `json:"cause"`
}
