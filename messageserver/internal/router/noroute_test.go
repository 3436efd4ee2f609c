package router

import (
	"slices"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

func TestNoRouteSaysWhereToTry(t *testing.T) {
	var asked []string
	h := newHouse(t, Options{Try: func(owners []string) []string {
		asked = owners
		return []string{"e"}
	}})
	b, c := h.neighbour("b"), h.neighbour("c")
	only := NewMethods(map[string]Contract{"Stay": {}})
	b.serve("one", func(r *Registration) { r.Group = "eu" })
	c.serve("one", func(r *Registration) { r.Group = "eu" })
	c.serve("two")
	h.serve("near", func(r *Registration) { r.Methods = only })
	h.r.Disconnect("b", b)
	h.r.Disconnect("c", c)
	for _, w := range []struct {
		name   string
		method string
		edit   func(*wire.Request)
		want   wire.Code
		owners []string
	}{
		{"any instance", "Move", nil, wire.NoRoute, []string{"b", "c"}},
		{"of a group", "Move", func(r *wire.Request) { r.Group = []byte("eu") }, wire.NoRoute, []string{"b", "c"}},
		{"of a group that nobody is in", "Move", func(r *wire.Request) { r.Group = []byte("us") }, wire.NoInstance, nil},
		{"by name", "Move", named("two"), wire.NoRoute, []string{"c"}},
		{"by the wrong name", "Move", named("three"), wire.NoInstance, nil},
		{"by name, in the wrong group", "Move", func(r *wire.Request) { r.Group, r.Instance = []byte("eu"), []byte("two") }, wire.NoInstance, nil},
		{"a method that only near has, by name", "Stay", named("two"), wire.NoInstance, nil},
		{"a method of nobody", "Nope", nil, wire.Unimplemented, nil},
		{"a module of nobody", "Move", func(r *wire.Request) { r.Module = []byte("nobody") }, wire.NoModule, nil},
	} {
		asked = nil
		o, _, _ := h.submit(callSpec{method: w.method, edit: w.edit})
		hd := header(t, o.want(t, w.want))
		if !slices.Equal(asked, w.owners) {
			t.Errorf("%s: asked where to try instead of %v, want %v", w.name, asked, w.owners)
		}
		if (len(hd.GetTry()) == 1) != (w.want == wire.NoRoute) || hd.GetMessage() == "" {
			t.Errorf("%s: header %v", w.name, hd)
		}
	}
	if n := h.r.Counters().NoRoutes.Load(); n != 3 {
		t.Errorf("%d calls without a route counted, want 3", n)
	}
	h.r.OneWay(&h.b, h.fill(nil, callSpec{method: "Move", flags: wire.FlagOneWay}), 1)
	if n := h.r.Counters().OneWayRefused[wire.NoRoute].Load(); n != 1 {
		t.Errorf("%d one-way calls without a route counted, want 1", n)
	}
	if views := h.r.Registry(h.now); len(views) != 1 || len(views[0].Instances) != 3 {
		t.Errorf("%+v: what cannot be reached is listed all the same", views)
	}
	h.check()
}

// TestTheLinkIsLostWhileACallIsUnderWay and with it the only way: the answer says that others may have one.
func TestTheLinkIsLostWhileACallIsUnderWay(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	b.lose(true)
	o.want(t, wire.NoRoute)
	h.check()
}

// TestWhatANodeHasNotHeardOfMayBeThere: a node that has just started does not say that a module is not there.
func TestWhatANodeHasNotHeardOfMayBeThere(t *testing.T) {
	unheard := []string{"b"}
	h := newHouse(t, Options{
		Unheard: func() []string { return unheard },
		Try: func(owners []string) []string {
			if len(owners) == 0 {
				return nil
			}
			return []string{"c"}
		},
	})
	h.wantRefused(wire.NoRoute, nil)
	h.serve("one", func(r *Registration) { r.Methods = NewMethods(map[string]Contract{"Other": {}}) })
	h.wantRefused(wire.NoRoute, nil) // the method may be there, too
	unheard = nil
	h.wantRefused(wire.Unimplemented, nil)
	h.check()
}
