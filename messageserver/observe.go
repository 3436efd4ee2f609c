package messageserver

import (
	"runtime/debug"

	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/proto/wire"
)

// adminSources is what operators see of this node. The listener must be open.
func (s *Server) adminSources() admin.Sources {
	src := admin.Sources{
		Node:          s.opts.Node,
		Number:        s.opts.Number,
		Mesh:          s.opts.Mesh,
		Version:       version(),
		Started:       s.started,
		Address:       s.Addr(),
		Router:        s.router,
		Now:           s.clock.Now,
		Sessions:      s.observeSessions,
		SessionCounts: s.observeCounts,
		Needs:         s.sessions.Needs,
		Listening:     s.listening,
		Draining:      s.leaving,
		Consistency:   s.ConsistencyCheck,
		HashMembers:   hashMembers,
	}
	if s.mesh != nil {
		src.Peers = s.mesh
	}
	g := s.government
	src.Rules, src.Stats, src.Alarms, src.Audit, src.Quota = g.rules, g.books, g.alarms, g.audit, g.leases
	src.Enforcing = s.sessions.Enforcing
	for class := range wire.Unknown + 1 {
		src.Classes = append(src.Classes, class.String())
	}
	for _, code := range wire.Codes() {
		src.Codes = append(src.Codes, admin.Code{Number: int(code), Name: code.String(), Class: code.Class().String()})
	}
	return src
}

// leaving reports whether modules are sent to other nodes: this one stops, or is not of the mesh any more.
func (s *Server) leaving() bool {
	return s.draining.Load() || s.mesh != nil && s.mesh.removed.Load() > 0
}

// listening reports whether modules can connect.
func (s *Server) listening() bool { return !s.draining.Load() }

func (s *Server) observeSessions() []admin.Session {
	views := s.sessions.List()
	list := make([]admin.Session, 0, len(views))
	for _, v := range views {
		list = append(list, admin.Session{
			Number: v.Session, Remote: v.Remote, Outstanding: v.Outstanding, State: v.State, Role: v.Role, FramesIn: v.FramesIn, FramesOut: v.FramesOut,
			BytesIn: v.BytesIn, BytesOut: v.BytesOut, QueuedBytes: v.QueuedBytes, View: v,
		})
	}
	return list
}

func (s *Server) observeCounts() admin.SessionCounts {
	c := s.sessions.Counters()
	return admin.SessionCounts{
		Accepted: c.Accepted.Load(), Refused: c.Refused.Load(), Opened: c.Opened.Load(),
		LateAnswers: c.LateAnswers.Load(), BrokenAnswers: c.BrokenAnswers.Load(), LostAnswers: c.LostAnswers.Load(),
		UnknownCancels: c.UnknownCancels.Load(), BadOneWay: c.BadOneWay.Load(),
		Breaches: c.Breaches.Load(), Slow: c.Slow.Load(),
	}
}

// version is the one of this module in the running program, as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	const path = "github.com/twohop/twohop"
	found := info.Main.Version
	if info.Main.Path != path {
		for _, dep := range info.Deps {
			if dep.Path == path {
				found = dep.Version
			}
		}
	}
	if found == "" {
		return "unknown"
	}
	return found
}
