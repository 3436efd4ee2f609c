package router

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// transitSpec is a request that another node sends.
type transitSpec struct {
	method string
	target uint64
	edit   func(*wire.Request)
	flags  wire.Flags
	budget time.Duration // 0: a second
	body   string
}

// frameOf returns it as it comes from node b.
func (s transitSpec) frame(h *house) wire.Frame {
	req := wire.Request{Module: []byte("pay"), Method: []byte(s.method)}
	if s.edit != nil {
		s.edit(&req)
	}
	header := wire.AppendInvoker(req.Append(nil), "web", "web-1", "127.0.0.1", "b", 9)
	header = wire.AppendCallStamp(header, 42, 1, s.target)
	if s.budget == 0 {
		s.budget = time.Second
	}
	f := wire.Frame{
		Kind: wire.KindRequest, Flags: s.flags, CallID: 43, RPCID: 4711, Attempt: 2, Hops: 1,
		BudgetMS: uint32(s.budget / time.Millisecond), Header: header, Body: []byte(s.body),
	}
	if s.flags&wire.FlagOneWay != 0 {
		f.CallID = 0
	}
	return f
}

// borrow fills a call from a frame, as the room does that reads a link.
func (h *house) borrow(o Origin, f *wire.Frame) *Call {
	h.t.Helper()
	c := h.r.Local().Call()
	if err := c.Borrow(f); err != nil {
		h.t.Fatal(err)
	}
	c.Origin, c.ID, c.RPCID, c.Arrived, c.Budget = o, f.CallID, f.RPCID, h.now, time.Duration(f.BudgetMS)*time.Millisecond
	return c
}

// transit gives a request of node b to the sessions of this node.
func (h *house) transit(s transitSpec) (*answers, *Call, uint64) {
	h.t.Helper()
	o := &answers{}
	f := s.frame(h)
	c := h.borrow(o, &f)
	life := c.Life()
	h.r.Local().Submit(&h.b, c)
	for i := range f.Header { // the reader's buffer is used again
		f.Header[i] = 0xff
	}
	clear(f.Body)
	return o, c, life
}

func TestACallComesOverALink(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	sent := transitSpec{method: "Move", target: one.session, flags: wire.FlagWantReceiver | wire.FlagHigh, body: "42"}
	want := sent.frame(h)
	o, _, _ := h.transit(sent)
	f := one.last()
	if string(f.Header) != string(want.Header) || string(f.Body) != "42" || f.Hops != 2 || f.Attempt != 2 || f.BudgetMS != 1000 ||
		f.RPCID != 4711 || f.Flags != want.Flags || f.CallID == 43 || f.CallID == 0 {
		t.Errorf("request %+v, want what came with hops 2 and an id of its own", f)
	}
	h.pass(3 * time.Millisecond)
	one.end(f.CallID, End{Code: wire.OK, Hops: 1, Header: []byte{}, Body: []byte("done")})
	a := o.want(t, wire.OK)
	hd := header(t, a)
	if a.Hops != 2 || string(a.Body) != "done" || hd.GetReceiver().GetInstance() != "one" || hd.GetReceiver().GetNode() != "a" ||
		len(hd.GetHopTimes()) != 1 || hd.GetHopTimes()[0].GetNode() != "a" || hd.GetHopTimes()[0].GetMicros() != 3000 {
		t.Errorf("answer %+v with header %v, want who answered and 3 ms at a", a, hd)
	}
	n := &h.r.Counters().Transit
	if n.Submitted.Load() != 1 || n.Settled[wire.Success].Load() != 1 || h.r.Counters().Submitted.Load() != 0 || h.r.Counters().Settled[wire.Success].Load() != 0 {
		t.Error("a call in transit is counted as such, and not as one of this node's modules")
	}
	// Without the flag nothing is added, and the instance's own words are passed on.
	o, _, _ = h.transit(transitSpec{method: "Charge", target: one.session})
	said := wire.AppendRefusal(nil, &wire.Refusal{Message: "no"})
	one.end(one.last().CallID, End{Code: wire.AppError, Hops: 1, Header: said})
	if a := o.want(t, wire.AppError); string(a.Header) != string(said) {
		t.Errorf("header %x, want %x", a.Header, said)
	}
	h.check()
}

