package stats

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twohop/twohop/proto/wire"
)

// handlers are what instances have counted.
type handlers map[string]*HandlerCounts

func (h handlers) add(instance string, started, refused uint64) {
	c := h[instance]
	if c == nil {
		c = &HandlerCounts{Module: "pay", Method: "Charge", Instance: instance}
		h[instance] = c
	}
	c.Started, c.Finished, c.Refused = c.Started+started, c.Finished+started, c.Refused+refused
}

func (h handlers) all() (all []HandlerCounts) {
	for _, c := range h {
		all = append(all, *c)
	}
	return all
}

func TestDiscrepancies(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(n *node, h handlers)
		missing int64
		reason  string
	}{
		{"all was run", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 10, wire.OK, time.Millisecond)
			h.add("i", 10, 0)
		}, 0, ""},
		{"some were refused", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 10, wire.OK, time.Millisecond)
			h.add("i", 7, 3)
		}, 0, ""},
		{"a connection was lost", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 10, wire.OK, time.Millisecond)
			n.call("web", "pay", "Charge", 2, wire.ConnectionLost, time.Millisecond)
			h.add("i", 10, 0)
		}, 2, "2 calls ended unheard of"},
		{"some expired on their way", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 4, wire.Expired, time.Millisecond)
		}, 4, "4 calls expired"},
		{"nobody has answered", func(n *node, h handlers) {
			m := n.meterOf("web", "pay", "Charge")
			m.Entered()
			m.Started()
		}, 1, "1 calls are in flight"},
		{"an instance is new", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
			h.add("j", 100, 0)
		}, -99, "1 instances were first heard of"},
		{"other nodes call, too", func(n *node, h handlers) { h.add("i", 5, 0) }, -5, "those of 1"},
		{"it is gone", func(n *node, h handlers) {
			n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
			delete(h, "i")
		}, 1, "no instance of it has said"},
	} {
		h := handlers{}
		n := at(t, noon, Options{Handlers: h.all})
		h.add("i", 1000, 50) // of before
		n.jump(time.Minute)
		if d := n.Discrepancies(); d != nil {
			t.Errorf("%s: of one minute there is nothing to compare: %+v", c.name, d)
		}
		c.happens(n, h)
		n.jump(time.Minute)
		d := n.Discrepancies()
		if len(d) != 1 || d[0].Missing != c.missing || !contains(strings.Join(d[0].Reasons, "|"), c.reason) || c.missing == 0 && len(d[0].Reasons) > 0 {
			t.Errorf("%s: %+v; want %d missing, %q", c.name, d, c.missing, c.reason)
		}
		for range handlerMinutes {
			n.jump(time.Minute)
		}
		if d := n.Discrepancies(); len(d) > 1 || len(d) == 1 && d[0].Missing != 0 {
			t.Errorf("%s: minutes later: %+v", c.name, d)
		}
	}
}

// TestDiscrepanciesOfNodes: an instance that is logged in at two nodes counts once, and the calls of both are its.
func TestDiscrepanciesOfNodes(t *testing.T) {
	h := handlers{}
	a, b := at(t, noon, Options{Handlers: h.all}), at(t, noon, Options{Node: "b", Handlers: h.all})
	h.add("i", 1, 0)
	a.jump(time.Minute)
	b.jump(time.Minute)
	a.call("web", "pay", "Charge", 3, wire.OK, time.Millisecond)
	b.call("web", "pay", "Charge", 5, wire.OK, time.Millisecond)
	b.call("web", "pay", "Charge", 1, wire.Timeout, time.Millisecond)
	h.add("i", 6, 0)
	h.add("j", 2, 0)
	a.jump(time.Minute)
	b.jump(time.Minute)
	one := a.Discrepancies()
	if one[0].Missing != -5 {
		t.Errorf("of one node: %+v", one)
	}
	both := MergeDiscrepancies(one, b.Discrepancies())
	want := []InstanceGain{{"i", 6, 6, 0, false}, {"j", 2, 2, 0, true}}
	if len(both) != 1 || both[0].Missing != 1 || both[0].Started != 9 || both[0].Nodes != 2 {
		t.Fatalf("of both: %+v", both)
	}
	if diff := cmp.Diff(want, both[0].Instances); diff != "" {
		t.Error(diff)
	}
	if !contains(both[0].Reasons[0], "1 calls ended unheard of") {
		t.Errorf("reasons: %q", both[0].Reasons)
	}
}

func TestWithoutHandlersNothingIsCompared(t *testing.T) {
	n := at(t, noon, Options{})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(180)
	if d := n.Discrepancies(); d != nil {
		t.Errorf("got %+v", d)
	}
}
