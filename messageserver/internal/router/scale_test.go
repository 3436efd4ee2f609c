package router

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// A mesh that is large: instances of one node, over so many modules.
const (
	manyInstances = 50_000
	manyModules   = 500
)

// many returns what a node says that has them all.
func many() []Change {
	methods := NewMethods(pays)
	changes := make([]Change, manyInstances)
	for i := range changes {
		reg := &Registration{
			Session: uint64(1e6 + i), Module: fmt.Sprint("module-", i%manyModules), Instance: fmt.Sprint("instance-", i),
			UUID: fmt.Sprintf("%032x", i), Weight: 100, Stamp: Stamp{uint64(i), "b"}, Methods: methods, Since: -time.Hour,
		}
		changes[i] = Change{reg.Session, reg}
	}
	return changes
}

// TestALargeRegistryIsCheap measures what a remote instance costs besides what its node has said of it, with the balancer that
// most calls use.
func TestALargeRegistryIsCheap(t *testing.T) {
	const most = 600 // bytes
	h := newHouse(t, Options{})
	changes := many()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&before)
	h.r.Connect("b", &neighbour{&fakeTarget{h: h}, "b"})
	h.r.Announce("b", changes)
	for _, m := range h.r.table.Load().modules {
		m.methods["Move"].all.picker(wire.BalanceUnset)
	}
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / manyInstances
	t.Logf("%d bytes for each of %d remote instances", each, manyInstances)
	if each > most {
		t.Errorf("%d bytes for each remote instance, want at most %d", each, most)
	}
	h.check()
	runtime.KeepAlive(changes)
}

func BenchmarkAnnounceMany(b *testing.B) {
	changes := many()
	b.ReportAllocs()
	for b.Loop() {
		h := newHouse(b, Options{})
		h.neighbour("b")
		h.r.Announce("b", changes)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/batch")
}

// BenchmarkDisconnectMany is how long it takes until the last path of a large node is out of every choice, and back.
func BenchmarkDisconnectMany(b *testing.B) {
	h := newHouse(b, Options{})
	link := h.neighbour("b")
	h.r.Announce("b", many())
	for b.Loop() {
		h.r.Disconnect("b", link)
		h.r.Connect("b", link)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(2*b.N), "ms/change")
}

// BenchmarkRegisterAmongMany is one login on a node that knows all of them.
func BenchmarkRegisterAmongMany(b *testing.B) {
	h := newHouse(b, Options{})
	h.neighbour("b")
	h.r.Announce("b", many())
	f := &fakeTarget{h: h}
	for b.Loop() {
		reg := h.registration("one", func(r *Registration) { r.Module = "module-7" })
		h.r.Register(reg, f)
		h.r.Unregister(reg.Session)
	}
}

// BenchmarkForwardAmongMany is BenchmarkForward on such a node.
func BenchmarkForwardAmongMany(b *testing.B) {
	h := newHouse(b, Options{})
	link := &countingTarget{h: h}
	h.r.Connect("b", link)
	h.r.Announce("b", many())
	h.forward(b, link, "module-7")
}

// BenchmarkNoRouteAmongMany is a refusal where all of them are out of reach.
func BenchmarkNoRouteAmongMany(b *testing.B) {
	h := newHouse(b, Options{Try: func([]string) []string { return []string{"c"} }})
	h.r.Announce("b", many())
	o := &lastCode{}
	req := wire.Request{Module: []byte("module-7"), Method: []byte("Move")}
	f := wire.Frame{Kind: wire.KindRequest, CallID: 42, Header: req.Append(nil)}
	for b.Loop() {
		c := h.r.Call()
		c.Origin, c.Caller, c.ID, c.Arrived = o, h.caller, 42, h.now
		if err := c.Keep(&f); err != nil {
			b.Fatal(err)
		}
		h.r.Submit(&h.b, c, 1)
	}
	if o.code != wire.NoRoute {
		b.Errorf("refused with %v", o.code)
	}
}
