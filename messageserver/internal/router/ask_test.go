package router

import (
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// ask puts a question to the node at the other end of a link.
func (h *house) ask(via Target, budget time.Duration) (*answers, *Call, uint64) {
	h.t.Helper()
	o := &answers{}
	req := wire.Request{Module: []byte("_node"), Method: []byte("Ps"), Instance: []byte("b")}
	f := wire.Frame{Kind: wire.KindRequest, CallID: 1, Header: req.Append(nil), Body: []byte("{}")}
	c := h.r.Call()
	c.Origin, c.Caller, c.Stamp = o, h.caller, wire.AppendInvoker(nil, "_node", "a", "", "a", 0)
	c.ID, c.RPCID, c.Arrived, c.Budget = 1, 4711, h.now, budget
	if err := c.Keep(&f); err != nil {
		h.t.Fatal(err)
	}
	life := c.Life()
	h.r.Ask(&h.b, c, via)
	return o, c, life
}

func TestANodeAsksAnother(t *testing.T) {
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	o, _, _ := h.ask(b, 2*time.Second)
	f := b.last()
	var req wire.Request
	if err := req.Walk(f.Header, wire.ByNode); err != nil {
		t.Fatal(err)
	}
	if string(req.Module) != "_node" || string(req.Stamp.InvokerModule) != "_node" || f.Hops != 1 || f.BudgetMS != 2000 || string(f.Body) != "{}" {
		t.Errorf("request %+v, header %+v", f, req)
	}
	b.end(End{Code: wire.OK, Body: []byte("[]")})
	if a := o.want(t, wire.OK); string(a.Body) != "[]" || a.Hops != 2 {
		t.Errorf("answer %+v", a)
	}
	n := &h.r.Counters().Asked
	if n.Submitted.Load() != 1 || n.Settled[wire.Success].Load() != 1 || h.r.Counters().Submitted.Load() != 0 || h.r.Counters().Codes[wire.OK].Load() != 0 {
		t.Error("a question is counted as such, and not as a module's call")
	}
	h.ask(b, 0)
	if b.last().BudgetMS != 10_000 {
		t.Errorf("budget %d without one, want the default", b.last().BudgetMS)
	}
	b.end(End{Code: wire.OK})
	h.check()
}

func TestHowAQuestionEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(h *house, b *neighbour, call *Call, life uint64)
		want wire.Code
	}{
		{"the link is lost before it left", func(_ *house, b *neighbour, _ *Call, _ uint64) { b.lose(true) }, wire.NoRoute},
		{"the link is lost", func(_ *house, b *neighbour, _ *Call, _ uint64) { b.lose(false) }, wire.ConnectionLost},
		{"refused", func(_ *house, b *neighbour, _ *Call, _ uint64) { b.end(End{Code: wire.Unimplemented}) }, wire.Unimplemented},
		{"stale", func(_ *house, b *neighbour, _ *Call, _ uint64) { b.end(End{Code: wire.StaleRoute}) }, wire.StaleRoute},
		{"nobody answers", func(h *house, b *neighbour, _ *Call, _ uint64) {
			h.pass(101 * time.Millisecond)
			if len(b.cancels) != 1 {
				h.t.Error("no CANCEL at the deadline")
			}
			h.pass(grace + time.Millisecond)
		}, wire.Timeout},
		{"spent in the queue", func(_ *house, b *neighbour, _ *Call, _ uint64) { b.end(End{Code: wire.Expired, Unsent: true}) }, wire.Expired},
		{"cancelled", func(h *house, _ *neighbour, call *Call, life uint64) {
			h.r.Cancel(&h.b, call, life, wire.Cancelled)
			h.pass(grace + time.Millisecond)
		}, wire.CancelledRunning},
	} {
		h := newHouse(t, Options{})
		b, d := h.neighbour("b"), h.neighbour("d")
		o, call, life := h.ask(b, 100*time.Millisecond)
		c.end(h, b, call, life)
		o.want(t, c.want)
		if b.got() != 1 || d.got() != 0 {
			t.Errorf("%s: %d and %d requests, want it asked once", c.name, b.got(), d.got())
		}
		h.check()
	}
	h := newHouse(t, Options{})
	b := h.neighbour("b")
	b.full = true
	o, _, _ := h.ask(b, time.Second)
	o.want(t, wire.Overloaded)
	b.gone = true
	o, _, _ = h.ask(b, time.Second)
	o.want(t, wire.NoRoute)
	h.check()
}
