package router

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func TestACallGoesThereAndBack(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Charge", body: "42", budget: time.Second, flags: wire.FlagHigh})
	f := one.last()
	if f.BudgetMS != 1000 || f.Hops != 1 || f.RPCID != 4711 || f.Flags != wire.FlagHigh || string(f.Body) != "42" {
		t.Errorf("request %+v", f)
	}
	var req wire.Request
	if err := req.Walk(f.Header, wire.ByNode); err != nil {
		t.Fatal(err)
	}
	s := req.Stamp
	if string(s.InvokerModule) != "web" || string(s.InvokerInstance) != "web-1" || s.InvokerSession != 9 || s.InvokerCall != 42 ||
		s.ReceivedAt != 1 || s.Target != 80 || string(s.IngressNode) != "a" {
		t.Errorf("stamp %+v", s)
	}
	one.end(f.CallID, End{Code: wire.OK, Hops: 1, Body: []byte("done")})
	if a := o.want(t, wire.OK); string(a.Body) != "done" || a.Hops != 1 || len(a.Header) != 0 {
		t.Errorf("answer %+v", a)
	}
	if one.end(f.CallID, End{Code: wire.OK}) {
		t.Error("a second answer found the slot")
	}
	h.check()
}

func TestRefusalsSayWhy(t *testing.T) {
	h := newHouse(t, Options{})
	methods := maps.Clone(pays)
	methods["Reset"] = Contract{Visibility: "admin"}
	withReset := NewMethods(methods)
	one := h.serve("one", func(r *Registration) { r.Group = "eu"; r.Methods = withReset })
	for _, c := range []struct {
		name string
		spec callSpec
		want wire.Code
	}{
		{"no module", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Module = []byte("nope") }}, wire.NoModule},
		{"the nodes' own module", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Module = []byte("_node") }}, wire.Denied},
		{"a method for operators", callSpec{method: "Reset"}, wire.Denied},
		{"no method", callSpec{method: "Nope"}, wire.Unimplemented},
		{"no instance", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Instance = []byte("two") }}, wire.NoInstance},
		{"instance of another group", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Instance, r.Group = []byte("one"), []byte("us") }}, wire.NoInstance},
		{"no such group", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Group = []byte("us") }}, wire.NoInstance},
		{"idempotent without the contract", callSpec{method: "Move", edit: func(r *wire.Request) { r.Options = wire.Idempotent }}, wire.BadOption},
		{"reachable without a store", callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options, r.MessageID = wire.Reachable, []byte("m") }}, wire.StoreUnavailable},
	} {
		o, _, _ := h.submit(c.spec)
		a := o.want(t, c.want)
		if hd := header(t, a); hd.GetMessage() == "" || hd.GetNode() != "a" {
			t.Errorf("%s: header %v says neither why nor where", c.name, hd)
		}
	}
	if one.got() != 0 {
		t.Errorf("%d requests reached the instance", one.got())
	}
	for _, spec := range []callSpec{
		{method: "Charge", edit: func(r *wire.Request) { r.Group = []byte("eu") }},
		{method: "Charge", edit: func(r *wire.Request) { r.Instance = []byte("one") }},
		{method: "Charge", edit: func(r *wire.Request) { r.Instance, r.Group = []byte("one"), []byte("eu") }},
		{method: "_ping"},
	} {
		before := one.got()
		o, _, _ := h.submit(spec)
		if one.got() != before+1 {
			t.Fatalf("%+v did not reach the instance", spec)
		}
		one.end(one.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
	}
	h.check()
}

func TestDeadlineOfTheContract(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	h.submit(callSpec{method: "Move"})
	if f := one.last(); f.BudgetMS != 3000 {
		t.Errorf("budget %d, want the contract's 3000", f.BudgetMS)
	}
	one.end(one.last().CallID, End{Code: wire.OK})
	h.submit(callSpec{method: "Charge"})
	if f := one.last(); f.BudgetMS != 10_000 {
		t.Errorf("budget %d, want the default of 10 s", f.BudgetMS)
	}
	one.end(one.last().CallID, End{Code: wire.OK})
	h.check()
}

