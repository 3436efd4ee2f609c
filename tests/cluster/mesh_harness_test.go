package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// mesh is the nodes and modules of a story about several nodes. Hosts have the names of what runs on them.
type mesh struct {
	*cluster
	net     *network
	members []messageserver.Member
	hosts   map[string]*host
}

// host is where a node runs, now or before.
type host struct {
	number  int
	modules string // where modules connect
	peers   string // where nodes connect
	dir     string // what outlives the node
	node    *node  // nil while none runs
}

// onEachMesh tells a story over memory and over TCP.
func onEachMesh(t *testing.T, names []string, story func(t *testing.T, m *mesh)) {
	for _, memory := range []bool{true, false} {
		how := map[bool]string{true: "memory", false: "tcp"}[memory]
		t.Run(how, func(t *testing.T) { story(t, startMesh(t, memory, names...)) })
	}
}

// startMesh starts nodes that are members of one mesh, and waits until all links are up.
func startMesh(t *testing.T, memory bool, names ...string) *mesh {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	c := &cluster{t: t, memory: memory, ctx: ctx, nodes: map[string]*node{}}
	m := &mesh{cluster: c, net: newNetwork(memory), hosts: map[string]*host{}}
	t.Cleanup(func() {
		for _, end := range slices.Backward(c.ends) {
			end()
		}
		for _, name := range slices.Sorted(keys(m.hosts)) {
			m.end(name)
		}
		m.net.close()
		cancel()
	})
	for _, name := range names {
		m.addHost(name)
	}
	for _, name := range names {
		m.startNode(name)
	}
	m.wantUp()
	return m
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// addHost gives a node its listeners and a line in the members.
func (m *mesh) addHost(name string) *host {
	m.t.Helper()
	h := &host{number: len(m.hosts) + 1, dir: m.t.TempDir()}
	modules, at, err := m.net.listen(name)
	if err != nil {
		m.t.Fatal(err)
	}
	h.modules = at
	peers, at, err := m.net.listen(name)
	if err != nil {
		m.t.Fatal(err)
	}
	h.peers = at
	_ = modules.Close() // startNode opens them again
	_ = peers.Close()
	m.hosts[name] = h
	m.members = append(m.members, messageserver.Member{Node: name, Number: h.number, Address: h.peers})
	return h
}

// startNode starts the node of a host, for the first time or again.
func (m *mesh) startNode(name string, edit ...func(*messageserver.Options)) {
	m.t.Helper()
	h := m.hosts[name]
	modules, err := m.net.relisten(name, h.modules)
	if err != nil {
		m.t.Fatal(err)
	}
	peers, err := m.net.relisten(name, h.peers)
	if err != nil {
		m.t.Fatal(err)
	}
	o := messageserver.Options{
		Node: name, Number: h.number, Advertise: h.modules, Listener: modules, DataDir: h.dir,
		DrainTimeout: 2 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	o.Admin.Listen = "off"
	o.Peers.Members, o.Peers.Listener, o.Peers.Dial = slices.Clone(m.members), peers, m.net.dialer(name)
	for _, e := range edit {
		e(&o)
	}
	s, err := messageserver.New(o)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &node{Server: s, stop: stop, done: make(chan error, 1)}
	go func() { n.done <- s.Run(ctx) }()
	h.node, m.nodes[name] = n, n
}

// end stops a node, after it has been found consistent and quiet.
func (m *mesh) end(name string) {
	m.t.Helper()
	h := m.hosts[name]
	if h.node == nil {
		return
	}
	n := h.node
	eventually(m.t, "node "+name+" is quiet", func() bool { return n.ConsistencyCheck() == nil && n.InFlight() == 0 })
	m.stopNode(name)
}

// stopNode stops a node as an operator does.
func (m *mesh) stopNode(name string) {
	m.t.Helper()
	h := m.hosts[name]
	h.node.stop()
	if err := <-h.node.done; err != nil {
		m.t.Errorf("node %s ended with %v", name, err)
	}
	h.node = nil
}

// kill makes a node vanish as a process does that is killed: its connections are reset, and nobody hears a goodbye.
func (m *mesh) kill(name string) {
	m.t.Helper()
	m.net.down(name, true)
	m.stopNode(name)
}

// revive starts a node again that was killed.
func (m *mesh) revive(name string) {
	m.t.Helper()
	m.net.down(name, false)
	m.startNode(name)
}

// wantUp waits until every node that runs has its links up to all others that run.
func (m *mesh) wantUp() {
	m.t.Helper()
	for a, from := range m.hosts {
		for b, to := range m.hosts {
			if a != b && from.node != nil && to.node != nil {
				m.wantLink(a, b, "up")
			}
		}
	}
}

func (m *mesh) wantLink(a, b, state string) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("the link of %s to %s is %s (it is %s)", a, b, state, m.hosts[a].node.Links()[b]),
		func() bool { return m.hosts[a].node.Links()[b] == state })
}

// serveAt starts an instance that knows the given nodes, and logs in to so many of them.
func (m *mesh) serveAt(moduleName, instance string, do rawHandler, nodes ...string) *module {
	m.t.Helper()
	s := &module{c: m.cluster, name: instance, done: make(chan error, 1), conns: newCutter(m.net.dialer(instance))}
	o := rpcserver.Options{
		Module: moduleName, Instance: instance, Addresses: m.addresses(nodes), Dial: s.conns.dial,
		Logger: slog.New(slog.DiscardHandler), DrainTimeout: 5 * time.Second, Connections: len(nodes),
	}
	server := rpcserver.New(o)
	s.server = server
	rpcserver.HandleRaw(server, "Do", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
		s.started.Add(1)
		defer s.finished.Add(1)
		return do(ctx, r)
	}, rpcserver.Idempotent())
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- server.Run(ctx) }()
	m.ends = append(m.ends, func() {
		s.stop()
		<-s.done
	})
	m.wantKnown(moduleName, instance)
	return s
}

func (m *mesh) addresses(nodes []string) (all []string) {
	for _, name := range nodes {
		all = append(all, m.hosts[name].modules)
	}
	return all
}

// wantKnown waits until every node that runs can send calls to an instance.
func (m *mesh) wantKnown(moduleName, instance string) {
	m.t.Helper()
	for name, h := range m.hosts {
		if h.node != nil {
			eventually(m.t, instance+" is known at "+name, func() bool { return h.node.HasInstance(moduleName, instance) })
		}
	}
}

// clientAt connects a caller to one of the given nodes.
func (m *mesh) clientAt(name string, nodes ...string) *client {
	m.t.Helper()
	o := rpcclient.Options{Module: name, Dial: m.net.dialer(name), Logger: slog.New(slog.DiscardHandler)}
	cl, err := rpcclient.Dial(strings.Join(m.addresses(nodes), ","), o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.ends = append(m.ends, func() { cl.Close() })
	return &client{m.cluster, cl}
}