func TestWhatMayNotGoToALocalSession(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one", func(r *Registration) { r.Group = "eu" })
	full, gone := h.serve("full"), h.serve("gone")
	full.full, gone.gone = true, true
	far := h.neighbour("c").serve("far")
	in := func(group, instance string) func(*wire.Request) {
		return func(r *wire.Request) { r.Group, r.Instance = []byte(group), []byte(instance) }
	}
	for _, w := range []struct {
		name string
		spec transitSpec
		want wire.Code
	}{
		{"a session that is not there", transitSpec{method: "Move", target: 4711}, wire.StaleRoute},
		{"a session of a third node", transitSpec{method: "Move", target: far.Session}, wire.StaleRoute},
		{"another module's", transitSpec{method: "Move", target: one.session, edit: func(r *wire.Request) { r.Module = []byte("rank") }}, wire.StaleRoute},
		{"another instance's", transitSpec{method: "Move", target: one.session, edit: in("", "two")}, wire.StaleRoute},
		{"of another group", transitSpec{method: "Move", target: one.session, edit: in("us", "one")}, wire.StaleRoute},
		{"a method that it does not have", transitSpec{method: "Nope", target: one.session}, wire.Unimplemented},
		{"no room", transitSpec{method: "Move", target: full.session}, wire.Overloaded},
		{"its connection has ended", transitSpec{method: "Move", target: gone.session}, wire.StaleRoute},
	} {
		w.spec.flags = wire.FlagWantReceiver
		o, _, _ := h.transit(w.spec)
		a := o.want(t, w.want)
		if hd := header(t, a); a.Hops != 2 || hd.GetHop() != 2 || hd.GetNode() != "a" || hd.GetMessage() == "" || hd.GetReceiver() != nil || len(hd.GetHopTimes()) != 1 {
			t.Errorf("%s: hops %d, header %v, want hop 2 at node a, why, and how long", w.name, a.Hops, hd)
		}
	}
	if one.got() != 0 {
		t.Errorf("%d requests reached the session", one.got())
	}
	if n := h.r.Counters().Transit.StaleRoutes.Load(); n != 6 {
		t.Errorf("%d stale routes counted, want 6", n)
	}
	for _, fits := range []transitSpec{
		{method: "Move", target: one.session, edit: in("eu", "one")},
		{method: "_ping", target: one.session},
	} {
		o, _, _ := h.transit(fits)
		one.end(one.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
	}
	h.check()
}

func TestABudgetThatIsSpentOnTheWay(t *testing.T) {
	h := newHouse(t, Options{})
	late := NewMethods(map[string]Contract{"Move": {}, "Late": {RunLate: true}})
	one := h.serve("one", func(r *Registration) { r.Methods = late })
	send := func(method string, edit func(*wire.Request)) *answers {
		o := &answers{}
		f := transitSpec{method: method, target: one.session, budget: 20 * time.Millisecond, edit: edit}.frame(h)
		c := h.borrow(o, &f)
		c.Arrived -= 20 * time.Millisecond
		h.r.Local().Submit(&h.b, c)
		return o
	}
	send("Move", nil).want(t, wire.Expired)
	if one.got() != 0 {
		t.Fatal("it was sent")
	}
	for _, o := range []*answers{send("Late", nil), send("Move", func(r *wire.Request) { r.Options = wire.RunLate })} {
		if one.last().BudgetMS != 1 {
			t.Errorf("budget %d, want 1", one.last().BudgetMS)
		}
		o.wantNone(t)
	}
	// Nobody cancels what may run late: it is not waited for without an end.
	h.pass(grace + 10*time.Millisecond)
	if one.slots.Len() != 0 {
		t.Errorf("%d calls wait for ever", one.slots.Len())
	}
	h.check()
}

func TestHowAnAttemptInTransitEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  End
		want wire.Code
	}{
		{"the session is lost, and it was not sent", End{Code: wire.ConnectionLost, Unsent: true}, wire.StaleRoute},
		{"the session is lost", End{Code: wire.ConnectionLost}, wire.ConnectionLost},
		{"spent in the queue", End{Code: wire.Expired, Unsent: true}, wire.Expired},
		{"the instance drains", End{Code: wire.Draining}, wire.Draining},
	} {
		h := newHouse(t, Options{})
		one, two := h.serve("one"), h.serve("two")
		o, _, _ := h.transit(transitSpec{method: "Charge", target: one.session, edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
		one.end(one.last().CallID, c.end)
		h.pass(time.Second)
		a := o.want(t, c.want)
		if hd := header(t, a); len(hd.GetUnknown()) != 0 {
			t.Errorf("%s: header %v: the ingress says who may have run it", c.name, hd)
		}
		if two.got() != 0 || one.got() != 1 {
			t.Errorf("%s: a call in transit was tried again", c.name)
		}
		h.check()
	}
}

func TestTheIngressCancelsACallInTransit(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	l := h.r.Local()

	// The instance says what it knows.
	o, c, life := h.transit(transitSpec{method: "Move", target: one.session})
	l.Cancel(&h.b, c, life, wire.Expired)
	if len(one.cancels) != 1 || one.why != wire.Expired {
		t.Fatalf("cancels %v for %v", one.cancels, one.why)
	}
	l.Cancel(&h.b, c, life, wire.Cancelled) // one is enough
	one.end(one.last().CallID, End{Code: wire.Expired})
	o.want(t, wire.Expired)
	l.Cancel(&h.b, c, life, wire.Cancelled) // over

	// It says nothing: nobody waits any more at the ingress either.
	for why, want := range map[wire.Code]wire.Code{wire.Expired: wire.Timeout, wire.Cancelled: wire.CancelledRunning} {
		o, c, life = h.transit(transitSpec{method: "Move", target: one.session})
		l.Cancel(&h.b, c, life, why)
		h.pass(grace - 2*time.Millisecond)
		o.wantNone(t)
		h.pass(4 * time.Millisecond)
		o.want(t, want)
		if one.end(one.last().CallID, End{Code: wire.OK}) {
			t.Error("an answer after the end found its slot")
		}
	}

	// It had not left.
	one.keeps = true
	o, c, life = h.transit(transitSpec{method: "Move", target: one.session})
	l.Cancel(&h.b, c, life, wire.Cancelled)
	o.want(t, wire.Cancelled)
	if len(one.cancels) != 4 {
		t.Errorf("%d cancels, want 4", len(one.cancels))
	}
	h.check()
}

// TestACallInTransitHasNoDeadlineHere: its ingress has.
func TestACallInTransitHasNoDeadlineHere(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, _, _ := h.transit(transitSpec{method: "Move", target: one.session, budget: 10 * time.Millisecond})
	h.pass(time.Second)
	o.wantNone(t)
	if len(one.cancels) != 0 {
		t.Error("it was cancelled")
	}
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	h.check()
}

func TestTransitAndIngressShareTheBound(t *testing.T) {
	h := newHouse(t, Options{MaxInFlight: 2})
	one := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	first := one.last().CallID
	p, _, _ := h.transit(transitSpec{method: "Move", target: one.session})
	second := one.last().CallID
	q, _, _ := h.transit(transitSpec{method: "Move", target: one.session})
	q.want(t, wire.Overloaded)
	r, _, _ := h.submit(callSpec{method: "Move"})
	r.want(t, wire.Overloaded)
	if calls, _ := h.r.InFlight(); calls != 1 || h.r.Local().InFlight() != 1 {
		t.Errorf("%d in flight and %d in transit, want one each", calls, h.r.Local().InFlight())
	}
	one.end(first, End{Code: wire.OK})
	one.end(second, End{Code: wire.OK})
	o.want(t, wire.OK)
	p.want(t, wire.OK)
	h.check()
}

func TestOneWayInTransit(t *testing.T) {
	h := newHouse(t, Options{})
	one, full := h.serve("one"), h.serve("full")
	full.full = true
	for _, target := range []uint64{one.session, full.session, 4711} {
		f := transitSpec{method: "Move", target: target, flags: wire.FlagOneWay}.frame(h)
		h.r.Local().OneWay(&h.b, h.borrow(nil, &f))
	}
	if f := one.last(); f.CallID != 0 || f.Hops != 2 || f.Flags&wire.FlagOneWay == 0 {
		t.Errorf("request %+v", f)
	}
	n := &h.r.Counters().Transit
	if n.OneWay.Load() != 1 || n.OneWayRefused[wire.Overloaded].Load() != 1 || n.OneWayRefused[wire.StaleRoute].Load() != 1 || h.r.Counters().OneWay.Load() != 0 {
		t.Error("want one that went, one without room, one without a session")
	}
	h.check()
}

// TestLocalKnowsNoWayOut reads its source: the code that handles what comes over a link names nothing by which a link, or a
// table that leads to one, could be reached.
func TestLocalKnowsNoWayOut(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "local.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	never := []string{"Router", "table", "module", "entry", "path", "paths", "way", "via", "directory", "owner", "owners", "claim", "pick", "Ask"}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		seen++
		if slices.Contains(never, id.Name) {
			t.Errorf("local.go names %s", id.Name)
		}
		return true
	})
	if seen < 100 {
		t.Errorf("only %d names were read", seen)
	}
}

