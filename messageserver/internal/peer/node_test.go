package peer

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const meshSecret = "correct horse battery"

// mesh is nodes that know each other, in a bubble.
type mesh struct {
	t     testing.TB
	net   *network
	list  []Member
	nodes map[string]*node // that run
	edits []func(*Options)
}

// node is peers over a router, as a message server has them.
type node struct {
	m       *mesh
	name    string
	router  *router.Router
	peers   *Peers
	clock   *frameconn.Clock
	log     logbook
	methods map[string]inbound.Method
	told    atomic.Int64 // how often NodesChanged was called
	numbers uint64       // of sessions

	stop    context.CancelFunc // of the peers
	still   context.CancelFunc // of the clock
	running sync.WaitGroup
	ticking sync.WaitGroup
	serving sync.WaitGroup
}

// story plays with the nodes of one mesh, which run and know each other. At its end all stop, and nothing may be left.
func story(t *testing.T, names string, play func(m *mesh), edits ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, names, edits...)
		defer m.end()
		for name := range strings.FieldsSeq(names) {
			m.start(name)
		}
		play(m)
	})
}

func newMesh(t testing.TB, names string, edits ...func(*Options)) *mesh {
	m := &mesh{t: t, net: newNetwork(), nodes: map[string]*node{}, edits: edits}
	for i, name := range strings.Fields(names) {
		m.list = append(m.list, Member{Node: name, Number: i + 1, Address: name})
	}
	return m
}