func TestResidenceIsSubtracted(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o := &answers{}
	c := h.fill(o, callSpec{method: "Move", budget: 100 * time.Millisecond})
	c.Arrived -= 30 * time.Millisecond // it waited in the socket
	h.r.Submit(&h.b, c, 0)
	if f := one.last(); f.BudgetMS != 70 {
		t.Errorf("budget %d, want 70", f.BudgetMS)
	}
	one.end(one.last().CallID, End{Code: wire.OK})

	o = &answers{}
	c = h.fill(o, callSpec{method: "Move", budget: 100 * time.Millisecond})
	c.Arrived -= 100 * time.Millisecond
	h.r.Submit(&h.b, c, 0)
	o.want(t, wire.Expired)
	if one.got() != 1 {
		t.Error("a spent call was sent")
	}

	o = &answers{}
	c = h.fill(o, callSpec{method: "Move", budget: 100 * time.Millisecond, edit: func(r *wire.Request) { r.Options = wire.RunLate }})
	c.Arrived -= 200 * time.Millisecond
	h.r.Submit(&h.b, c, 0)
	if f := one.last(); f.BudgetMS != 1 {
		t.Errorf("budget %d of a call that may run late, want 1", f.BudgetMS)
	}
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	h.check()
}

func TestTimeout(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")

	// Nobody says anything: UNKNOWN, with the instance that may have run it.
	o, _, _ := h.submit(callSpec{method: "Move", budget: 50 * time.Millisecond})
	h.pass(49 * time.Millisecond)
	if len(one.cancels) != 0 {
		t.Fatal("cancelled before the deadline")
	}
	h.pass(3 * time.Millisecond)
	if !slices.Equal(one.cancels, []uint64{one.last().CallID}) {
		t.Fatalf("cancels %v, want the call's", one.cancels)
	}
	o.wantNone(t)
	h.pass(grace)
	hd := header(t, o.want(t, wire.Timeout))
	if len(hd.GetUnknown()) != 1 || hd.GetUnknown()[0].GetInstance() != "one" || hd.GetUnknown()[0].GetInstanceUuid() != "u-one" {
		t.Errorf("unknown %v, want instance one", hd.GetUnknown())
	}
	if one.end(one.last().CallID, End{Code: wire.OK}) {
		t.Error("the answer after the end found its slot")
	}

	// The instance says that it did not start it.
	o, _, _ = h.submit(callSpec{method: "Move", budget: 50 * time.Millisecond})
	h.pass(60 * time.Millisecond)
	one.end(one.last().CallID, End{Code: wire.Expired})
	o.want(t, wire.Expired)

	// The answer comes within the grace: it is true, so it is given.
	o, _, _ = h.submit(callSpec{method: "Move", budget: 50 * time.Millisecond})
	h.pass(60 * time.Millisecond)
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)

	// It never left: the writer is asked, and gives it back.
	one.keeps = true
	o, _, _ = h.submit(callSpec{method: "Move", budget: 50 * time.Millisecond})
	h.pass(52 * time.Millisecond)
	o.want(t, wire.Expired)
	one.keeps = false

	// What may run late is not cancelled.
	n := len(one.cancels)
	o, _, _ = h.submit(callSpec{method: "Move", budget: 50 * time.Millisecond, edit: func(r *wire.Request) { r.Options = wire.RunLate }})
	h.pass(52 * time.Millisecond)
	o.want(t, wire.Timeout)
	if len(one.cancels) != n {
		t.Error("a call that may run late was cancelled at its deadline")
	}
	h.check()
}

func TestCancel(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, c, life := h.submit(callSpec{method: "Move"})
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
	o.wantNone(t)
	one.end(one.last().CallID, End{Code: wire.Cancelled})
	o.want(t, wire.Cancelled)
	h.r.Cancel(&h.b, c, life, wire.Cancelled) // over: the value may be another call's by now

	o, c, life = h.submit(callSpec{method: "Move"})
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
	h.pass(grace + 2*time.Millisecond)
	o.want(t, wire.CancelledRunning)

	one.keeps = true
	o, c, life = h.submit(callSpec{method: "Move"})
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
	o.want(t, wire.Cancelled)
	h.check()
}

