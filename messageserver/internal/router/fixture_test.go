package router

import (
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// house is a router with a clock that stands still until it is told to move.
type house struct {
	t      testing.TB
	r      *Router
	b      Batch
	mu     sync.Mutex
	now    time.Duration
	caller *Caller

	logins uint64 // numbers sessions and stamps
}

func newHouse(t testing.TB, o Options) *house {
	h := &house{t: t, now: time.Second}
	if o.Node == "" {
		o.Node = "a"
	}
	h.r = New(o, func() time.Duration { h.mu.Lock(); defer h.mu.Unlock(); return h.now })
	h.b.Now = h.now
	h.caller = h.r.OpenCaller("web")
	return h
}

// pass moves the clock and fires what is due.
func (h *house) pass(d time.Duration) {
	for end := h.now + d; h.now < end; {
		h.mu.Lock()
		h.now += time.Millisecond
		h.mu.Unlock()
		h.b.Now = h.now
		h.r.Tick(h.now)
	}
}

// check is called at the end of a story: nothing may be left.
func (h *house) check() {
	h.t.Helper()
	if calls, kept := h.r.InFlight(); calls != 0 || kept != 0 {
		h.t.Errorf("%d calls in flight and %d bytes kept at the end", calls, kept)
	}
	if err := h.r.ConsistencyCheck(); err != nil {
		h.t.Error(err)
	}
	for _, m := range h.r.Registry(h.now) {
		for _, i := range m.Instances {
			if i.Outstanding != 0 {
				h.t.Errorf("%s/%s has %d attempts outstanding at the end", m.Module, i.Instance, i.Outstanding)
			}
		}
	}
}

// fakeTarget is an instance that does nothing by itself.
type fakeTarget struct {
	h     *house
	slots Slots

	mu       sync.Mutex
	name     string
	session  uint64
	frames   []wire.Frame
	cancels  []uint64
	full     bool
	gone     bool
	why      wire.Code // of the last cancel
	keeps    bool      // requests stay queued: Cancel takes them back
	replaced bool
	onSend   func(id uint64)
}

var errFull = errors.New("full")

func (f *fakeTarget) Send(_ *Batch, fr *wire.Frame, _ bool) error {
	f.mu.Lock()
	if f.full || f.gone {
		defer f.mu.Unlock()
		if f.gone {
			return ErrGone
		}
		return errFull
	}
	c := *fr
	c.Header, c.Body = append([]byte(nil), fr.Header...), append([]byte(nil), fr.Body...)
	f.frames = append(f.frames, c)
	onSend := f.onSend
	f.mu.Unlock()
	if onSend != nil {
		onSend(fr.CallID)
	}
	return nil
}

func (f *fakeTarget) Cancel(_ *Batch, id uint64, why wire.Code) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancels, f.why = append(f.cancels, id), why
	return f.keeps
}

func (f *fakeTarget) Slots() *Slots { return &f.slots }
func (f *fakeTarget) Replace()      { f.replaced = true }

// last returns the newest request that came.
func (f *fakeTarget) last() wire.Frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.frames) == 0 {
		f.h.t.Fatalf("%s got no request", f.name)
	}
	return f.frames[len(f.frames)-1]
}

func (f *fakeTarget) got() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.frames)
}

// end answers a request, or says what became of it.
func (f *fakeTarget) end(id uint64, e End) bool {
	t, ok := f.slots.Release(id)
	if ok {
		f.h.r.End(&f.h.b, t, &e)
	}
	return ok
}

// pays are the methods Charge (idempotent) and Move (not).
var pays = map[string]Contract{
	"Charge": {Idempotent: true, Visibility: "internal"},
	"Move":   {Visibility: "internal", DefaultTimeoutMS: 3000},
}

// registration is what an instance of pay says of itself; the later it logs in, the greater is its stamp.
func (h *house) registration(name string, edit ...func(*Registration)) *Registration {
	h.logins++
	reg := &Registration{
		Session: 79 + h.logins, Module: "pay", Instance: name, UUID: "u-" + name, Stamp: Stamp{h.logins, "a"},
		Methods: NewMethods(pays),
		Since:   h.now - time.Hour, // long ago: no slow start
	}
	for _, e := range edit {
		e(reg)
	}
	return reg
}

// serve registers an instance of pay.
func (h *house) serve(name string, edit ...func(*Registration)) *fakeTarget {
	reg := h.registration(name, edit...)
	f := &fakeTarget{h: h, name: name, session: reg.Session}
	h.r.Register(reg, f)
	return f
}

// answers is an Origin that keeps what it is told.
type answers struct {
	mu  sync.Mutex
	got []Answer
}

func (o *answers) Answer(_ *Batch, _ *Call, a *Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := *a
	c.Header, c.Body = append([]byte(nil), a.Header...), append([]byte(nil), a.Body...)
	o.got = append(o.got, c)
}

func (o *answers) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

// call is what a test wants to send.
type callSpec struct {
	method  string
	edit    func(*wire.Request)
	flags   wire.Flags
	budget  time.Duration
	body    string
	attempt uint8
}

// submit makes a call and returns where its answer comes, the call and its life.
func (h *house) submit(s callSpec) (*answers, *Call, uint64) {
	h.t.Helper()
	o := &answers{}
	c := h.fill(o, s)
	life := c.Life()
	h.r.Submit(&h.b, c, 1)
	return o, c, life
}

func (h *house) fill(o Origin, s callSpec) *Call {
	h.t.Helper()
	req := wire.Request{Module: []byte("pay"), Method: []byte(s.method)}
	if s.edit != nil {
		s.edit(&req)
	}
	c := h.r.Call()
	c.Origin, c.Caller, c.Stamp = o, h.caller, wire.AppendInvoker(nil, "web", "web-1", "127.0.0.1", "a", 9)
	c.ID, c.RPCID, c.Arrived, c.Budget = 42, 4711, h.now, s.budget
	f := wire.Frame{Kind: wire.KindRequest, Flags: s.flags, CallID: 42, Attempt: s.attempt, Header: req.Append(nil), Body: []byte(s.body)}
	if s.flags&wire.FlagOneWay != 0 {
		c.ID, f.CallID = 0, 0
	}
	if err := c.Keep(&f); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// want checks that exactly one answer has come.
func (o *answers) want(t testing.TB, code wire.Code) Answer {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got) != 1 {
		t.Fatalf("%d answers, want one", len(o.got))
	}
	if o.got[0].Code != code {
		t.Fatalf("answer %v (%s), want %v", o.got[0].Code, o.got[0].Header, code)
	}
	return o.got[0]
}

func (o *answers) wantNone(t testing.TB) {
	t.Helper()
	if n := o.count(); n != 0 {
		t.Fatalf("%d answers, want none yet: %v", n, o.got[0].Code)
	}
}

func header(t testing.TB, a Answer) *pb.ResponseHeader {
	t.Helper()
	h := &pb.ResponseHeader{}
	if err := proto.Unmarshal(a.Header, h); err != nil {
		t.Fatal(err)
	}
	return h
}
