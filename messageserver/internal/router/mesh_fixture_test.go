package router

import (
	"github.com/twohop/twohop/proto/wire"
)

// neighbour is another node, as the link to it.
type neighbour struct {
	*fakeTarget
	node string
}

// neighbour returns a node that is connected and has said nothing yet.
func (h *house) neighbour(node string) *neighbour {
	n := &neighbour{&fakeTarget{h: h, name: "link to " + node}, node}
	h.r.Connect(node, n)
	return n
}

// serve announces a session of an instance of pay.
func (n *neighbour) serve(name string, edit ...func(*Registration)) *Registration {
	reg := n.h.registration(name, append([]func(*Registration){func(r *Registration) { r.Stamp.Node = n.node }}, edit...)...)
	n.announce(reg)
	return reg
}

func (n *neighbour) announce(regs ...*Registration) {
	changes := make([]Change, 0, len(regs))
	for _, reg := range regs {
		changes = append(changes, Change{reg.Session, reg})
	}
	n.h.r.Announce(n.node, changes)
}

func (n *neighbour) end(e End) bool {
	e.Hops = 2
	return n.fakeTarget.end(n.last().CallID, e)
}

// lose cuts the link: nothing that went over it was sent, or all of it.
func (n *neighbour) lose(unsent bool) {
	n.mu.Lock()
	n.gone = true
	n.mu.Unlock()
	n.h.r.Disconnect(n.node, n)
	for _, t := range n.slots.Close() {
		n.h.r.End(&n.h.b, t, &End{Code: wire.ConnectionLost, Unsent: unsent})
	}
}

// target is the session that the newest request is for.
func (f *fakeTarget) target() uint64 {
	f.h.t.Helper()
	var req wire.Request
	if err := req.Walk(f.last().Header, wire.ByNode); err != nil {
		f.h.t.Fatal(err)
	}
	return req.Stamp.Target
}

// of makes an edit that says which process it is.
func of(uuid string) func(*Registration) { return func(r *Registration) { r.UUID = uuid } }

func stamped(n uint64, node string) func(*Registration) {
	return func(r *Registration) { r.Stamp = Stamp{n, node} }
}

// named makes a request for one instance.
func named(instance string) func(*wire.Request) {
	return func(r *wire.Request) { r.Instance = []byte(instance) }
}

// the returns how operators see an instance of pay.
func (h *house) the(instance string) InstanceView {
	h.t.Helper()
	for _, m := range h.r.Registry(h.now) {
		for _, i := range m.Instances {
			if m.Module == "pay" && i.Instance == instance {
				return i
			}
		}
	}
	h.t.Fatalf("pay/%s is not there", instance)
	return InstanceView{}
}

// wantCall makes a call, wants it at f, and has it answered.
func (h *house) wantCall(f *fakeTarget, edit func(*wire.Request)) {
	h.t.Helper()
	before := f.got()
	o, _, _ := h.submit(callSpec{method: "Move", edit: edit})
	if f.got() != before+1 {
		code := wire.Code(0)
		if o.count() > 0 {
			code = o.got[0].Code
		}
		h.t.Fatalf("the call did not go to %s, the answer is %v", f.name, code)
	}
	f.end(f.last().CallID, End{Code: wire.OK, Hops: 2})
	o.want(h.t, wire.OK)
}

func (h *house) wantRefused(code wire.Code, edit func(*wire.Request)) Answer {
	h.t.Helper()
	o, _, _ := h.submit(callSpec{method: "Move", edit: edit})
	return o.want(h.t, code)
}
