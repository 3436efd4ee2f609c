package session

import (
	"sort"

	"github.com/twohop/twohop/proto/pb"
)

// View describes a session, for people.
type View struct {
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
	InFlight    int     `json:"in_flight"`   // calls that it made
	Outstanding int     `json:"outstanding"` // calls that went to it
	FramesIn    uint64  `json:"frames_in"`
	FramesOut   uint64  `json:"frames_out"`
	BytesIn     uint64  `json:"bytes_in"`
	BytesOut    uint64  `json:"bytes_out"`
	QueuedBytes int     `json:"queued_bytes"`
}

var (
	roleNames     = map[pb.Role]string{pb.Role_ROLE_CALLER: "caller", pb.Role_ROLE_SERVER: "server", pb.Role_ROLE_BOTH: "both"}
	lifetimeNames = map[pb.Lifetime]string{pb.Lifetime_LIFETIME_LONG: "long", pb.Lifetime_LIFETIME_SHORT: "short"}
)

func (c *session) view() View {
	stats, state := c.conn.Stats(), c.currentState()
	v := View{
		State: state.String(), Remote: c.from.String(), Age: (c.room.opts.Clock.Now() - c.since).Seconds(),
		InFlight: c.inFlight(), Outstanding: c.slots.Len(),
		FramesIn: stats.FramesIn, FramesOut: stats.FramesOut, BytesIn: stats.BytesIn, BytesOut: stats.BytesOut,
		QueuedBytes: stats.Queued,
	}
	if state >= stateOpen {
		v.Session, v.Module, v.Instance, v.UUID = c.number, c.login.GetModule(), c.login.GetInstance(), c.login.GetInstanceUuid()
		v.Role, v.Lifetime, v.SDK = roleNames[c.login.GetRole()], lifetimeNames[c.login.GetLifetime()], c.login.GetSdk()
	}
	return v
}

// List describes all sessions, in the order of their numbers.
func (s *Sessions) List() []View {
	sessions := s.snapshot()
	views := make([]View, 0, len(sessions))
	for _, c := range sessions {
		views = append(views, c.view())
	}
	sort.Slice(views, func(i, j int) bool { return views[i].Session < views[j].Session })
	return views
}

// Needs returns the modules that sessions need and that nobody serves, by who needs them.
func (s *Sessions) Needs() map[string][]string {
	missing := make(map[string][]string)
	for _, c := range s.snapshot() {
		if c.currentState() != stateOpen {
			continue
		}
		for _, need := range c.login.GetNeeds() {
			if !s.opts.Router.HasModule(need) {
				missing[need] = append(missing[need], c.String())
			}
		}
	}
	return missing
}
