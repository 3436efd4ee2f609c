package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func TestTheGreaterStampOfTheMeshHasTheName(t *testing.T) {
	t.Run("announced", func(t *testing.T) {
		h := newHouse(t, Options{})
		local := h.serve("one", of("x"), stamped(7, "a"))
		b := h.neighbour("b")
		b.serve("one", of("older"), stamped(6, "b"))
		h.wantCall(local, nil)
		if local.replaced {
			t.Fatal("the greater one was replaced")
		}
		b.serve("one", of("newer"), stamped(7, "b"))
		if !local.replaced {
			t.Error("the session that lost its name to another node's was not told")
		}
		h.wantCall(b.fakeTarget, nil)
		if v := h.the("one"); v.UUID != "newer" || len(v.Paths) != 1 {
			t.Errorf("%+v, want the path of the newer process only", v)
		}
		h.check()
	})
	t.Run("connected", func(t *testing.T) {
		h := newHouse(t, Options{})
		b := h.neighbour("b")
		h.r.Disconnect("b", b)
		b.serve("one", of("newer"), stamped(9, "b"))
		local := h.serve("one", of("x"), stamped(7, "a"))
		h.wantCall(local, nil)
		if local.replaced {
			t.Error("it lost the name to a process that cannot be reached")
		}
		h.r.Connect("b", b)
		if !local.replaced {
			t.Error("it was not told when the greater one came within reach")
		}
		h.wantCall(b.fakeTarget, nil)
		h.r.Disconnect("b", b)
		h.wantCall(local, nil)
		h.check()
	})
	t.Run("registered", func(t *testing.T) {
		h := newHouse(t, Options{})
		b := h.neighbour("b")
		b.serve("one", of("newer"), stamped(9, "b"))
		late := h.serve("one", of("x"), stamped(7, "a"))
		if !late.replaced {
			t.Error("it was not told that another node has a greater one")
		}
		h.wantCall(b.fakeTarget, nil)
		h.r.Forget("b")
		h.wantCall(late, nil)
		h.check()
	})
	t.Run("differing stamps of one process", func(t *testing.T) {
		h := newHouse(t, Options{})
		b, c := h.neighbour("b"), h.neighbour("c")
		b.serve("one", of("x"), stamped(3, "b"))
		rival := h.serve("one", of("y"), stamped(5, "a"))
		c.serve("one", of("x"), stamped(8, "c"))
		if v := h.the("one"); v.UUID != "x" || len(v.Paths) != 2 {
			t.Errorf("%+v, want both paths of the process whose greatest stamp is the greatest", v)
		}
		if !rival.replaced {
			t.Error("the other one was not told")
		}
		h.check()
	})
}

func TestTheNewerSessionOfAProcessOnOneNode(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	first := b.serve("one")
	second := b.serve("one")
	h.wantCall(b.fakeTarget, nil)
	if v := h.the("one"); b.target() != second.Session || len(v.Paths) != 1 {
		t.Errorf("the call is for session %d, paths %+v, want the newer one only", b.target(), v.Paths)
	}
	h.r.Announce("b", []Change{{second.Session, nil}})
	h.wantCall(b.fakeTarget, nil)
	if b.target() != first.Session {
		t.Error("the older one did not come back when the newer one went")
	}
	old := h.serve("one")
	fresh := h.serve("one")
	if !old.replaced || fresh.replaced {
		t.Errorf("replaced: old %v, fresh %v", old.replaced, fresh.replaced)
	}
	h.wantCall(fresh, nil)
	h.check()
}

// TestAnnouncementsReplaceAndMove checks what a session may turn into: another registration, also of another name.
func TestAnnouncementsReplaceAndMove(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	reg := b.serve("one")
	moved := *reg
	moved.Instance, moved.Group = "two", "g"
	b.announce(&moved)
	h.wantRefused(wire.NoInstance, named("one"))
	h.wantCall(b.fakeTarget, func(r *wire.Request) { r.Group = []byte("g") })
	draining := moved
	draining.Draining = true
	b.announce(&draining)
	h.wantCall(b.fakeTarget, named("two"))
	b.announce(&Registration{Session: 7, Module: "pay", Instance: "bare", UUID: "u"}) // says nothing of methods
	h.wantRefused(wire.NoInstance, named("bare"))
	h.r.Announce("a", []Change{{reg.Session, reg}}) // nobody else speaks for this node
	h.r.Announce("b", []Change{{reg.Session, nil}, {4711, nil}, {7, nil}})
	if left := h.r.Registry(h.now); len(left) != 0 {
		t.Errorf("%+v is left", left)
	}
	h.check()
}

