package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// world is nodes that are linked over TCP, in real time.
type world struct {
	b     *testing.B
	nodes []*node
	ends  []func()
}

func newWorld(b *testing.B, names ...string) *world {
	m := &mesh{t: b}
	w := &world{b: b}
	listeners := map[string]net.Listener{}
	for i, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		listeners[name] = l
		m.list = append(m.list, Member{Node: name, Number: i + 1, Address: l.Addr().String()})
	}
	for i, name := range names {
		w.add(m, name, i+1, listeners[name])
	}
	b.Cleanup(func() {
		for _, end := range w.ends {
			end()
		}
	})
	return w
}

// add makes a node that does not run yet.
func (w *world) add(m *mesh, name string, number int, l net.Listener) {
	n := &node{m: m, name: name, clock: frameconn.NewClock()}
	n.router = router.New(router.Options{Node: name, Changed: func() { n.peers.Changed() }}, n.clock.Now)
	incarnation, err := OpenIncarnation("", time.Now())
	if err == nil {
		n.peers, err = New(Options{
			Node: name, Number: number, Mesh: "test", Secret: meshSecret, Members: m.list, Incarnation: incarnation, Router: n.router, Clock: n.clock,
			Log: slog.New(slog.DiscardHandler),
		})
	}
	if err != nil {
		w.b.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.clock.Run(ctx, n.router.Tick) })
	n.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			n.serve(nc)
		}
	})
	w.ends = append(w.ends, func() {
		l.Close()
		if n.stop != nil {
			n.stop()
		}
		n.running.Wait()
		n.serving.Wait()
		stop()
		running.Wait()
	})
}

// run starts a node's peers.
func (n *node) run() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.running.Go(func() { n.peers.Run(ctx) })
}

// until spins until something is true: what is measured is shorter than a sleep.
func (w *world) until(ok func() bool) {
	for began := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(began) > time.Minute {
			w.b.Fatal("not within a minute")
		}
	}
}

func (w *world) untilUp() {
	for _, n := range w.nodes {
		w.until(func() bool {
			time.Sleep(time.Millisecond) // sleeps: links come up in real time
			return !slices.ContainsFunc(n.peers.Links(), func(l Link) bool { return l.State != StateUp })
		})
	}
}

// BenchmarkPropagation says how long it takes until a login is known at the other two of three nodes: SEMANTICS.md wants 200 ms
// (p99). Run it with -benchtime 1000x.
func BenchmarkPropagation(b *testing.B) {
	w := newWorld(b, "a", "b", "c")
	for _, n := range w.nodes {
		n.run()
	}
	w.untilUp()
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		at := w.nodes[i%3]
		name := fmt.Sprint("pay-", i)
		began := time.Now()
		at.login("pay", name, "Move")
		for _, n := range w.nodes {
			w.until(func() bool { return n.router.HasInstance("pay", name) })
		}
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

// BenchmarkSnapshot50000 says how long it takes from a dial until 50,000 instances of another node can be chosen (SEMANTICS.md wants
// 3 s), and what each costs the node that hears of them.
func BenchmarkSnapshot50000(b *testing.B) {
	const instances, modules = 50_000, 100
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		w := newWorld(b, "a", "b")
		a, owner := w.nodes[0], w.nodes[1]
		registerMany(owner, instances, modules)
		owner.run()
		w.until(func() bool { _, n, _ := owner.peers.Own(); return n == instances })
		before := heap()
		b.StartTimer()
		a.run()
		w.until(func() bool { return a.router.HasInstance("m-0", "i-0") && a.link("b").Entries == instances })
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/instances, "B/instance")
		runtime.KeepAlive(w)
	}
}

// heap returns the bytes that are in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// registerMany logs instances in at a node.
func registerMany(n *node, instances, modules int) {
	methods := router.NewMethods(map[string]router.Contract{"Move": {}, "GetIt": {Idempotent: true}})
	target := &counter{}
	for i := range instances {
		n.router.Register(&router.Registration{
			Session: uint64(i)<<16 | 7, Module: fmt.Sprint("m-", i%modules), Instance: fmt.Sprint("i-", i/modules), UUID: fmt.Sprintf("%016x-%016x", i, i),
			Stamp: router.Stamp{N: uint64(i + 1), Node: n.name}, Methods: methods, Group: fmt.Sprint("g-", i%7), AppVersion: "1.2.3", Zone: "z1",
		}, target)
	}
}

// BenchmarkCall says what a call over two nodes costs, over TCP, with few and with many instances registered in the mesh: that must
// not make a difference.
func BenchmarkCall(b *testing.B) {
	for _, instances := range []int{10, 50_000} {
		for _, inFlight := range []int{1, 64} {
			b.Run(fmt.Sprintf("%d instances/%d in flight", instances, inFlight), func(b *testing.B) { benchmarkCall(b, instances, inFlight) })
		}
	}
}

func benchmarkCall(b *testing.B, instances, inFlight int) {
	w := newWorld(b, "a", "b")
	a, owner := w.nodes[0], w.nodes[1]
	registerMany(owner, instances, min(instances, 100))
	pay := &echo{n: owner}
	owner.router.Register(registration(5, "b"), pay)
	for _, n := range w.nodes {
		n.run()
	}
	w.untilUp()
	w.until(func() bool { return a.router.HasInstance("pay", "pay-1") && a.link("b").Entries == instances+1 })
	c := &chain{asker: a.asker(), left: b.N, done: make(chan struct{}), slots: make(chan struct{}, inFlight)}
	b.ReportAllocs()
	b.ResetTimer()
	c.run(b)
	b.StopTimer()
}

// echo is a session that answers in the batch in which it is asked.
type echo struct {
	n     *node
	slots router.Slots
}

// Send implements router.Target. The answer comes from another goroutine, as that of a module does.
func (e *echo) Send(_ *router.Batch, f *wire.Frame, _ bool) error {
	id := f.CallID
	go func() {
		if t, ok := e.slots.Release(id); ok {
			batch := router.Batch{Now: e.n.clock.Now()}
			e.n.router.End(&batch, t, &router.End{Code: wire.OK, Hops: 1})
			batch.Flush()
		}
	}()
	return nil
}

func (e *echo) Cancel(*router.Batch, uint64, wire.Code) bool { return false }
func (e *echo) Slots() *router.Slots                         { return &e.slots }
func (e *echo) Replace()                                     {}

// chain makes calls, some at once.
type chain struct {
	*asker
	slots chan struct{}
	done  chan struct{}
	left  int
}

// Answer implements router.Origin.
func (c *chain) Answer(_ *router.Batch, _ *router.Call, a *router.Answer) {
	if a.Code != wire.OK {
		panic(a.Code.String())
	}
	<-c.slots
}

func (c *chain) run(b *testing.B) {
	for range c.left {
		c.slots <- struct{}{}
		call := c.n.router.Call()
		call.Origin, call.ID, call.Caller, call.Stamp = c, 1, c.caller, c.stamp
		call.Arrived, call.Budget = c.n.clock.Now(), 10*time.Second
		if err := call.Keep(&c.frame); err != nil {
			b.Fatal(err)
		}
		c.batch.Now = c.n.clock.Now()
		c.n.router.Submit(&c.batch, call, 0)
		c.batch.Flush()
	}
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
}
