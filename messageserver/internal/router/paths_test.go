package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func TestACallGoesOverALink(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	one := b.serve("one")
	o, _, _ := h.submit(callSpec{method: "Charge", flags: wire.FlagWantReceiver})
	if f := b.last(); f.Hops != 1 || b.target() != one.Session {
		t.Errorf("request %+v for session %d, want hops 1 and session %d", f, b.target(), one.Session)
	}
	said := wire.AppendHopTime(wire.AppendReceiver(nil, "pay", "one", "u-one", "b"), "b", 70)
	b.end(End{Code: wire.OK, Header: said, Body: []byte("done")})
	a := o.want(t, wire.OK)
	hd := header(t, a)
	if a.Hops != 2 || hd.GetReceiver().GetNode() != "b" || len(hd.GetHopTimes()) != 2 || hd.GetHopTimes()[0].GetNode() != "b" || hd.GetHopTimes()[1].GetNode() != "a" {
		t.Errorf("hops %d, header %v: want 2, the receiver that b named, and the times of b and a", a.Hops, hd)
	}
	h.check()
}

func TestTheLocalPathIsPreferred(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.serve("one")
	h.wantCall(b.fakeTarget, nil)
	local := h.serve("one")
	for range 5 {
		h.wantCall(local, nil)
	}
	if local.replaced {
		t.Error("the same process on two nodes is one instance with two paths: nobody is replaced")
	}
	v := h.the("one")
	if v.Node != "a" || len(v.Paths) != 2 || !v.Paths[0].Local || !v.Paths[1].Usable || v.Paths[1].Node != "b" {
		t.Errorf("%+v, want the path of a and then that of b", v)
	}
	h.r.Drain(local.session)
	h.wantCall(b.fakeTarget, nil)
	if v := h.the("one"); v.Draining || v.Node != "b" || !v.Paths[1].Draining {
		t.Errorf("%+v: it drains over one of two paths", v)
	}
	h.r.Unregister(local.session)
	h.wantCall(b.fakeTarget, nil)
	h.check()
}

// TestNodesSpreadOverPaths wants the order of paths to be the same each time, and not the same on each node.
func TestNodesSpreadOverPaths(t *testing.T) {
	first := map[string]int{}
	for i := range 60 {
		var seen string
		for range 2 {
			h := newHouse(t, Options{Node: fmt.Sprint("n", i)})
			for _, node := range []string{"b", "c", "d"} {
				h.neighbour(node).serve("one")
			}
			at := h.the("one").Node
			if seen != "" && at != seen {
				t.Fatalf("node n%d uses the path of %s, then that of %s", i, seen, at)
			}
			seen = at
			h.check()
		}
		first[seen]++
	}
	for node, n := range first {
		if n < 8 {
			t.Errorf("%d of 60 nodes use the path of %s: %v", n, node, first)
		}
	}
	if len(first) != 3 {
		t.Errorf("60 nodes use %v, want all three paths", first)
	}
}

func TestAnAttemptThatDidNotReachItsInstanceTakesItsOtherPath(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(first *neighbour)
		same bool
	}{
		{"stale", func(f *neighbour) { f.end(End{Code: wire.StaleRoute}) }, true},
		{"draining", func(f *neighbour) { f.end(End{Code: wire.Draining}) }, true},
		{"lost and unsent", func(f *neighbour) { f.lose(true) }, true},
		{"overloaded", func(f *neighbour) { f.end(End{Code: wire.Overloaded}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, Options{})
			b, d := h.neighbour("b"), h.neighbour("d")
			paths := map[uint64]bool{}
			for _, n := range []*neighbour{b, d} {
				paths[n.serve("one").Session] = true
			}
			other := h.serve("other")
			h.r.Drain(other.session)
			o, _, _ := h.submit(callSpec{method: "Move"})
			first, second := b, d
			if b.got() == 0 {
				first, second = d, b
			}
			used := first.target()
			// Now there is another instance, too.
			third := h.serve("third")
			c.end(first)
			if c.same {
				if second.got() != 1 || third.got() != 0 || second.target() == used || !paths[second.target()] {
					t.Fatalf("%d requests over the other path, %d to another instance; want the other path", second.got(), third.got())
				}
				second.end(End{Code: wire.StaleRoute})
			}
			if third.got() != 1 {
				t.Fatal("the other instance did not get the call in the end")
			}
			third.end(third.last().CallID, End{Code: wire.OK})
			o.want(t, wire.OK)
			if first.got() != 1 {
				t.Errorf("%d requests over the first path", first.got())
			}
			h.check()
		})
	}
}