func TestReroute(t *testing.T) {
	for _, c := range []struct {
		name string
		end  End
		want wire.Code // where nobody else is left
	}{
		{"unsent", End{Code: wire.ConnectionLost, Unsent: true}, wire.NoInstance},
		{"stale", End{Code: wire.StaleRoute}, wire.NoInstance},
		{"draining", End{Code: wire.Draining}, wire.Draining},
		{"overloaded", End{Code: wire.Overloaded}, wire.Overloaded},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, Options{})
			one, two := h.serve("one"), h.serve("two")
			o, _, _ := h.submit(callSpec{method: "Move", body: "once"})
			first, second := one, two
			if one.got() == 0 {
				first, second = two, one
			}
			first.end(first.last().CallID, c.end)
			if second.got() != 1 {
				t.Fatal("the other instance did not get the call")
			}
			f := second.last()
			if string(f.Body) != "once" || f.Attempt != 0 {
				t.Errorf("rerouted request %+v: a reroute is the same attempt, since nothing started", f)
			}
			second.end(f.CallID, c.end)
			o.want(t, c.want)
			h.check()
		})
	}
}

// TestAnotherAttemptLooksAtTheTableAgain replaces the only instance while it has a call.
func TestAnotherAttemptLooksAtTheTableAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		end  End
		wait time.Duration
	}{
		{"reroute", End{Code: wire.ConnectionLost, Unsent: true}, 0},
		{"retry", End{Code: wire.ConnectionLost}, 250 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, Options{})
			one := h.serve("one")
			o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
			two := h.serve("two")
			if c.wait == 0 {
				h.r.Unregister(one.session)
			}
			one.end(one.last().CallID, c.end)
			h.pass(c.wait)
			if one.got() != 1 || two.got() != 1 {
				t.Fatalf("%d and %d requests, want one at each", one.got(), two.got())
			}
			two.end(two.last().CallID, End{Code: wire.OK})
			o.want(t, wire.OK)
			h.check()
		})
	}
}

// TestARefusalOfTheOnlyInstanceIsPassedOn wants what it said, such as when to come back.
func TestARefusalOfTheOnlyInstanceIsPassedOn(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	said := wire.AppendRefusal(nil, &wire.Refusal{RetryAfterMS: 250})
	one.end(one.last().CallID, End{Code: wire.Overloaded, Header: said})
	if a := o.want(t, wire.Overloaded); header(t, a).GetRetryAfterMs() != 250 {
		t.Errorf("header %v", header(t, a))
	}
	h.check()
}

func TestWhatMayHaveRunIsNotRepeated(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	o, _, _ := h.submit(callSpec{method: "Move"})
	first := one
	if one.got() == 0 {
		first = two
	}
	first.end(first.last().CallID, End{Code: wire.ConnectionLost})
	h.pass(time.Second)
	a := o.want(t, wire.ConnectionLost)
	if hd := header(t, a); len(hd.GetUnknown()) != 1 || hd.GetUnknown()[0].GetInstance() != first.name {
		t.Errorf("unknown %v", hd.GetUnknown())
	}
	if one.got()+two.got() != 1 {
		t.Errorf("started %d times", one.got()+two.got())
	}
	h.check()
}

