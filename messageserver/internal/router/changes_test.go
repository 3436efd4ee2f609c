package router

import (
	"slices"
	"testing"
)

func TestChangesOfLocalSessions(t *testing.T) {
	called := 0
	var r *Router
	h := newHouse(t, Options{Changed: func() {
		called++
		r.HasModule("pay")      // no lock is held
		r.HeldDown("pay", "no") // the directory's neither
	}})
	r = h.r
	take := func(want ...uint64) []Change {
		t.Helper()
		got := r.Changes()
		sessions := make([]uint64, len(got))
		for i, c := range got {
			sessions[i] = c.Session
		}
		if !slices.Equal(sessions, want) {
			t.Fatalf("changes of %v, want of %v", sessions, want)
		}
		return got
	}
	take()
	two, one := h.serve("two"), h.serve("one")
	if called != 1 {
		t.Errorf("said %d times that there is something, want once for what was not there", called)
	}
	h.neighbour("b").serve("far")
	got := take(two.session, one.session)
	if got[0].Registration.Instance != "two" || got[0].Registration.Draining {
		t.Errorf("%+v", got[0].Registration)
	}
	take()
	h.r.Drain(two.session)
	h.r.Update(two.session, NewMethods(map[string]Contract{"New": {}}))
	h.r.Drain(4711)
	h.r.Unregister(4711)
	if called != 2 {
		t.Errorf("called %d times, want 2", called)
	}
	changed := take(two.session)[0].Registration
	if _, has := changed.Methods.ByName["New"]; !has || !changed.Draining {
		t.Errorf("%+v, want the newest value", changed)
	}
	if got[0].Registration.Draining || len(got[0].Registration.Methods.ByName) != 2 {
		t.Error("a registration that was given away has changed")
	}
	h.r.Unregister(two.session)
	three := h.serve("three")
	h.r.Unregister(three.session)
	for _, c := range take(two.session, three.session) {
		if c.Registration != nil {
			t.Errorf("%+v is gone", c.Registration)
		}
	}
	if called != 3 {
		t.Errorf("called %d times, want 3", called)
	}
	h.check()
}
