package registry

import (
	"encoding/binary"
	"maps"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// FuzzRegistryApply takes a byte string as a program: an owner changes, its frames arrive, are lost, come twice or spoiled,
// and frames come that it never sent. Whatever comes, nothing panics, a breach changes nothing, the view only goes forward
// and agrees with its digest; and while nothing was taken that the owner did not say, it is a state that the owner had.
func FuzzRegistryApply(f *testing.F) {
	own := NewOwn(1)
	own.Apply([]router.Change{put(login(1)), put(login(2))})
	x := NewExchange(own, NewView("b"), Options{partEntries: 1}, Known{}, 0)
	program := []byte{0, 1, 2, 0, 2, 2, 0, 9, 1, 2, 3, 4, 2, 5, 7, 2}
	for kind, m, ok := x.Next(0); ok; kind, m, ok = x.Next(0) {
		header, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		program = append(program, 8, byte(kind), byte(len(header)>>8), byte(len(header)))
		program = append(program, header...)
	}
	f.Add(program)
	f.Add([]byte{0, 1, 0, 2, 0, 3, 2, 2, 2, 6, 4, 1, 2, 7, 2, 2, 2, 2, 2, 1, 0, 2, 3, 0, 4, 2, 2, 2, 2, 2})
	f.Add([]byte{0, 1, 2, 2, 0, 2, 9, 1, 200, 1, 9, 2, 3, 1, 9, 4, 4, 4, 2, 2, 2, 2})
	f.Fuzz(func(t *testing.T, program []byte) {
		r := &run{t: t, program: program, now: time.Hour, own: NewOwn(3), history: make(map[Mark]state)}
		r.own.ring.maxVersions, r.own.ring.maxKeys = 4, 16
		r.view = NewView("a")
		r.view.Meet(3)
		r.connect()
		r.remember()
		for steps := 0; len(r.program) > 0 && steps < 500; steps++ {
			r.step()
		}
	})
}

// run is the machine that such a program runs on.
type run struct {
	t       *testing.T
	program []byte
	now     time.Duration
	own     *Own
	view    *View
	there   *Exchange // the owner's end
	here    *Exchange
	history map[Mark]state
	tainted bool // something was taken that the owner did not say
	last    message
}

func (r *run) byte() byte {
	if len(r.program) == 0 {
		return 0
	}
	b := r.program[0]
	r.program = r.program[1:]
	return b
}

func (r *run) connect() {
	r.there = NewExchange(r.own, NewView("b"), Options{partEntries: 2}, r.view.Known(), r.now)
	r.here = NewExchange(NewOwn(1), r.view, Options{}, Known{}, r.now)
}

func (r *run) remember() {
	s := make(state)
	for e := range r.own.Each {
		s[e.Session] = e
	}
	r.history[r.own.Mark()] = s
}

func (r *run) step() {
	switch op := r.byte(); op % 10 {
	case 0: // a login, or a change
		e := login(1 + uint64(r.byte())%16)
		e.Draining = op >= 128
		r.own.Apply([]router.Change{put(e)})
		r.remember()
	case 1:
		r.own.Apply([]router.Change{gone(1 + uint64(r.byte())%16), gone(1 + uint64(r.byte())%16)})
		r.remember()
	case 2: // the next frame arrives
		if r.next() {
			r.take(r.last, true)
		}
	case 3: // is lost
		r.next()
	case 4: // comes twice
		if r.last.kind != 0 {
			r.take(r.last, true)
		}
	case 5:
		r.now += time.Duration(r.byte()) * 20 * time.Millisecond
		r.there.Tick(r.now, Info{}, 1)
	case 6: // what the view asks for arrives
		kind, m, ok := r.here.Next(r.now)
		if !ok {
			return
		}
		if _, err := r.there.Take(kind, r.encode(m), r.now); err != nil && !r.tainted {
			r.t.Fatalf("the owner refuses %s %v: %v", kind, m, err)
		}
	case 7:
		if op >= 128 {
			r.own.Reincarnate(r.own.Mark().Incarnation + 1)
			r.remember()
		}
		r.connect()
		r.last = message{}
	case 8: // a frame that nobody sent
		m := message{kind: wire.KindSnapshot + wire.Kind(r.byte()%4)}
		n := min(int(binary.BigEndian.Uint16([]byte{r.byte(), r.byte()})), len(r.program))
		m.header, r.program = r.program[:n:n], r.program[n:]
		r.take(m, false)
	case 9: // a frame with one bit changed
		if r.next() && len(r.last.header) > 0 {
			r.last.header[int(r.byte())%len(r.last.header)] ^= 1 << (r.byte() % 8)
			r.take(r.last, false)
			r.last = message{}
		}
	}
}

// next is the owner's next frame.
func (r *run) next() bool {
	kind, m, ok := r.there.Next(r.now)
	if ok {
		r.last = message{kind, r.encode(m)}
	}
	return ok
}

func (r *run) encode(m proto.Message) []byte {
	header, err := proto.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	return header
}

// take lets a frame arrive and looks at the view.
func (r *run) take(m message, honest bool) {
	v := r.view
	mark, digest, before := v.Mark(), v.Digest(), maps.Clone(v.entries)
	result, err := r.here.Take(m.kind, m.header, r.now)
	if err != nil {
		if honest {
			r.t.Fatalf("a %s that the owner sent is refused: %v", m.kind, err)
		}
		if v.Mark() != mark || v.Digest() != digest || !maps.Equal(v.entries, before) || len(result.Changes) > 0 {
			r.t.Fatalf("%v changed the view", err)
		}
		return
	}
	if v.Mark().before(mark) {
		r.t.Fatalf("the view went from %v to %v", mark, v.Mark())
	}
	held := before
	for _, c := range result.Changes {
		if c.Registration == nil {
			delete(held, c.Session)
		} else {
			held[c.Session] = c.Registration
		}
	}
	if !maps.Equal(held, v.entries) {
		r.t.Fatal("the changes do not lead to the view")
	}
	if err := v.Check(); err != nil {
		r.t.Fatal(err)
	}
	for e := range v.Each {
		if err := check(e); err != nil {
			r.t.Fatal(err)
		}
	}
	r.tainted = r.tainted || !honest
	if want, known := r.history[v.Mark()]; !r.tainted && (!known || !equal(want, v.entries)) {
		r.t.Fatalf("the view is not what the owner had at %v", v.Mark())
	}
}