// start starts a node of the list, for the first time or again.
func (m *mesh) start(name string, edits ...func(*Options)) *node {
	m.t.Helper()
	n := &node{m: m, name: name, clock: frameconn.NewClock(), methods: map[string]inbound.Method{}}
	n.router = router.New(router.Options{
		Node: name, Changed: func() { n.peers.Changed() }, Try: func(owners []string) []string { return n.peers.Try(owners) },
	}, n.clock.Now)
	incarnation, err := OpenIncarnation("", time.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	o := Options{
		Node: name, Mesh: "test", ModuleAddress: "modules-of-" + name, Members: slices.Clone(m.list), Incarnation: incarnation,
		Router: n.router, Clock: n.clock, Log: slog.New(slog.NewTextHandler(&n.log, nil)), Methods: n.methods,
		Dial:         func(ctx context.Context, address string) (net.Conn, error) { return m.net.dial(ctx, n, address) },
		NodesChanged: func() { n.told.Add(1) },
	}
	for _, one := range m.list {
		if one.Node == name {
			o.Number = one.Number
		}
	}
	for _, edit := range append(slices.Clone(m.edits), edits...) {
		edit(&o)
	}
	if n.peers, err = New(o); err != nil {
		m.t.Fatal(err)
	}
	var ticks, runs context.Context
	ticks, n.still = context.WithCancel(context.Background())
	n.ticking.Go(func() { n.clock.Run(ticks, n.router.Tick) })
	runs, n.stop = context.WithCancel(context.Background())
	n.running.Go(func() { n.peers.Run(runs) })
	m.net.listen(name, n)
	m.nodes[name] = n
	return n
}

func (n *node) title() string { return n.name }

// serve hands a connection to the node.
func (n *node) serve(nc net.Conn) { n.serving.Go(func() { n.peers.Serve(nc) }) }

// stopNode stops a node as an operator does.
func (m *mesh) stopNode(name string) {
	m.t.Helper()
	n := m.nodes[name]
	m.net.hangUp(n)
	n.stop()
	n.running.Wait()
	n.serving.Wait()
	m.finish(n)
}

// kill makes a node vanish: the kernel resets its connections, and nobody hears a goodbye.
func (m *mesh) kill(name string) {
	m.t.Helper()
	n := m.nodes[name]
	m.net.hangUp(n)
	n.peers.mu.Lock()
	links := n.peers.linksLocked()
	n.peers.closed = true
	n.peers.mu.Unlock()
	for _, l := range links {
		l.conn.Close(errStopped)
	}
	synctest.Wait()
	n.stop()
	n.running.Wait()
	n.serving.Wait()
	m.finish(n)
}

// finish wants nothing to be left of a node whose peers have ended.
func (m *mesh) finish(n *node) {
	m.t.Helper()
	time.Sleep(time.Second) // of the bubble: what is still in flight ends with its grace
	n.still()
	n.ticking.Wait()
	if calls, kept := n.router.InFlight(); calls != 0 || kept != 0 {
		m.t.Errorf("node %s: %d calls in flight and %d bytes kept at the end", n.name, calls, kept)
	}
	if calls := n.router.Local().InFlight(); calls != 0 {
		m.t.Errorf("node %s: %d calls of others in flight at the end", n.name, calls)
	}
	n.peers.mu.Lock()
	if left := n.peers.linksLocked(); len(left) != 0 {
		m.t.Errorf("node %s: %v at the end", n.name, left)
	}
	n.peers.mu.Unlock()
	n.wantConsistent()
	delete(m.nodes, n.name)
}

// end stops every node.
func (m *mesh) end() {
	m.t.Helper()
	for _, n := range m.nodes {
		n.wantConsistent()
	}
	m.net.healAll()
	for _, name := range m.names() {
		m.stopNode(name)
	}
	m.net.pumps.Wait()
}

// names are those of the nodes that run, sorted.
func (m *mesh) names() (all []string) {
	for name := range m.nodes {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func (n *node) wantConsistent() {
	n.m.t.Helper()
	if err := n.router.ConsistencyCheck(); err != nil {
		n.m.t.Errorf("node %s: %v", n.name, err)
	}
	if err := n.peers.ConsistencyCheck(); err != nil {
		n.m.t.Errorf("node %s: %v", n.name, err)
	}
}

// link describes a node's end of the link to another.
func (n *node) link(to string) Link {
	n.m.t.Helper()
	for _, l := range n.peers.Links() {
		if l.Peer == to {
			return l
		}
	}
	n.m.t.Fatalf("node %s has no member %s", n.name, to)
	return Link{}
}

func (n *node) wantState(to string, want State) {
	n.m.t.Helper()
	if l := n.link(to); l.State != want {
		n.m.t.Fatalf("%s to %s is %s (%s), want %s", n.name, to, l.State, l.Cause, want)
	}
}

// wantUp wants every node that runs to be linked to all others, within some time.
func (m *mesh) wantUp(within time.Duration) {
	m.t.Helper()
	m.within(within, "all links are up", func() bool {
		for _, a := range m.nodes {
			for _, l := range a.peers.Links() {
				if m.nodes[l.Peer] != nil && l.State != StateUp {
					return false
				}
			}
		}
		return true
	})
}

// within wants something to come true, and returns how long that took.
func (m *mesh) within(most time.Duration, what string, ok func() bool) time.Duration {
	m.t.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		if ok() {
			return time.Since(began)
		}
		if time.Since(began) > most {
			m.t.Fatalf("%s: not within %v", what, most)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// always wants something to stay true for some time.
func (m *mesh) always(during time.Duration, what string, ok func() bool) {
	m.t.Helper()
	for began := time.Now(); time.Since(began) < during; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if !ok() {
			m.t.Fatalf("%s: not after %v", what, time.Since(began))
		}
	}
}

// setMembers puts a list in force at one node.
func (n *node) setMembers(list ...Member) {
	n.m.t.Helper()
	if err := n.peers.SetMembers(list); err != nil {
		n.m.t.Fatal(err)
	}
}

// without is the list without some nodes.
func (m *mesh) without(names ...string) []Member {
	return slices.DeleteFunc(slices.Clone(m.list), func(one Member) bool { return slices.Contains(names, one.Node) })
}

// logbook keeps what a node writes.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logbook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

// lines returns those with all of the words.
func (b *logbook) lines(words ...string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			found = append(found, line)
		}
	}
	return found
}

func secret(o *Options) { o.Secret = meshSecret }

// instance is a session of a node, which takes calls.
type instance struct {
	n        *node
	reg      *router.Registration
	slots    router.Slots
	requests chan wire.Frame
	cancels  chan uint64
}

// login registers an instance of a module at a node. Methods whose names begin with Get are idempotent.
func (n *node) login(module, name string, methods ...string) *instance {
	n.numbers++
	byName := map[string]router.Contract{}
	for _, m := range methods {
		byName[m] = router.Contract{Idempotent: strings.HasPrefix(m, "Get"), RunLate: strings.HasPrefix(m, "Late")}
	}
	i := &instance{n: n, requests: make(chan wire.Frame, 100), cancels: make(chan uint64, 100)}
	i.reg = &router.Registration{
		Session: n.numbers<<8 | uint64(n.peers.opts.Number), Module: module, Instance: name, UUID: "u-" + name,
		Stamp: router.Stamp{N: n.numbers, Node: n.name}, Methods: router.NewMethods(byName), Since: n.clock.Now(),
	}
	n.router.Register(i.reg, i)
	return i
}

func (i *instance) logout() {
	i.n.router.Unregister(i.reg.Session)
	b := router.Batch{Now: i.n.clock.Now()}
	for _, t := range i.slots.Close() {
		i.n.router.End(&b, t, &router.End{Code: wire.ConnectionLost})
	}
	b.Flush()
}

// Send implements router.Target.
func (i *instance) Send(_ *router.Batch, f *wire.Frame, _ bool) error {
	g := *f
	g.Header, g.Body = bytes.Clone(f.Header), bytes.Clone(f.Body)
	select {
	case i.requests <- g:
		return nil
	default:
		return frameconn.ErrFull
	}
}

// Cancel implements router.Target.
func (i *instance) Cancel(_ *router.Batch, id uint64, _ wire.Code) bool {
	i.cancels <- id
	return false
}

// Slots implements router.Target.
func (i *instance) Slots() *router.Slots { return &i.slots }

// Replace implements router.Target.
func (i *instance) Replace() {}

// wantRequest returns the next request that comes.
func (i *instance) wantRequest() wire.Frame {
	i.n.m.t.Helper()
	select {
	case f := <-i.requests:
		return f
	case <-time.After(time.Minute):
		i.n.m.t.Fatalf("no request comes to %s", i.reg.Instance)
		return wire.Frame{}
	}
}

// wantNone wants nothing to come.
func (i *instance) wantNone() {
	i.n.m.t.Helper()
	synctest.Wait()
	if len(i.requests) > 0 {
		i.n.m.t.Fatalf("a request came to %s", i.reg.Instance)
	}
}

// answer answers a request.
func (i *instance) answer(f wire.Frame, code wire.Code, body string) {
	t, ok := i.slots.Release(f.CallID)
	if !ok {
		return
	}
	b := router.Batch{Now: i.n.clock.Now()}
	i.n.router.End(&b, t, &router.End{Code: code, Hops: 1, Body: []byte(body)})
	b.Flush()
}

// call is one call that a module at a node has made.
type call struct {
	n        *node
	c        *router.Call
	life     uint64
	answered chan struct{}
	code     wire.Code
	hops     uint8
	header   []byte
	body     string
}

// Answer implements router.Origin.
func (c *call) Answer(_ *router.Batch, _ *router.Call, a *router.Answer) {
	c.code, c.hops, c.header, c.body = a.Code, a.Hops, bytes.Clone(a.Header), string(a.Body)
	close(c.answered)
}

// call calls "module.Method".
func (n *node) call(full string, edits ...func(*wire.Frame, *wire.Request)) *call {
	n.m.t.Helper()
	module, method, err := wire.SplitMethod(full)
	if err != nil {
		n.m.t.Fatal(err)
	}
	r := wire.Request{Module: []byte(module), Method: []byte(method)}
	f := wire.Frame{Kind: wire.KindRequest, CallID: 7, BudgetMS: 10_000, Body: []byte(full)}
	for _, edit := range edits {
		edit(&f, &r)
	}
	f.Header = r.Append(nil)
	c := &call{n: n, c: n.router.Call(), answered: make(chan struct{})}
	caller := n.router.OpenCaller("web")
	defer n.router.CloseCaller(caller)
	c.c.Origin, c.c.ID, c.c.Caller, c.c.Stamp = c, f.CallID, caller, wire.AppendInvoker(nil, "web", "web-1", "10.0.0.1", n.name, 99)
	c.c.Arrived, c.c.Budget = n.clock.Now(), time.Duration(f.BudgetMS)*time.Millisecond
	if err := c.c.Keep(&f); err != nil {
		n.m.t.Fatal(err)
	}
	b := router.Batch{Now: n.clock.Now()}
	if f.Flags&wire.FlagOneWay != 0 {
		n.router.OneWay(&b, c.c, 0)
	} else {
		c.life = c.c.Life()
		n.router.Submit(&b, c.c, 0)
	}
	b.Flush()
	return c
}

func (c *call) cancel() {
	b := router.Batch{Now: c.n.clock.Now()}
	c.n.router.Cancel(&b, c.c, c.life, wire.Cancelled)
	b.Flush()
}

func (c *call) want(code wire.Code, body string) {
	c.n.m.t.Helper()
	select {
	case <-c.answered:
	case <-time.After(time.Minute):
		c.n.m.t.Fatal("the call is not answered")
	}
	if c.code != code || c.body != body && code == wire.OK {
		c.n.m.t.Fatalf("answered %s with a body of %d (%.40q, header %q), want %s with %d (%.40q)", c.code, len(c.body), c.body, c.header, code, len(body), body)
	}
}

func (c *call) wantOpen() {
	c.n.m.t.Helper()
	synctest.Wait()
	select {
	case <-c.answered:
		c.n.m.t.Fatalf("answered %s (%q)", c.code, c.header)
	default:
	}
}

// wantKnown wants a node to be able to choose an instance, within some time.
func (n *node) wantKnown(within time.Duration, module, name string) time.Duration {
	n.m.t.Helper()
	return n.m.within(within, name+" is known at "+n.name, func() bool { return n.router.HasInstance(module, name) })
}

// wantReply calls from a node, and has an instance elsewhere answer.
func (n *node) wantReply(i *instance, method string) {
	n.m.t.Helper()
	c := n.call(i.reg.Module+"."+method, func(_ *wire.Frame, r *wire.Request) { r.Instance = []byte(i.reg.Instance) })
	f := i.wantRequest()
	i.answer(f, wire.OK, "yes")
	c.want(wire.OK, "yes")
}
