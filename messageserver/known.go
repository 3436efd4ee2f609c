package messageserver

import "github.com/twohop/twohop/messageserver/internal/peer"

// known is what is registered in the mesh, for warnings about rules of methods that nobody has.
type known struct{ server *Server }

// Modules implements rules.Known.
func (k known) Modules() (names []string) {
	for _, m := range k.server.router.Registry(k.server.clock.Now()) {
		names = append(names, m.Module)
	}
	return names
}

// Methods implements rules.Known.
func (k known) Methods(module string) (names []string) {
	for _, m := range k.server.router.Registry(k.server.clock.Now()) {
		if m.Module == module {
			for _, method := range m.Methods {
				names = append(names, method.Method)
			}
		}
	}
	return names
}

// memberNames are the nodes of the mesh, this one among them.
func (s *Server) memberNames() []string {
	if s.mesh == nil {
		return []string{s.opts.Node}
	}
	var names []string
	for _, m := range s.mesh.Members() {
		names = append(names, m.Node)
	}
	return names
}

// reachedNames are the nodes that this one is linked to, and itself.
func (s *Server) reachedNames() []string {
	names := []string{s.opts.Node}
	if s.mesh != nil {
		for _, l := range s.mesh.peers.Links() {
			if l.State == peer.StateUp {
				names = append(names, l.Peer)
			}
		}
	}
	return names
}
