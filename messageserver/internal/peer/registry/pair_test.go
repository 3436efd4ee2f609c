package registry

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// login is a registration of session n.
func login(n uint64) *router.Registration {
	return &router.Registration{
		Session: n, Module: "pay", Instance: fmt.Sprintf("pay-%d", n), UUID: fmt.Sprintf("uuid-%d", n), Group: "eu", Weight: 100,
		AppVersion: "1.2.3", Stamp: router.Stamp{N: n, Node: "a"}, Methods: charging,
	}
}

var charging = router.NewMethods(map[string]router.Contract{
	"Charge": {Idempotent: true, Visibility: "external"}, "Move": {DefaultTimeoutMS: 500},
})

func put(r *router.Registration) router.Change {
	return router.Change{Session: r.Session, Registration: r}
}

func gone(n uint64) router.Change { return router.Change{Session: n} }

// pair is two nodes and the link between them.
type pair struct {
	t    *testing.T
	now  time.Duration
	a, b *end
}

type end struct {
	own  *Own
	view *View
	x    *Exchange
	held map[uint64]*router.Registration // what the changes of Take lead to
	sent map[wire.Kind]int
	lost func(wire.Kind) bool
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, now: time.Hour}
	for i, e := range []**end{&p.a, &p.b} {
		*e = &end{
			own: NewOwn(uint64(100 + i)), view: NewView([]string{"b", "a"}[i]), held: make(map[uint64]*router.Registration),
			sent: make(map[wire.Kind]int),
		}
	}
	p.connect()
	return p
}

// connect is a new link between both.
func (p *pair) connect() {
	p.t.Helper()
	p.a.meet(p.t, p.b)
	p.b.meet(p.t, p.a)
	p.a.x = NewExchange(p.a.own, p.a.view, Options{}, p.b.view.Known(), p.now)
	p.b.x = NewExchange(p.b.own, p.b.view, Options{}, p.a.view.Known(), p.now)
}

func (e *end) meet(t *testing.T, other *end) {
	t.Helper()
	changes, ok := e.view.Meet(other.own.Mark().Incarnation)
	if !ok {
		t.Fatalf("incarnation %d is too low", other.own.Mark().Incarnation)
	}
	e.follow(changes)
}

func (e *end) follow(changes []router.Change) {
	for _, c := range changes {
		if c.Registration == nil {
			delete(e.held, c.Session)
		} else {
			e.held[c.Session] = c.Registration
		}
	}
}

// talk lets both say what is due, until neither has anything left.
func (p *pair) talk() {
	p.t.Helper()
	for said := true; said; {
		said = p.tell(p.a, p.b)
		said = p.tell(p.b, p.a) || said
	}
}

func (p *pair) tell(from, to *end) bool {
	p.t.Helper()
	kind, m, ok := from.x.Next(p.now)
	if !ok {
		return false
	}
	from.sent[kind]++
	header, err := proto.Marshal(m)
	if err != nil {
		p.t.Fatal(err)
	}
	if from.lost != nil && from.lost(kind) {
		return true
	}
	result, err := to.x.Take(kind, header, p.now)
	if err != nil {
		p.t.Fatalf("%s: %v", kind, err)
	}
	to.follow(result.Changes)
	return true
}

// pass lets time go by, in steps of 100 ms.
func (p *pair) pass(d time.Duration) {
	p.t.Helper()
	for end := p.now + d; p.now < end; {
		p.now += 100 * time.Millisecond
		p.a.x.Tick(p.now, Info{}, 1)
		p.b.x.Tick(p.now, Info{}, 1)
		p.talk()
	}
}

// wantSame wants each end to hold what the other has.
func (p *pair) wantSame() {
	p.t.Helper()
	for _, e := range [][2]*end{{p.a, p.b}, {p.b, p.a}} {
		own, view := e[0].own, e[1].view
		if own.Mark() != view.Mark() || own.Digest() != view.Digest() || own.Count() != view.Count() {
			p.t.Fatalf("own %v %v (%d), view %v %v (%d)", own.Mark(), own.Digest(), own.Count(), view.Mark(), view.Digest(), view.Count())
		}
		if len(e[1].held) != own.Count() {
			p.t.Fatalf("the changes lead to %d entries, must be %d", len(e[1].held), own.Count())
		}
		for r := range own.Each {
			held := e[1].held[r.Session]
			if held == nil || !same(held, r) || held.Since != r.Since {
				p.t.Fatalf("held %+v, want %+v", held, r)
			}
		}
		if err := errorsOf(own.Check(), view.Check()); err != nil {
			p.t.Fatal(err)
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// login is a registration of session n, of now.
func (p *pair) login(n uint64) *router.Registration {
	r := login(n)
	r.Since = p.now
	return r
}

// encoded is a message as it crosses a link.
func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	header, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func (p *pair) wantUp() {
	p.t.Helper()
	if a, b := p.a.x.State(p.now), p.b.x.State(p.now); a != Up || b != Up {
		p.t.Fatalf("a is %v, b is %v", a, b)
	}
}

// connectAt is a new link on which a believes that b holds something.
func (p *pair) connectAt(known Mark) {
	p.a.x = NewExchange(p.a.own, p.a.view, Options{}, Known{Mark: known}, p.now)
	p.b.x = NewExchange(p.b.own, p.b.view, Options{}, p.a.view.Known(), p.now)
}