func TestTransitDoesNotAllocate(t *testing.T) {
	h := newHouse(t, Options{})
	carry, check := h.carrier()
	carry()
	if n := testing.AllocsPerRun(1000, carry); n != 0 {
		t.Errorf("%v allocations to pass on a request and its answer, want 0", n)
	}
	check()
}

// carrier returns what passes one call on to a session and its answer back.
func (h *house) carrier() (carry, check func()) {
	one := &countingTarget{h: h}
	h.r.Register(&Registration{Session: 5, Module: "pay", Instance: "one", UUID: "u", Methods: NewMethods(pays)}, one)
	o := &lastCode{}
	f := transitSpec{method: "Move", target: 5, body: string(make([]byte, 128))}.frame(h)
	ok := End{Code: wire.OK, Hops: 1, Body: make([]byte, 128)}
	l := h.r.Local()
	carry = func() {
		c := l.Call()
		if err := c.Borrow(&f); err != nil {
			h.t.Fatal(err)
		}
		c.Origin, c.ID, c.RPCID, c.Arrived, c.Budget = o, f.CallID, f.RPCID, h.now, time.Second
		l.Submit(&h.b, c)
		ticket, _ := one.slots.Release(one.id)
		h.r.End(&h.b, ticket, &ok)
	}
	check = func() {
		if o.code != wire.OK || o.n < 1000 {
			h.t.Errorf("%d answers, the last %v", o.n, o.code)
		}
		h.check()
	}
	return carry, check
}

func BenchmarkTransit(b *testing.B) {
	h := newHouse(b, Options{})
	carry, _ := h.carrier()
	b.ReportAllocs()
	for b.Loop() {
		carry()
	}
}
