package admin

import (
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// Sources are where the answers come from. All fields are needed. The functions may be called concurrently.
type Sources struct {
	Node    string
	Mesh    string
	Version string
	Started time.Time
	Address string // where modules connect
	Router  *router.Router
	Now     func() time.Duration // the clock of the node, which the router has, too

	Sessions      func() []Session
	SessionCounts func() SessionCounts
	Needs         func() map[string][]string // modules that sessions need and nobody serves, by who needs them

	Listening   func() bool // connections of modules are accepted
	Draining    func() bool // the node has begun to stop
	Consistency func() error

	Classes []string // names of the classes of router.Counters.Settled
	Codes   []Code   // the assigned codes
}

// Session is one session: what metrics count of it, and how it is listed.
type Session struct {
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
