package router

import (
	"errors"

	"cmp"

	"github.com/twohop/twohop/proto/wire"
)

// ErrGone is what Target.Send says when the target ends.
var ErrGone = errors.New("router: the target is gone")

// Target is a way to instances: a session, or a link to the node that has one. Its methods do not block and may be called
// concurrently.
type Target interface {
	// Send queues an attempt, whose call_id is an id of Slots or 0 for a one-way call, and copies it. An error means
	// that it was not queued; then nothing else will be said of it. It is ErrGone, or says that there is no room.
	Send(b *Batch, f *wire.Frame, runLate bool) error
	// Cancel ends an attempt early. A request that had not left is taken back: it was not sent.
	Cancel(b *Batch, id uint64, why wire.Code) (takenBack bool)
	// Slots is the table of the attempts that went this way.
	Slots() *Slots
	// Replace tells a session that another one has its instance's name. It may be called twice.
	Replace()
}

// Path is one way to one instance.
type Path struct {
	Target  Target
	Session uint64 // the owner node's session number, which the receiver checks
	Node    string // the owner node
	Remote  string // the address behind it, for people
}

// Contract is what a module promises of a method.
type Contract struct {
	Idempotent       bool   `json:"idempotent"`
	Reachable        bool   `json:"reachable"`
	RunLate          bool   `json:"run_late"`
	Visibility       string `json:"visibility"` // internal, external, admin
	DefaultTimeoutMS uint32 `json:"default_timeout_ms"`
}

// Registration is what a process says of itself when it logs in.
type Registration struct {
	Module     string
	Instance   string
	UUID       string
	Group      string
	Weight     uint32
	Zone       string
	AppVersion string
	Needs      []string
	Stamp      Stamp
	Methods    map[string]Contract
	Path       Path
}

// Stamp orders the processes that claim one name: the greater wins.
type Stamp struct {
	N    uint64
	Node string
}

// compare returns -1, 0 or 1, as s is less than, equal to or greater than t.
func (s Stamp) compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.N, t.N), cmp.Compare(s.Node, t.Node))
}
