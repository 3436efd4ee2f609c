package router

import (
	"math"
	"testing"
)

func TestWhoLogsInLaterHasTheGreaterStamp(t *testing.T) {
	h := newHouse(t, Options{})
	first := h.r.NextStamp()
	if second := h.r.NextStamp(); second.Compare(first) <= 0 || second.Node != "a" {
		t.Errorf("%v after %v", second, first)
	}
	h.neighbour("b").serve("one", func(r *Registration) { r.Stamp = Stamp{N: 100, Node: "b"} })
	if next := h.r.NextStamp(); next.N != 101 {
		t.Errorf("%v after b has given 100", next)
	}
	if !h.r.HearStamp(Stamp{N: 500, Node: "c"}) || !h.r.HearStamp(Stamp{N: 7, Node: "c"}) {
		t.Error("a stamp that a mesh can have come to is not believed")
	}
	if next := h.r.NextStamp(); next.N != 501 {
		t.Errorf("%v after a process has brought 500", next)
	}
	if h.r.HearStamp(Stamp{N: math.MaxInt64, Node: "c"}) {
		t.Error("one claim may use up the clock")
	}
	h.neighbour("d").serve("far", func(r *Registration) { r.Stamp = Stamp{N: 1 << 40, Node: "d"} })
	if next := h.r.NextStamp(); next.N != 1<<40+1 {
		t.Errorf("%v after a node has come to 2^40", next)
	}
	h.neighbour("c").serve("two", func(r *Registration) { r.Stamp = Stamp{N: math.MaxInt64, Node: "c"} })
	if next := h.r.NextStamp(); next.N != 1<<40+2 {
		t.Errorf("%v after a node has announced the greatest of all", next)
	}
	h.check()
}
