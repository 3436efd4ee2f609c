package cluster

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
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
	ledger  *ledger
	every   []func(*messageserver.Options) // what all nodes of the story have in common
}

// host is where a node runs, now or before.
type host struct {
	name    string
	number  int
	modules string // where modules connect
	peers   string // where nodes connect
	dir     string // what outlives the node
	node    *node  // nil while none runs
}

// onEachMesh tells a story over memory and over TCP.
func onEachMesh(t *testing.T, names []string, story func(t *testing.T, m *mesh)) {
	t.Run("memory", func(t *testing.T) { story(t, startMesh(t, true, names...)) })
	t.Run("tcp", func(t *testing.T) { story(t, startMesh(t, false, names...)) })
}

// onEachMeshAtOnce does so side by side, for stories that wait most of their time.
func onEachMeshAtOnce(t *testing.T, names []string, story func(t *testing.T, m *mesh)) {
	atOnce(
		func() { t.Run("memory", func(t *testing.T) { story(t, startMesh(t, true, names...)) }) },
		func() { t.Run("tcp", func(t *testing.T) { story(t, startMesh(t, false, names...)) }) },
	)
}

// atOnce runs all and waits.
func atOnce(all ...func()) {
	var under sync.WaitGroup
	for _, run := range all {
		under.Go(run)
	}
	under.Wait()
}

// startMesh starts nodes that are members of one mesh, and waits until all links are up.
func startMesh(t *testing.T, memory bool, names ...string) *mesh {
	t.Helper()
	m := newMesh(t, memory, names...)
	for _, name := range names {
		m.startNode(name)
	}
	m.wantUp()
	return m
}

// newMesh makes a mesh whose nodes do not run yet. The story ends with everything found consistent and quiet, every node
// stopped, and the calls of the ledger found honest.
func newMesh(t *testing.T, memory bool, names ...string) *mesh {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	c := &cluster{t: t, memory: memory, ctx: ctx, nodes: map[string]*node{}}
	m := &mesh{cluster: c, net: newNetwork(memory), hosts: map[string]*host{}, ledger: newLedger()}
	t.TempDir() // the first one says when all are removed: after the nodes have stopped, which write to theirs
	t.Cleanup(func() {
		for _, end := range slices.Backward(c.ends) {
			end()
		}
		m.wantQuiet()
		for _, h := range m.running() {
			m.stopNode(h.name)
		}
		m.net.close()
		m.wantHonest()
		cancel()
	})
	for _, name := range names {
		h := m.addHost(name)
		m.members = append(m.members, h.member())
	}
	return m
}

// addHost gives a node its addresses, its number and its folder. It is not among the members.
func (m *mesh) addHost(name string) *host {
	h := &host{
		name: name, number: len(m.hosts) + 1, dir: m.t.TempDir(), modules: m.net.address(name), peers: m.net.address(name),
	}
	m.hosts[name] = h
	return h
}

// member is the host's line in a list.
func (h *host) member() messageserver.Member {
	return messageserver.Member{Node: h.name, Number: h.number, Address: h.peers}
}

// running returns the hosts whose nodes run, by name.
func (m *mesh) running() (all []*host) {
	for _, name := range slices.Sorted(maps.Keys(m.hosts)) {
		if h := m.hosts[name]; h.node != nil {
			all = append(all, h)
		}
	}
	return all
}

// startNode starts the node of a host, for the first time or again.
func (m *mesh) startNode(name string, edit ...func(*messageserver.Options)) {
	m.t.Helper()
	n := m.newNode(name, edit...)
	m.hosts[name].node, m.nodes[name] = n, n
	n.start()
}

// newNode makes the node of a host.
func (m *mesh) newNode(name string, edit ...func(*messageserver.Options)) *node {
	m.t.Helper()
	h := m.hosts[name]
	modules, err := m.net.listen(name, h.modules)
	if err != nil {
		m.t.Fatal(err)
	}
	peers, err := m.net.listen(name, h.peers)
	if err != nil {
		m.t.Fatal(err)
	}
	n := &node{journal: &journal{}, done: make(chan error, 1)}
	o := messageserver.Options{
		Node: name, Number: h.number, Advertise: h.modules, Listener: modules, DataDir: h.dir,
		DrainTimeout: 2 * time.Second, Log: slog.New(n.journal),
	}
	o.Admin.Listen = "off"
	o.Session.LoginsPerSecond = 1 << 20
	o.Session.MaxPending = 1 << 20 // all hosts of a story have one address
	o.Peers.Members, o.Peers.Listener, o.Peers.Dial = slices.Clone(m.members), peers, m.net.dialer(name)
	for _, e := range slices.Concat(m.every, edit) {
		e(&o)
	}
	if n.Server, err = messageserver.New(o); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// start runs a node.
func (n *node) start() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.done <- n.Run(ctx) }()
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

