package registry

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// many is how many instances a large mesh has.
const many = 50_000

// manyLogins are instances of 200 modules with ten methods each.
func manyLogins(n int) []router.Change {
	all := make([]router.Change, 0, n)
	for i := range uint64(n) {
		module := fmt.Sprintf("module-%d", i%200)
		all = append(all, put(&router.Registration{
			Session: 1<<48 | i, Module: module, Instance: fmt.Sprintf("%s-%d.host-%d", module, i, i%1000), UUID: fmt.Sprintf("%032x", i*0x9e3779b97f4a7c15),
			Group: "eu-west", Weight: 100, Zone: "zone-1", AppVersion: "2026.11.3", Stamp: router.Stamp{N: 1 + i, Node: "node-a"},
			Methods: manyMethods(10, module[7:]),
		}))
	}
	return all
}

func manyOwn(b *testing.B, n int) *Own {
	own := NewOwn(1)
	own.Apply(manyLogins(n))
	if own.Count() != n {
		b.Fatal(own.Count())
	}
	return own
}

type message struct {
	kind   wire.Kind
	header []byte
}

// say returns what an exchange has to send.
func say(b *testing.B, x *Exchange) (all []message) {
	for kind, m, ok := x.Next(0); ok; kind, m, ok = x.Next(0) {
		header, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, message{kind, header})
	}
	return all
}

func hear(b *testing.B, x *Exchange, all []message) {
	for _, m := range all {
		if _, err := x.Take(m.kind, m.header, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func exchangeOf(own *Own, view *View, known Known) *Exchange {
	return NewExchange(own, view, Options{}, known, 0)
}

// BenchmarkSnapshot is a node that comes to a large mesh: one side makes a snapshot of 50,000 entries, the other takes it.
func BenchmarkSnapshot(b *testing.B) {
	own := manyOwn(b, many)
	nobody := NewView("b")
	for b.Loop() {
		view := NewView("a")
		from, to := exchangeOf(own, nobody, Known{}), exchangeOf(NewOwn(2), view, Known{})
		began := time.Now()
		snapshot := say(b, from)
		made := time.Now()
		hear(b, to, snapshot)
		taken := time.Now()
		if view.Digest() != own.Digest() {
			b.Fatal("another digest")
		}
		bytes := 0
		for _, m := range snapshot {
			bytes += len(m.header)
		}
		b.ReportMetric(float64(made.Sub(began).Milliseconds()), "ms-to-make")
		b.ReportMetric(float64(taken.Sub(made).Milliseconds()), "ms-to-take")
		b.ReportMetric(float64(bytes)/many, "wire-bytes/entry")
		b.ReportMetric(float64(len(snapshot)-1), "parts")
	}
}

// BenchmarkMemory is what 50,000 entries of another node cost.
func BenchmarkMemory(b *testing.B) {
	snapshot := say(b, exchangeOf(manyOwn(b, many), NewView("b"), Known{}))
	for b.Loop() {
		before := heap()
		view := NewView("a")
		hear(b, exchangeOf(NewOwn(2), view, Known{}), snapshot)
		b.ReportMetric(float64(heap()-before)/many, "heap-bytes/entry")
		runtime.KeepAlive(view)
	}
	runtime.KeepAlive(snapshot)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what a first one's cleanups let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkDelta is one change, from Apply to the view: it costs the same among few and among many.
func BenchmarkDelta(b *testing.B) {
	for _, n := range []int{500, many} {
		b.Run(fmt.Sprintf("among-%d", n), func(b *testing.B) {
			own, view := manyOwn(b, n), NewView("a")
			from, to := exchangeOf(own, NewView("b"), Known{}), exchangeOf(NewOwn(2), view, Known{})
			hear(b, to, say(b, from))
			r := *own.all()[77]
			b.ReportAllocs()
			for b.Loop() {
				next := r
				next.Draining = !r.Draining
				r = next
				own.Apply([]router.Change{put(&next)})
				hear(b, to, say(b, from))
			}
			if view.Mark() != own.Mark() || view.Digest() != own.Digest() {
				b.Fatal("the view is behind")
			}
		})
	}
}

// BenchmarkVerify is the forced check of 50,000 entries.
func BenchmarkVerify(b *testing.B) {
	own := manyOwn(b, many)
	for b.Loop() {
		if err := own.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeartbeat is what an idle link costs per second and direction.
func BenchmarkHeartbeat(b *testing.B) {
	own, view := NewOwn(1), NewView("a")
	from, to := exchangeOf(own, NewView("b"), Known{}), exchangeOf(NewOwn(2), view, Known{})
	hear(b, to, say(b, from))
	b.ReportAllocs()
	for b.Loop() {
		header, err := proto.Marshal(from.nextHeartbeat(0))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(header)), "wire-bytes")
		if _, err := to.Take(wire.KindHeartbeat, header, 0); err != nil {
			b.Fatal(err)
		}
	}
}