func TestRetryOfTheIdempotent(t *testing.T) {
	idempotent := func(r *wire.Request) { r.Options = wire.Idempotent }
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	o, _, _ := h.submit(callSpec{method: "Charge", edit: idempotent, flags: wire.FlagWantReceiver})
	first, second := one, two
	if one.got() == 0 {
		first, second = two, one
	}
	first.end(first.last().CallID, End{Code: wire.ConnectionLost})
	o.wantNone(t)
	h.pass(250 * time.Millisecond)
	f := second.last()
	if f.Attempt != 1 {
		t.Errorf("attempt %d, want 1", f.Attempt)
	}
	second.end(f.CallID, End{Code: wire.OK})
	if hd := header(t, o.want(t, wire.OK)); hd.GetAttempts() != 2 || hd.GetReceiver().GetInstance() != second.name {
		t.Errorf("header %v, want two attempts and who answered", hd)
	}

	// NOT_EXECUTED after UNKNOWN is UNKNOWN.
	o, _, _ = h.submit(callSpec{method: "Charge", edit: idempotent})
	first, second = one, two
	if one.last().CallID == 0 || one.slots.Len() == 0 {
		first, second = two, one
	}
	first.end(first.last().CallID, End{Code: wire.ConnectionLost})
	h.pass(250 * time.Millisecond)
	second.end(second.last().CallID, End{Code: wire.BadRequest})
	hd := header(t, o.want(t, wire.ConnectionLost))
	if len(hd.GetUnknown()) != 1 || hd.GetUnknown()[0].GetInstance() != first.name {
		t.Errorf("unknown %v, want %s", hd.GetUnknown(), first.name)
	}

	// Somebody nearer to the caller retries already.
	o, _, _ = h.submit(callSpec{method: "Charge", edit: idempotent, attempt: 1})
	for _, f := range []*fakeTarget{one, two} {
		if f.slots.Len() == 1 {
			f.end(f.last().CallID, End{Code: wire.ConnectionLost})
		}
	}
	o.want(t, wire.ConnectionLost)

	// A cancel while it waits ends it: an attempt may have run.
	o, c, life := h.submit(callSpec{method: "Charge", edit: idempotent})
	for _, f := range []*fakeTarget{one, two} {
		if f.slots.Len() == 1 {
			f.end(f.last().CallID, End{Code: wire.ConnectionLost})
		}
	}
	o.wantNone(t)
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
	o.want(t, wire.ConnectionLost)
	h.check()
}

func TestRetryGoesToTheSameInstanceOnlyWhereThereIsNoOther(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }})
	one.end(one.last().CallID, End{Code: wire.ConnectionLost})
	h.pass(250 * time.Millisecond)
	if one.got() != 2 {
		t.Fatalf("%d requests, want the retry at the only instance", one.got())
	}
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	h.check()
}

func TestRetriesEndWithTheBudget(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	attempts := 0
	for range 100 {
		o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) { r.Options = wire.Idempotent }, budget: 5 * time.Second})
		for o.count() == 0 {
			if one.slots.Len() > 0 {
				attempts++
				one.end(one.last().CallID, End{Code: wire.ConnectionLost})
			}
			h.pass(time.Millisecond)
		}
	}
	if attempts > 100+10+3 || attempts < 105 {
		t.Errorf("%d attempts of 100 calls that all fail, want at most 113 and some retries", attempts)
	}
	denied := h.r.Counters().RetriesDenied.Load()
	if denied < 80 || denied > 100 {
		t.Errorf("%d retries were denied, want about one for each of 100 calls", denied)
	}
	h.check()
}

func TestLargeRequestsAreNotKept(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	body := string(make([]byte, keepLimit))
	o, _, _ := h.submit(callSpec{method: "Move", body: body})
	first := one
	if one.got() == 0 {
		first = two
	}
	if len(first.last().Body) != keepLimit {
		t.Fatal("the body did not arrive whole")
	}
	first.end(first.last().CallID, End{Code: wire.Draining})
	o.want(t, wire.Draining)
	if one.got()+two.got() != 1 {
		t.Error("a request that was not kept was sent again")
	}
	h.check()
}

// TestLargeRequestsAreSentAgainByTheirSDK: their node says so, whoever lost them and however.
func TestLargeRequestsAreSentAgainByTheirSDK(t *testing.T) {
	h := newHouse(t, Options{})
	link := h.neighbour("b")
	link.serve("one")
	link.serve("two")
	for _, end := range []End{{Code: wire.StaleRoute}, {Code: wire.ConnectionLost, Unsent: true}} {
		o, _, _ := h.submit(callSpec{method: "Move", body: string(make([]byte, keepLimit))})
		link.end(end)
		o.want(t, wire.StaleRoute)
	}
	o, _, _ := h.submit(callSpec{method: "Move", body: string(make([]byte, keepLimit))})
	link.end(End{Code: wire.Expired, Unsent: true})
	o.want(t, wire.Expired)
	h.check()
}