// tell puts a list of members in force at a node, as an operator does.
func (m *mesh) tell(name string, list ...messageserver.Member) {
	m.t.Helper()
	if err := m.hosts[name].node.SetMembers(list); err != nil {
		m.t.Fatalf("node %s: %v", name, err)
	}
}

// serveAt starts an instance that knows the given nodes and logs in to so many of them, and waits until all nodes have it.
func (m *mesh) serveAt(moduleName, instance string, do rawHandler, nodes ...string) *module {
	m.t.Helper()
	s := m.launch(moduleName, instance, do, nodes...)
	m.wantKnown(moduleName, instance)
	return s
}

// serveAtOnly is serveAt where the other nodes need not hear of the instance.
func (m *mesh) serveAtOnly(moduleName, instance string, do rawHandler, node string) *module {
	m.t.Helper()
	s := m.launch(moduleName, instance, do, node)
	m.wantKnownAt(node, moduleName, instance)
	return s
}

// launch starts an instance, and waits for nothing.
func (m *mesh) launch(moduleName, instance string, do rawHandler, nodes ...string) *module {
	m.t.Helper()
	return m.launchWide(1024, moduleName, instance, do, nodes...)
}

// launchWide is launch of an instance that runs so many handlers at a time.
func (m *mesh) launchWide(concurrency int, moduleName, instance string, do rawHandler, nodes ...string) *module {
	m.t.Helper()
	s := &module{c: m.cluster, name: instance, done: make(chan error, 1), conns: newCutter(m.net.dialer(instance))}
	s.server = rpcserver.New(rpcserver.Options{
		Module: moduleName, Instance: instance, Addresses: m.addresses(nodes), Dial: s.conns.dial,
		Logger: slog.New(slog.DiscardHandler), DrainTimeout: 5 * time.Second, Connections: len(nodes), Concurrency: concurrency,
	})
	rpcserver.HandleRaw(s.server, "Do", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
		s.started.Add(1)
		defer s.finished.Add(1)
		m.ledger.start(r.Body, instance)
		return do(ctx, r)
	}, rpcserver.Idempotent())
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- s.server.Run(ctx) }()
	m.ends = append(m.ends, func() {
		s.stop()
		<-s.done
		if started, finished := s.started.Load(), s.finished.Load(); started != finished {
			m.t.Errorf("%s: %d handlers started, %d finished", instance, started, finished)
		}
	})
	return s
}

func (m *mesh) addresses(nodes []string) (all []string) {
	for _, name := range nodes {
		all = append(all, m.hosts[name].modules)
	}
	return all
}

// caller is who calls in a story about several nodes.
type caller struct {
	*client // nil of a resident
	m       *mesh
	name    string
	via     interface {
		CallRaw(ctx context.Context, method string, body []byte, opts ...rpcclient.CallOption) ([]byte, error)
		Go(ctx context.Context, method string, in, out any, opts ...rpcclient.CallOption) *rpcclient.Pending
	}
}

// clientAt connects a caller to one of the given nodes. It moves to others that a node tells it to try.
func (m *mesh) clientAt(name string, nodes ...string) *caller {
	m.t.Helper()
	o := rpcclient.Options{Module: name, Dial: m.net.dialer(name), Logger: slog.New(slog.DiscardHandler)}
	cl, err := rpcclient.Dial(strings.Join(m.addresses(nodes), ","), o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.ends = append(m.ends, func() { cl.Close() })
	return &caller{&client{m.cluster, cl}, m, name, cl}
}

// residentAt returns a caller that stays where it is as long as its node runs: a module that is called, too.
func (m *mesh) residentAt(name, node string) *caller {
	m.t.Helper()
	s := m.serveAtOnly(name, name, echo, node)
	return &caller{m: m, name: name, via: resident{s.server.Client(), m}}
}

// resident is a server's own client.
type resident struct {
	*rpcserver.Client
	m *mesh
}

// Go is that of a client.
func (r resident) Go(ctx context.Context, method string, in, out any, opts ...rpcclient.CallOption) *rpcclient.Pending {
	p, err := r.Client.Go(ctx, method, in, out, opts...)
	if err != nil {
		r.m.t.Fatal(err)
	}
	return p
}