func TestFullAndGonePathsArePassedOver(t *testing.T) {
	for _, gone := range []bool{false, true} {
		h := newHouse(t, Options{})
		b, d := h.neighbour("b"), h.neighbour("d")
		b.serve("one")
		d.serve("one")
		one := h.serve("one")
		one.full, one.gone = !gone, gone
		first, second := b, d
		if h.the("one").Paths[1].Node == "d" {
			first, second = d, b
		}
		first.full, first.gone = !gone, gone
		h.wantCall(second.fakeTarget, nil)
		h.wantCall(second.fakeTarget, named("one"))
		second.full, second.gone = !gone, gone
		want := wire.Overloaded
		if gone {
			want = wire.NoInstance
		}
		h.wantRefused(want, nil)
		h.wantRefused(want, named("one"))
		if n := h.the("one").Outstanding; n != 0 {
			t.Errorf("%d outstanding", n)
		}
		h.check()
	}
}

// TestADeadLinkWithManyInstancesIsPassedOver before the router is told: what is gone does not use up the offers of a call.
func TestADeadLinkWithManyInstancesIsPassedOver(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	for i := range 12 {
		b.serve(fmt.Sprint("far-", i))
	}
	near := h.serve("near")
	b.gone = true
	for range 50 {
		h.wantCall(near, nil)
	}
	h.check()
}

func TestANamedInstanceIsReachedByItsSecondPath(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.serve("one")
	one := h.serve("one")
	h.serve("two")
	o, _, _ := h.submit(callSpec{method: "Move", edit: named("one")})
	one.end(one.last().CallID, End{Code: wire.ConnectionLost, Unsent: true})
	if b.got() != 1 {
		t.Fatal("the second path was not taken")
	}
	b.end(End{Code: wire.Draining})
	o.want(t, wire.Draining)
	if one.got() != 1 || b.got() != 1 {
		t.Errorf("%d and %d requests, want each path once", one.got(), b.got())
	}
	h.check()
}

func TestReroutesOverPathsAreBounded(t *testing.T) {
	h := newHouse(t, Options{})
	var all []*neighbour
	for _, node := range []string{"b", "c", "d", "e", "f"} {
		n := h.neighbour(node)
		n.serve("one")
		all = append(all, n)
	}
	o, _, _ := h.submit(callSpec{method: "Move"})
	for range 3 {
		for _, n := range all {
			if n.slots.Len() > 0 {
				n.end(End{Code: wire.StaleRoute})
				break
			}
		}
	}
	o.want(t, wire.NoInstance)
	got := 0
	for _, n := range all {
		got += n.got()
	}
	if got != 3 {
		t.Errorf("%d attempts, want the first and two reroutes", got)
	}
	if n := h.r.Counters().StaleRoutes.Load(); n != 3 {
		t.Errorf("%d stale routes counted, want 3", n)
	}
	h.check()
}

// TestARetryMayTakeTheOtherPathOfTheOnlyInstance after the link was lost with the call sent.
func TestARetryMayTakeTheOtherPathOfTheOnlyInstance(t *testing.T) {
	h := newHouse(t, Options{})
	b, d := h.neighbour("b"), h.neighbour("d")
	b.serve("one")
	d.serve("one")
	o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
	first, second := b, d
	if b.got() == 0 {
		first, second = d, b
	}
	first.lose(false)
	h.pass(250 * time.Millisecond)
	if second.got() != 1 || second.last().Attempt != 1 {
		t.Fatal("the retry did not go over the path that is left")
	}
	second.end(End{Code: wire.OK})
	o.want(t, wire.OK)
	if f := h.the("one").Failing; f != 0 {
		t.Errorf("the loss of a link counts against the instance: %v", f)
	}
	h.check()
}