func TestANameThatIsFoughtOverIsHeldDown(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	for i := range 6 { // five takeovers
		b.serve("one", of(fmt.Sprint("p-", i)))
	}
	h.wantCall(b.fakeTarget, named("one"))
	if left := h.r.HeldDown("pay", "one"); left != 0 {
		t.Fatalf("held down for %v after five takeovers", left)
	}
	local := h.serve("one", of("mine"), stamped(100, "a")) // the sixth
	h.serve("two")
	if left := h.r.HeldDown("pay", "one"); left != time.Minute {
		t.Fatalf("held down for %v after six takeovers in a minute, want 60 s", left)
	}
	h.wantRefused(wire.NoInstance, named("one"))
	if h.r.HasInstance("pay", "one") || !h.r.HasModule("pay") {
		t.Error("what is held down counts as there, or takes others with it")
	}
	if v := h.the("one"); !v.HeldDown {
		t.Errorf("%+v does not say so", v)
	}
	if held := h.r.HeldNames(); len(held) != 1 || held[0] != (HeldName{"pay", "one", 7, 60}) {
		t.Errorf("%+v, want pay/one with 7 sessions for 60 s", held)
	}
	if n := h.r.Counters().HoldDowns.Load(); n != 1 {
		t.Errorf("%d hold-downs counted", n)
	}
	h.pass(30 * time.Second)
	for i := range uint64(8) { // a fight does not make it longer
		b.serve("one", of(fmt.Sprint("q-", i)), stamped(101+i, "b"))
	}
	if !local.replaced {
		t.Error("who loses a name that is held down is told as ever")
	}
	h.pass(30*time.Second - time.Millisecond)
	if left := h.r.HeldDown("pay", "one"); left != time.Millisecond {
		t.Errorf("%v left, want a millisecond", left)
	}
	h.pass(time.Millisecond)
	if left := h.r.HeldDown("pay", "one"); left != 0 || h.the("one").HeldDown || len(h.r.HeldNames()) != 0 {
		t.Errorf("%v left after a minute", left)
	}
	h.wantCall(b.fakeTarget, named("one"))
	h.check()
}

// TestWhatIsNoFight does the same as often, without two processes at a time, or not so fast.
// Nodes that have not seen the fight, because it was over before they heard of it, hear that nobody has the name.
func TestANameThatIsHeldDownHereIsKeptFromOthers(t *testing.T) {
	h := newHouse(t, Options{})
	known := map[uint64]bool{}
	follow := func() {
		for _, c := range h.r.Changes() {
			if known[c.Session] = c.Registration != nil; !known[c.Session] {
				delete(known, c.Session)
			}
		}
	}
	var last *fakeTarget
	for i := range 6 { // five takeovers
		last = h.serve("one", of(fmt.Sprint("p-", i)))
	}
	follow()
	if len(known) != 6 {
		t.Fatalf("others know %d sessions of 6 that claim the name", len(known))
	}
	sixth := h.serve("one", of("p-6"))
	follow()
	if len(known) != 0 {
		t.Errorf("others know %v of a name that is held down", known)
	}
	h.r.Drain(last.session)
	h.r.Update(sixth.session, NewMethods(map[string]Contract{"Other": {}}))
	if follow(); len(known) != 0 {
		t.Errorf("a change of a session told others of it: %v", known)
	}
	homes := h.r.local.homes.all()
	if len(homes) != 0 {
		t.Errorf("calls of others reach %d sessions of a name that is held down", len(homes))
	}
	h.pass(holdDown)
	follow()
	if !known[sixth.session] || len(h.r.local.homes.all()) != 7 {
		t.Errorf("afterwards others know %v and reach %d sessions, want all 7", known, len(h.r.local.homes.all()))
	}
	h.check()
}

func TestWhatIsNoFight(t *testing.T) {
	t.Run("a crash loop", func(t *testing.T) {
		h := newHouse(t, Options{})
		for i := range 20 {
			f := h.serve("one", of(fmt.Sprint("p-", i)))
			h.pass(10 * time.Millisecond)
			h.wantCall(f, nil)
			h.r.Unregister(f.session)
			h.pass(10 * time.Millisecond)
		}
		h.check()
	})
	t.Run("a process that changes its node", func(t *testing.T) {
		h := newHouse(t, Options{})
		b := h.neighbour("b")
		for range 20 {
			reg := b.serve("one")
			f := h.serve("one")
			h.wantCall(f, nil)
			h.r.Announce("b", []Change{{reg.Session, nil}})
			h.r.Unregister(f.session)
		}
		h.check()
	})
	t.Run("a takeover every thirteen seconds", func(t *testing.T) {
		h := newHouse(t, Options{})
		b := h.neighbour("b")
		var last *Registration
		for i := range 12 {
			now := b.serve("one", of(fmt.Sprint("p-", i)))
			if last != nil {
				h.r.Announce("b", []Change{{last.Session, nil}})
			}
			last = now
			h.wantCall(b.fakeTarget, nil)
			h.pass(13 * time.Second)
		}
		h.check()
		h.pass(2 * time.Minute)
		if n := len(h.r.directory.resting); n != 0 {
			t.Errorf("%d names are still watched", n)
		}
	})
}

// TestAHeldNameIsRememberedWithoutClaims refuses logins although nobody is there any more.
func TestAHeldNameIsRememberedWithoutClaims(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	for i := range 7 {
		b.serve("one", of(fmt.Sprint("p-", i)))
	}
	h.r.Forget("b")
	h.pass(20 * time.Second)
	if left := h.r.HeldDown("pay", "one"); left != 40*time.Second {
		t.Errorf("%v left, want 40 s", left)
	}
	late := h.serve("one", of("late"))
	h.wantRefused(wire.NoInstance, nil)
	h.pass(40 * time.Second)
	h.wantCall(late, nil)
	h.r.Unregister(late.session)
	h.pass(time.Minute)
	if n := len(h.r.directory.modules); n != 0 {
		t.Errorf("%d modules are kept of what is over", n)
	}
	h.check()
}