func TestFullQueuesAreTriedElsewhere(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	one.full = true
	for range 4 {
		o, _, _ := h.submit(callSpec{method: "Move"})
		two.end(two.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
	}
	two.full = true
	o, _, _ := h.submit(callSpec{method: "Move"})
	o.want(t, wire.Overloaded)
	h.check()
}

func TestOneWay(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	for range 10 {
		h.r.OneWay(&h.b, h.fill(nil, callSpec{method: "Move", flags: wire.FlagOneWay, body: "x"}), 1)
	}
	if one.got() != 5 || two.got() != 5 {
		t.Errorf("%d and %d one-way calls, want 5 and 5 by round robin", one.got(), two.got())
	}
	if f := one.last(); f.CallID != 0 || f.Flags&wire.FlagOneWay == 0 || f.BudgetMS != 3000 {
		t.Errorf("one-way request %+v", f)
	}
	h.r.OneWay(&h.b, h.fill(nil, callSpec{method: "Nope", flags: wire.FlagOneWay}), 1)
	if n := h.r.Counters().OneWayRefused[wire.Unimplemented].Load(); n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
	if n := h.r.Counters().OneWay.Load(); n != 10 {
		t.Errorf("%d one-way calls counted, want 10", n)
	}
	h.check()
}

func TestTooManyInFlight(t *testing.T) {
	h := newHouse(t, Options{MaxInFlight: 1})
	one := h.serve("one")
	o, _, _ := h.submit(callSpec{method: "Move"})
	p, _, _ := h.submit(callSpec{method: "Move"})
	p.want(t, wire.Overloaded)
	one.end(one.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	h.check()
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	h := newHouse(t, Options{})
	one := &countingTarget{h: h}
	h.r.Register(&Registration{Session: 1, Module: "pay", Instance: "one", UUID: "u", Methods: NewMethods(map[string]Contract{"Move": {}})}, one)
	o := &lastCode{}
	req := wire.Request{Module: []byte("pay"), Method: []byte("Move")}
	stamp := wire.AppendInvoker(nil, "web", "web-1", "127.0.0.1", "a", 9)
	f := wire.Frame{Kind: wire.KindRequest, CallID: 42, Header: req.Append(nil), Body: make([]byte, 128)}
	ok := End{Code: wire.OK, Hops: 1, Body: make([]byte, 128)}
	carry := func() {
		c := h.r.Call()
		c.Origin, c.Caller, c.Stamp, c.ID, c.Arrived = o, h.caller, stamp, 42, h.now
		if err := c.Keep(&f); err != nil {
			t.Fatal(err)
		}
		h.r.Submit(&h.b, c, 1)
		ticket, _ := one.slots.Release(one.id)
		h.r.End(&h.b, ticket, &ok)
	}
	carry()
	if n := testing.AllocsPerRun(1000, carry); n != 0 {
		t.Errorf("%v allocations to forward a request and its answer, want 0", n)
	}
	if o.code != wire.OK || o.n < 1000 {
		t.Errorf("%d answers, the last %v", o.n, o.code)
	}
	h.check()
}

// countingTarget takes requests without keeping them.
type countingTarget struct {
	h     *house
	slots Slots
	id    uint64
}

func (c *countingTarget) Send(_ *Batch, f *wire.Frame, _ bool) error  { c.id = f.CallID; return nil }
func (c *countingTarget) Cancel(_ *Batch, _ uint64, _ wire.Code) bool { return false }
func (c *countingTarget) Slots() *Slots                               { return &c.slots }
func (c *countingTarget) Replace()                                    {}

type lastCode struct {
	code wire.Code
	n    int
}

func (l *lastCode) Answer(_ *Batch, _ *Call, a *Answer) { l.code = a.Code; l.n++ }

func BenchmarkForward(b *testing.B) {
	h := newHouse(b, Options{})
	one := &countingTarget{h: h}
	h.r.Register(&Registration{Session: 1, Module: "pay", Instance: "one", UUID: "u", Methods: NewMethods(map[string]Contract{"Move": {}})}, one)
	h.forward(b, one, "pay")
}

// forward makes calls of a module's Move that go to a target, and answers them.
func (h *house) forward(b *testing.B, to *countingTarget, module string) {
	o := &lastCode{}
	req := wire.Request{Module: []byte(module), Method: []byte("Move")}
	stamp := wire.AppendInvoker(nil, "web", "web-1", "127.0.0.1", "a", 9)
	f := wire.Frame{Kind: wire.KindRequest, CallID: 42, Header: req.Append(nil), Body: make([]byte, 128)}
	ok := End{Code: wire.OK, Hops: 1, Body: make([]byte, 128)}
	b.ReportAllocs()
	for b.Loop() {
		c := h.r.Call()
		c.Origin, c.Caller, c.Stamp, c.ID, c.Arrived = o, h.caller, stamp, 42, h.now
		if err := c.Keep(&f); err != nil {
			b.Fatal(err)
		}
		h.r.Submit(&h.b, c, 1)
		ticket, _ := to.slots.Release(to.id)
		h.r.End(&h.b, ticket, &ok)
	}
	if o.code != wire.OK {
		b.Errorf("the last answer is %v", o.code)
	}
}

func TestATargetThatIsGoneIsNotOverload(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	one.gone = true
	o, _, _ := h.submit(callSpec{method: "Move"})
	o.want(t, wire.NoInstance)
	h.check()
}

// A has no room, B gets the call and is lost, and A has room again: the retry is A's.
func TestARetryGoesToWhoOnlyHadNoRoom(t *testing.T) {
	for range 50 {
		h := newHouse(t, Options{})
		a, b := h.serve("a"), h.serve("b")
		a.full = true
		o, _, _ := h.submit(callSpec{method: "Charge", edit: func(r *wire.Request) {
			r.Options, r.Balance = wire.Idempotent, wire.BalanceRandom
		}})
		a.full = false
		b.end(b.last().CallID, End{Code: wire.ConnectionLost})
		h.pass(250 * time.Millisecond)
		if a.got() != 1 || b.got() != 1 {
			t.Fatalf("a got %d and b %d, want one each", a.got(), b.got())
		}
		a.end(a.last().CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
		h.check()
	}
}

func TestAttemptsCountStarts(t *testing.T) {
	h := newHouse(t, Options{})
	one, two := h.serve("one"), h.serve("two")
	o, _, _ := h.submit(callSpec{method: "Move", flags: wire.FlagWantReceiver})
	first, second := one, two
	if one.got() == 0 {
		first, second = two, one
	}
	first.end(first.last().CallID, End{Code: wire.Draining})
	second.end(second.last().CallID, End{Code: wire.OK})
	if hd := header(t, o.want(t, wire.OK)); hd.GetAttempts() > 1 || hd.GetReceiver().GetInstance() != second.name {
		t.Errorf("header %v: one start, at %s", hd, second.name)
	}
	o, _, _ = h.submit(callSpec{method: "Move", flags: wire.FlagWantReceiver, budget: 10 * time.Millisecond})
	h.pass(20*time.Millisecond + grace)
	if hd := header(t, o.want(t, wire.Timeout)); hd.GetReceiver() != nil {
		t.Errorf("header %v says who answered, and nobody did", hd)
	}
	h.check()
}

func TestACancelKeepsItsReason(t *testing.T) {
	h := newHouse(t, Options{})
	one := h.serve("one")
	o, c, life := h.submit(callSpec{method: "Move"})
	h.r.Cancel(&h.b, c, life, wire.Expired)
	if one.why != wire.Expired {
		t.Errorf("the instance was told %v, want EXPIRED", one.why)
	}
	h.pass(grace + 2*time.Millisecond)
	o.want(t, wire.Timeout)
	h.check()
}
