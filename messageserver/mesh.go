package messageserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/messageserver/internal/discovery"
	"github.com/twohop/twohop/messageserver/internal/peer"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/proto/pb"
)

// mesh is what a node has that is not alone: the other nodes, the listener for them, and the list of members with its file.
type mesh struct {
	// Static after construction.
	server      *Server
	peers       *peer.Peers
	listener    net.Listener
	incarnation *peer.Incarnation
	file        string // of the members; "" where a program gave them

	removed atomic.Int64 // since when this node is not in the list, on its clock; 0 while it is

	// Held while the list is written and put in force.
	changing sync.Mutex
}

// errAlone is what a node says that has no other nodes.
var errAlone = errors.New("messageserver: the node is alone: Options.Peers names no members")

// inMesh reports whether the options name other nodes.
func (o Options) inMesh() bool { return o.Peers.MembersFile != "" || len(o.Peers.Members) > 0 }

// CheckFiles says what is wrong with the files that the options name and that Validate does not read: the list of members. The
// options themselves are in order.
func (o Options) CheckFiles() error {
	_, err := o.members()
	return err
}

// members returns the list that a node begins with.
func (o Options) members() (discovery.List, error) {
	list := memberList(o.Peers.Members)
	if file := o.Peers.MembersFile; file != "" {
		var err error
		if list, err = discovery.Load(file); err != nil {
			return nil, fmt.Errorf("peers.members_file: %w", err)
		}
		if err := list.CheckSelf(o.Node, o.Number); err != nil {
			return nil, fmt.Errorf("peers.members_file: %s: %w", file, err)
		}
	}
	if err := o.checkSecret(list); err != nil {
		return nil, fmt.Errorf("peers.secret: %w", err)
	}
	return list, nil
}

// openMesh opens the listener for other nodes and makes the peers. The listener for modules is open.
func (s *Server) openMesh() (*mesh, error) {
	o := &s.opts
	list, err := o.members()
	if err != nil {
		return nil, err
	}
	m := &mesh{server: s, file: o.Peers.MembersFile, listener: o.Peers.Listener}
	if m.incarnation, err = peer.OpenIncarnation(o.DataDir, time.Now()); err != nil {
		m.close()
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if m.listener == nil {
		if m.listener, err = listen(context.Background(), o.Peers.Listen); err != nil {
			m.close()
			return nil, fmt.Errorf("peers.listen: %w", err)
		}
	}
	s.mesh = m // what admin answers the other nodes with looks here
	m.peers, err = peer.New(peer.Options{
		Node: o.Node, Number: o.Number, Mesh: o.Mesh, Secret: string(o.Peers.Secret), ModuleAddress: s.advertise(),
		Members: peerMembers(list), Incarnation: m.incarnation, Router: s.router, Clock: s.clock, Log: o.Log,
		Methods: s.nodeMethods(), Dial: o.Peers.Dial, NodesChanged: func() { s.sessions.NodesChanged() },
		Rules: s.government.inForce, RulesHeard: s.government.rulesHeard,
	})
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// nodeMethods are what this node answers to the others.
func (s *Server) nodeMethods() map[string]inbound.Method {
	all := make(map[string]inbound.Method)
	src := s.adminSources()
	for name, method := range src.NodeMethods() {
		all[name] = method
	}
	maps.Copy(all, s.government.nodeMethods())
	return all
}

// run serves other nodes until ctx is done, and waits for everything of the mesh.
func (m *mesh) run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { m.accept(ctx, &background) })
	background.Go(func() {
		<-ctx.Done()
		_ = m.listener.Close() // accept ends
	})
	if m.file != "" {
		background.Go(func() {
			discovery.Watch(ctx, m.file, 0, m.peers.MembershipHash, m.adopt, func(err error) {
				m.server.opts.Log.Error("members not changed", "file", m.file, "cause", err)
			})
		})
	}
	m.peers.Run(ctx)
	m.close()
	background.Wait()
}

// accept serves every node that connects, until the listener is closed.
func (m *mesh) accept(ctx context.Context, serving *sync.WaitGroup) {
	for {
		nc, err := m.listener.Accept()
		switch {
		case err == nil:
			serving.Go(func() { m.peers.Serve(nc) })
		case ctx.Err() != nil || !isTemporary(err):
			return
		default:
			m.server.opts.Log.Warn("accept failed", "cause", err)
			pause(ctx, 50*time.Millisecond) // out of file descriptors: others must close some first
		}
	}
}

// close closes the listener and gives the data folder back. It may be called twice.
func (m *mesh) close() {
	if m.listener != nil {
		_ = m.listener.Close() // it may have been closed
	}
	if m.incarnation != nil {
		_ = m.incarnation.Close() // the same
	}
}

// Links implements admin.Mesh.
func (m *mesh) Links() []admin.Link {
	links := m.peers.Links()
	all := make([]admin.Link, 0, len(links))
	for _, l := range links {
		all = append(all, admin.Link{
			Peer: l.Peer, Number: l.Number, Address: l.Address,
			State: string(l.State), Seconds: l.Age.Seconds(), Cause: l.Cause, LastError: l.LastError,
			RTTMicros: l.RTT.Microseconds(), UnansweredMS: l.Unanswered.Milliseconds(),
			Incarnation: l.Incarnation, Version: l.Version, Entries: l.Entries, Digest: l.Digest, InFlight: l.InFlight,
			FramesIn: l.FramesIn, FramesOut: l.FramesOut, BytesIn: l.BytesIn, BytesOut: l.BytesOut, QueuedBytes: l.Queued,
		})
	}
	return all
}

// Troubles implements admin.Mesh.
func (m *mesh) Troubles() []admin.Trouble {
	troubles, now := m.peers.Troubles()
	all := make([]admin.Trouble, 0, len(troubles))
	for _, t := range troubles {
		all = append(all, admin.Trouble{Kind: t.Kind, Peer: t.Peer, Seconds: (now - t.Since).Seconds(), Cause: t.Cause})
	}
	if since := time.Duration(m.removed.Load()); since > 0 {
		all = append(all, admin.Trouble{
			Kind: notAMember, Peer: m.server.opts.Node, Seconds: (now - since).Seconds(), Cause: "this node is not in its own list of members",
		})
	}
	return all
}

// notAMember is the Trouble of a node that is out of the list.
const notAMember = "not_a_member"

// Ask implements admin.Mesh.
func (m *mesh) Ask(ctx context.Context, node, method string, body []byte) ([]byte, error) {
	return m.peers.Ask(ctx, node, method, body)
}

var _ admin.Mesh = (*mesh)(nil)

// nodes are the ways into the mesh that modules are told.
func (s *Server) nodes() []*pb.Node {
	if s.mesh == nil {
		return []*pb.Node{{Name: s.opts.Node, Address: s.advertise()}}
	}
	return s.mesh.peers.Nodes()
}

// PeerAddr returns where other nodes connect, host:port, or "" where the node is alone.
func (s *Server) PeerAddr() string {
	if s.mesh == nil {
		return ""
	}
	return s.mesh.listener.Addr().String()
}

// Links returns the state of the link to every other member, by its name: "up" where calls cross it.
func (s *Server) Links() map[string]string {
	states := make(map[string]string)
	if s.mesh != nil {
		for _, l := range s.mesh.peers.Links() {
			states[l.Peer] = string(l.State)
		}
	}
	return states
}