// TestWhatANodeRefusesSaysNothingAboutTheInstance tells a node's own OVERLOADED from the instance's.
func TestWhatANodeRefusesSaysNothingAboutTheInstance(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.serve("one")
	for _, c := range []struct {
		header []byte
		counts bool
	}{
		{wire.AppendRefusal(nil, &wire.Refusal{Message: "full", Node: "b", Hop: 2}), false},
		{wire.AppendRefusal(nil, &wire.Refusal{Message: "full"}), true},
	} {
		o, _, _ := h.submit(callSpec{method: "Move"})
		b.end(End{Code: wire.Overloaded, Header: c.header})
		o.want(t, wire.Overloaded)
		if f := h.the("one").Failing; f > 0 != c.counts {
			t.Errorf("failing %v, want it to count: %t", f, c.counts)
		}
	}
	h.check()
}

func TestIdentitySurvivesPathsAndFlaps(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.serve("one", func(r *Registration) { r.Since = h.now - 10*time.Second })
	pick := h.r.table.Load().find("pay", "one").pick
	same := func(what string) {
		t.Helper()
		if e := h.r.table.Load().find("pay", "one"); e == nil || e.pick != pick {
			t.Errorf("%s: it is another instance for balancing", what)
		}
	}
	o, _, _ := h.submit(callSpec{method: "Move"})
	h.r.Disconnect("b", b)
	same("the link is down")
	if v := h.the("one"); v.Outstanding != 1 || v.Paths[0].Usable {
		t.Errorf("%+v, want one attempt outstanding and no usable path", v)
	}
	h.r.Connect("b", b)
	same("the link is back")
	local := h.serve("one", func(r *Registration) { r.Since = h.now })
	same("a second path")
	if age := h.the("one").Age; age != 10 {
		t.Errorf("age %v s, want that of the oldest session", age)
	}
	h.neighbour("c").serve("one", func(r *Registration) { r.Since = h.now - 20*time.Second })
	same("a third path")
	if age := h.the("one").Age; age != 20 {
		t.Errorf("age %v s, want that of the oldest session, of which it heard last", age)
	}
	h.r.Forget("c")
	h.r.Forget("b")
	same("the first path is forgotten")
	h.r.Unregister(h.serve("other").session)
	h.pass(700 * time.Millisecond)
	h.r.Unregister(local.session)
	h.pass(500 * time.Millisecond) // the other one's second is over meanwhile
	local = h.serve("one", func(r *Registration) { r.Since = h.now })
	same("it was away for half a second")
	b.end(End{Code: wire.OK})
	o.want(t, wire.OK)
	if v := h.the("one"); v.Outstanding != 0 {
		t.Errorf("%d outstanding", v.Outstanding)
	}
	h.r.Unregister(local.session)
	h.pass(2100 * time.Millisecond)
	h.serve("one")
	if h.r.table.Load().find("pay", "one").pick == pick {
		t.Error("a process that was away for two seconds is still remembered")
	}
	h.check()
}

func TestDisconnectTakesEffectAtOnce(t *testing.T) {
	h := newHouse(t, Options{})
	b, late := h.neighbour("b"), &neighbour{&fakeTarget{h: h, name: "new link to b"}, "b"}
	b.serve("one")
	h.wantCall(b.fakeTarget, nil)
	h.r.Connect("b", late) // the new link stands before the end of the old one is noticed
	h.r.Disconnect("b", b)
	h.wantCall(late.fakeTarget, nil)
	h.r.Disconnect("b", late)
	h.wantRefused(wire.NoRoute, nil)
	if !h.r.HasModule("pay") == h.r.HasInstance("pay", "one") || h.r.HasInstance("pay", "one") {
		t.Error("what cannot be chosen counts as there")
	}
	h.r.Forget("b")
	h.wantRefused(wire.NoModule, nil)
	h.r.Disconnect("b", late)
	h.r.Forget("b")
	h.check()
}

func TestMethodsGoByPath(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	local := h.serve("one", func(r *Registration) { r.Methods = NewMethods(map[string]Contract{"Move": {}}) })
	b.serve("one") // the same process, a moment later: it has Charge, too
	o, _, _ := h.submit(callSpec{method: "Charge"})
	if b.got() != 1 {
		t.Fatal("the call did not take the path that is known to have the method")
	}
	b.end(End{Code: wire.StaleRoute})
	o.want(t, wire.NoInstance)
	if local.got() != 0 {
		t.Error("the other path got a method that it does not have")
	}
	h.wantCall(local, nil)
	h.serve("two", func(r *Registration) { r.Methods = NewMethods(map[string]Contract{"Stay": {}}) })
	h.wantRefused(wire.NoInstance, named("two"))
	h.check()
}
