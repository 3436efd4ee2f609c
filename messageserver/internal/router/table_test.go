package router

import (
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func TestTheNewerProcessTakesTheName(t *testing.T) {
	h := newHouse(t, Options{})
	old := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	fresh := h.serve("one", func(r *Registration) { r.UUID = "another" })
	if !old.replaced || fresh.replaced {
		t.Errorf("replaced: old %v, fresh %v", old.replaced, fresh.replaced)
	}
	p, _, _ := h.submit(callSpec{method: "Move"})
	fresh.end(fresh.last().CallID, End{Code: wire.OK})
	p.want(t, wire.OK)
	old.end(old.last().CallID, End{Code: wire.OK}) // what it had it may answer
	o.want(t, wire.OK)
	h.r.Unregister(old.session) // comes late, and is not the entry any more
	if !h.r.HasModule("pay") {
		t.Error("the end of the replaced session took the new one's registration")
	}
	h.r.Unregister(fresh.session)
	if h.r.HasModule("pay") || len(h.r.Registry(h.now)) != 0 {
		t.Error("the module is still there")
	}
	h.check()
}

func TestTheGreaterStampTakesTheName(t *testing.T) {
	stamped := func(uuid string, n uint64, node string) func(*Registration) {
		return func(r *Registration) { of(uuid)(r); stamped(n, node)(r) }
	}
	for _, c := range []struct {
		name        string
		first, then func(*Registration)
		thenWins    bool
	}{
		{"a newer process", stamped("x", 7, "a"), stamped("y", 8, "a"), true},
		{"an older one that comes back", stamped("y", 8, "a"), stamped("x", 7, "a"), false},
		{"the greater node", stamped("x", 7, "a"), stamped("y", 7, "b"), true},
		{"the lesser node", stamped("y", 7, "b"), stamped("x", 7, "a"), false},
		{"the same process, whatever it says", stamped("x", 7, "a"), stamped("x", 6, "a"), true},
	} {
		h := newHouse(t, Options{})
		one, two := h.serve("one", c.first), h.serve("one", c.then)
		if one.replaced != c.thenWins || two.replaced == c.thenWins {
			t.Errorf("%s: replaced %v and %v", c.name, one.replaced, two.replaced)
		}
		winner := one
		if c.thenWins {
			winner = two
		}
		o, _, _ := h.submit(callSpec{method: "Move"})
		winner.end(winner.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
		h.r.Unregister(one.session)
		h.r.Unregister(two.session)
		if h.r.HasModule("pay") {
			t.Errorf("%s: the module is still there", c.name)
		}
		h.check()
	}
}

func TestTheSameProcessKeepsItsCounters(t *testing.T) {
	h := newHouse(t, Options{})
	first := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	second := h.serve("one")
	if !first.replaced {
		t.Error("the older session of the process was not told")
	}
	if n := h.r.Registry(h.now)[0].Instances[0].Outstanding; n != 1 {
		t.Errorf("%d outstanding after the process came back, want 1", n)
	}
	first.end(first.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	_ = second
	h.check()
}

// TestDrainingIsChosenLast: a session whose node stops is used until its module has another one.
func TestDrainingIsChosenLast(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	h.r.Drain(one.session)
	for range 4 {
		o, _, _ := h.submit(callSpec{method: "Move"})
		two.end(two.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
	}
	o, _, _ := h.submit(callSpec{method: "Move", edit: func(r *wire.Request) { r.Instance = []byte("one") }})
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	h.r.Drain(two.session)
	o, _, _ = h.submit(callSpec{method: "Move"})
	for _, f := range []*fakeTarget{one, two} {
		if f.slots.Len() > 0 {
			f.end(f.last().CallID, End{Code: wire.OK})
		}
	}
	o.want(t, wire.OK)
	if !h.r.HasModule("pay") {
		t.Error("a module whose instances all drain does not count as there")
	}
	h.check()
}

func TestCallsGoToInstancesThatHaveTheMethod(t *testing.T) {
	h := newHouse(t, Options{})
	old := h.serve("old", func(r *Registration) { r.Methods = NewMethods(map[string]Contract{"Move": {}}) })
	fresh := h.serve("fresh", func(r *Registration) { r.Group = "g" })
	for range 6 {
		o, _, _ := h.submit(callSpec{method: "Charge"})
		fresh.end(fresh.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
	}
	if old.got() != 0 {
		t.Error("an instance got a method that it does not have")
	}
	h.r.Update(old.session, NewMethods(map[string]Contract{"Move": {}, "Charge": {}}))
	reached := 0
	for range 6 {
		o, _, _ := h.submit(callSpec{method: "Charge"})
		for _, f := range []*fakeTarget{old, fresh} {
			if f.slots.Len() > 0 {
				f.end(f.last().CallID, End{Code: wire.OK})
			}
		}
		o.want(t, wire.OK)
		reached = old.got()
	}
	if reached == 0 {
		t.Error("a method reported live gets no calls")
	}
	// The contract is what all promise: the one that was reported live is not idempotent.
	o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
	o.want(t, wire.BadOption)
	h.check()
}

// TestTheContractIsWhatAllPromise whoever logs in first, and also of those that cannot be reached.
func TestTheContractIsWhatAllPromise(t *testing.T) {
	promise := func(idempotent bool) func(*Registration) {
		methods := NewMethods(map[string]Contract{"Charge": {Idempotent: idempotent}})
		return func(r *Registration) { r.Methods = methods }
	}
	for _, first := range []bool{true, false} {
		h := newHouse(t, Options{})
		b := h.neighbour("b")
		h.serve("one", promise(first))
		b.serve("two", promise(!first))
		for range 2 {
			o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
			o.want(t, wire.BadOption)
			h.r.Disconnect("b", b)
		}
		h.check()
	}
}

func TestMergedContracts(t *testing.T) {
	a := Contract{Idempotent: true, Reachable: true, RunLate: true, Visibility: "external", DefaultTimeoutMS: 100}
	b := Contract{Idempotent: false, Reachable: true, RunLate: true, Visibility: "admin", DefaultTimeoutMS: 300}
	want := Contract{Reachable: true, RunLate: true, Visibility: "admin", DefaultTimeoutMS: 300}
	if got := a.merge(b); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := b.merge(a); got != want {
		t.Errorf("%+v the other way round, want %+v", got, want)
	}
}

func TestHashGoesToOneInstancePerKey(t *testing.T) {
	h := newHouse(t, Options{})
	targets := []*fakeTarget{h.serve("one"), h.serve("two"), h.serve("three")}
	where := func(key string) string {
		o, _, _ := h.submit(callSpec{method: "Move", edit: func(r *wire.Request) { r.Balance, r.HashKey = wire.BalanceHash, []byte(key) }})
		i := slices.IndexFunc(targets, func(f *fakeTarget) bool { return f.slots.Len() > 0 })
		targets[i].end(targets[i].last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
		return targets[i].name
	}
	seen := map[string]bool{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		first := where(key)
		seen[first] = true
		if again := where(key); again != first {
			t.Errorf("key %s went to %s, then to %s", key, first, again)
		}
	}
	if len(seen) != 3 {
		t.Errorf("twelve keys reached %d of 3 instances", len(seen))
	}
	h.check()
}

func TestRegistryDescribesWhatIsThere(t *testing.T) {
	h := newHouse(t, Options{})
	h.serve("two", func(r *Registration) { r.Weight = 7; r.Needs = []string{"rank"} })
	h.serve("one")
	views := h.r.Registry(h.now)
	if len(views) != 1 || views[0].Module != "pay" || len(views[0].Instances) != 2 || len(views[0].Methods) != 2 {
		t.Fatalf("registry %+v", views)
	}
	v := views[0]
	if v.Instances[0].Instance != "one" || v.Instances[1].Instance != "two" || v.Instances[1].Weight != 7 || v.Instances[0].Age != 3600 {
		t.Errorf("instances %+v", v.Instances)
	}
	if v.Methods[0].Method != "Charge" || !v.Methods[0].Idempotent || v.Methods[0].Instances != 2 {
		t.Errorf("methods %+v", v.Methods)
	}
}

func TestWheel(t *testing.T) {
	var w wheel
	var fired []*Call
	fire := func(c *Call, _ uint64) { fired = append(fired, c) }
	mk := func() *Call { return newCall().(*Call) }
	early, late, far := mk(), mk(), mk()
	w.arm(&early.timer, 1, 5*time.Millisecond)
	w.arm(&late.timer, 1, 5*time.Millisecond+time.Microsecond)
	w.arm(&far.timer, 1, 3*wheelBuckets*wheelTick+7*time.Millisecond) // beyond one turn
	w.advance(4*time.Millisecond, fire)
	if len(fired) != 0 {
		t.Fatal("fired early")
	}
	w.advance(5*time.Millisecond, fire)
	if !slices.Equal(fired, []*Call{early}) {
		t.Fatalf("at 5 ms %d fired, want the one that is due", len(fired))
	}
	w.advance(6*time.Millisecond, fire)
	if len(fired) != 2 {
		t.Fatalf("%d fired after a tick more, want 2", len(fired))
	}
	for now := 7 * time.Millisecond; now < 3*wheelBuckets*wheelTick+7*time.Millisecond; now += 100 * time.Millisecond {
		w.advance(now, fire)
	}
	if len(fired) != 2 {
		t.Fatal("the far one fired a turn early")
	}
	if !w.advance(time.Hour, fire) == (w.len() > 0) || len(fired) != 3 || w.len() != 0 {
		t.Fatalf("%d fired and %d left after a long pause, want 3 and 0", len(fired), w.len())
	}

	// Arming for what is already past fires with the next tick, not a turn later.
	w.arm(&early.timer, 1, time.Minute)
	w.advance(time.Hour+time.Millisecond, fire)
	if len(fired) != 4 {
		t.Fatal("a time in the past did not fire at once")
	}

	// A life that was disarmed cannot be armed again, the next one can.
	w.disarm(&early.timer, 1)
	w.arm(&early.timer, 1, 2*time.Hour)
	if w.len() != 0 {
		t.Fatal("a life that is over was armed")
	}
	w.arm(&early.timer, 2, 2*time.Hour)
	w.arm(&early.timer, 2, 3*time.Hour) // moves it
	if w.len() != 1 {
		t.Fatal("the next life was not armed, or twice")
	}
}

func TestSlots(t *testing.T) {
	var s Slots
	c := &Call{}
	a, _ := s.Take(Ticket{c, 1})
	b, _ := s.Take(Ticket{c, 2})
	if a == 0 || a == b || s.Len() != 2 {
		t.Fatalf("ids %d and %d, %d under way", a, b, s.Len())
	}
	if got, ok := s.Release(a); !ok || got.turn != 1 {
		t.Fatal("the first id does not find its ticket")
	}
	for _, forged := range []uint64{a, 0, b + 1<<32, b ^ 1<<40, 1 << 31, ^uint64(0)} {
		if _, ok := s.Release(forged); ok {
			t.Errorf("id %#x found a ticket", forged)
		}
	}
	again, _ := s.Take(Ticket{c, 3})
	if uint32(again) != uint32(a) || again == a {
		t.Errorf("slot of %#x came back as %#x, want the same slot with another generation", a, again)
	}
	if left := s.Close(); len(left) != 2 || s.Len() != 0 {
		t.Errorf("%d tickets left, %d under way after Close", len(left), s.Len())
	}
	if _, ok := s.Take(Ticket{c, 4}); ok {
		t.Error("a closed table gave an id")
	}
}
