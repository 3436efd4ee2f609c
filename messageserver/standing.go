package messageserver

import "time"

// Standing says where a node's registry stands. Equal ones hold the same sessions.
type Standing struct {
	Incarnation uint64 // of the node's run
	Version     uint64 // rises with every change
	Entries     int    // sessions
	Digest      string // over all of them
}

// Trouble is something about the mesh that an operator must hear of, while it lasts.
type Trouble struct {
	Kind  string // link_down, link_one_way, link_slow, node_dead, node_clone, membership_differs, registry_differs
	Peer  string // the node that it is about
	For   time.Duration
	Cause string
}

// Own returns where the registry of this node stands, which it tells the others. It is zero where the node is alone.
func (s *Server) Own() Standing {
	if s.mesh == nil {
		return Standing{}
	}
	mark, entries, digest := s.mesh.peers.Own()
	return Standing{mark.Incarnation, mark.Version, entries, digest}
}

// Views returns what this node holds of the registry of every other member, by its name, whether the link is up or not.
func (s *Server) Views() map[string]Standing {
	views := make(map[string]Standing)
	if s.mesh != nil {
		for _, l := range s.mesh.peers.Links() {
			views[l.Peer] = Standing{l.Incarnation, l.Version, l.Entries, l.Digest}
		}
	}
	return views
}

// Troubles returns what is the matter with the mesh now, by kind and node.
func (s *Server) Troubles() []Trouble {
	if s.mesh == nil {
		return nil
	}
	troubles, now := s.mesh.peers.Troubles()
	all := make([]Trouble, 0, len(troubles))
	for _, t := range troubles {
		all = append(all, Trouble{Kind: t.Kind, Peer: t.Peer, For: now - t.Since, Cause: t.Cause})
	}
	return all
}

// Crossing returns how many calls are under way over links: those that left this node, and those that came to it.
func (s *Server) Crossing() (left, came int) {
	if s.mesh != nil {
		for _, l := range s.mesh.peers.Links() {
			left, came = left+l.InFlight, came+l.Incoming
		}
	}
	return left, came
}
