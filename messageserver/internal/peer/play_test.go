package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// play is a program under way: b has links to a, which dials it, and to c, which it dials. Both do what the program says.
type play struct {
	m      *mesh
	b      *node
	pay    *instance
	actors [2]*actor
	calls  []*call
	nextID uint64
}

// actor is a node that does what the program says, and keeps account.
type actor struct {
	*stranger
	p           *play
	linked      bool
	incarnation uint64
	boots       byte
	own         *registry.Own
	view        *registry.View
	x           *registry.Exchange
	asked       map[uint64]int // answers by call_id, over this connection
	requests    []wire.Frame   // of b, not answered
	over        bool           // the connection has ended
	rude        bool           // it broke the protocol on this connection
}

func newPlay(m *mesh) *play {
	p := &play{m: m, nextID: 1}
	p.actors[0] = &actor{stranger: &stranger{t: m.t, name: "a"}, p: p, incarnation: 1 << 50, own: registry.NewOwn(1 << 50)}
	p.actors[1] = &actor{stranger: m.stand("c"), p: p, incarnation: 1 << 50, own: registry.NewOwn(1 << 50)}
	p.b = m.start("b")
	p.pay = p.b.login("pay", "pay-0", "Move")
	for _, a := range p.actors {
		a.enter(false)
	}
	return p
}

// enter makes a link, if b takes one. Who is patient waits until b dials.
func (a *actor) enter(patient bool) {
	a.leaveOld()
	a.in, a.beats, a.number, a.over, a.rude, a.asked, a.requests = nil, 0, 0, false, false, map[uint64]int{}, nil
	h := a.p.m.helloOf(a.name, func(h *pb.Hello) {
		h.BootId = bytes.Repeat([]byte{a.boots}, 16)
		h.Incarnation = a.incarnation
	})
	a.view = registry.NewView("b")
	ends := error(nil)
	if a.name == "a" {
		a.conn = a.p.b.visit("a").conn
		a.write([]byte(wire.Preface))
		a.send(frameOf(wire.KindHello, h))
		_, ends = a.nextBut(2 * time.Second)
	} else {
		synctest.Wait()
		for len(a.calls) > 1 || patient && len(a.calls) > 0 { // b may have given them up
			(<-a.calls).Close()
			synctest.Wait()
		}
		if len(a.calls) == 0 && !patient {
			a.over = true
			return
		}
		for a.answerTheDoor() != nil {
			a.conn.Close()
			if !patient {
				a.over = true
				return
			}
		}
	}
	f, err := wire.Frame{}, ends
	if err == nil {
		f, err = a.nextBut(2 * time.Second)
	}
	theirs := &pb.Hello{}
	if err != nil || f.Kind != wire.KindHello || proto.Unmarshal(f.Header, theirs) != nil {
		a.over = true
		return
	}
	if a.name == "c" {
		a.send(frameOf(wire.KindWelcome, &pb.Welcome{Version: 1}), frameOf(wire.KindHello, h))
	}
	a.view.Meet(theirs.GetIncarnation())
	known := registry.Known{Mark: registry.Mark{Incarnation: theirs.GetKnownIncarnation(), Version: theirs.GetKnownVersion()}}
	copy(known.Digest[:], theirs.GetKnownDigest())
	a.x = registry.NewExchange(a.own, a.view, registry.Options{}, known, a.p.b.clock.Now())
	a.linked = true
	a.talk(100, -1)
}

func (a *actor) leaveOld() {
	if a.conn != nil {
		a.conn.Close()
		synctest.Wait()
	}
	a.conn, a.linked, a.x = nil, false, nil
}

// talk says what is due of the registry. The frame of that number is broken on the way.
func (a *actor) talk(most, broken int) {
	if !a.linked {
		return
	}
	now := a.p.b.clock.Now()
	a.x.Tick(now, registry.Info{Reaches: []uint32{1, 3}}, 1)
	for i := range most {
		kind, m, ok := a.x.Next(now)
		if !ok {
			break
		}
		f := frameOf(kind, m)
		if i == broken%8 && len(f.Header) > 0 {
			f.Header[broken*7%len(f.Header)] ^= byte(1 + broken)
			a.rude = true
		}
		a.send(f)
	}
	synctest.Wait()
}

// step takes one statement: what, who, and an argument.
func (p *play) step(program []byte) (rest []byte) {
	arg := byte(0)
	if len(program) > 1 {
		arg = program[1]
	}
	a := p.actors[program[0]&1]
	switch program[0] >> 1 % 20 {
	case 0, 1:
		a.talk(100, -1)
	case 2, 3:
		a.change(arg)
	case 4, 5:
		a.listen()
	case 6:
		p.calls = append(p.calls, p.b.call("pay.Move", budget(1+uint32(arg)*40)))
	case 7, 8:
		a.respond(arg)
	case 9, 10:
		a.request(arg)
	case 11:
		a.cancel(uint64(arg))
	case 12:
		time.Sleep(time.Duration(arg) * 20 * time.Millisecond)
	case 13:
		if a.linked {
			a.send(frameOf(wire.KindGoodbye, &pb.Goodbye{Reason: "as the program says", DrainMs: uint32(arg) * 100}))
		}
	case 14:
		if arg&1 != 0 { // another process, which may be older
			a.boots++
			a.incarnation += uint64(arg>>1) - 20
			a.own = registry.NewOwn(a.incarnation)
		}
		a.enter(false)
	case 15:
		a.breach(arg)
	case 16:
		a.talk(100, int(arg))
	case 17:
		p.b.setMembers([][]Member{p.m.list, p.m.without("a"), p.m.without("c"), p.m.without("b")}[arg&3]...)
	case 18:
		p.b.wantConsistent()
	case 19:
		p.serve(arg)
	}
	return program[min(2, len(program)):]
}

// change logs a session in or out.
func (a *actor) change(arg byte) {
	session := uint64(arg&7)<<8 | uint64(a.name[0])
	if arg&8 != 0 {
		a.own.Apply([]router.Change{{Session: session}})
		return
	}
	reg := registration(session, a.name)
	reg.Instance, reg.Since = fmt.Sprint("pay-", arg&7), a.p.b.clock.Now()
	reg.UUID, reg.Stamp.N, reg.Draining = fmt.Sprint("u", arg>>4, a.name), 1+uint64(arg>>4), arg&16 != 0
	a.own.Apply([]router.Change{{Session: session, Registration: reg}})
}

// respond answers the oldest request that came.
func (a *actor) respond(arg byte) {
	a.listen()
	if !a.linked || len(a.requests) == 0 {
		return
	}
	f := a.requests[0]
	a.requests = a.requests[1:]
	codes := []wire.Code{wire.OK, wire.AppError, wire.StaleRoute, wire.Draining, wire.Overloaded, wire.Timeout, wire.ConnectionLost, wire.OK}
	answer := wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Hops: 1, Status: codes[arg&7], Body: make([]byte, int(arg>>3)*5000)}
	if answer.Size() > wire.PartSize {
		answer.Body = answer.Body[:1000]
	}
	a.send(answer)
	if arg == 0xff {
		a.send(answer)
	}
	synctest.Wait()
}

// request makes a request of one shape or another.
func (a *actor) request(arg byte) {
	if !a.linked {
		return
	}
	id := a.p.nextID
	a.p.nextID++
	target := a.p.pay.reg.Session
	r := wire.Request{Module: []byte("pay"), Method: []byte("Move")}
	switch arg & 7 {
	case 1:
		target++
	case 2:
		r.Module = []byte("other")
	case 3:
		r.Method = []byte("Nope")
	case 4:
		r.Module, r.Method, r.Instance, target = []byte("_node"), []byte("Nope"), []byte("b"), 0
	case 5:
		r.Instance = []byte("pay-9")
	}
	header := wire.AppendCallStamp(wire.AppendInvoker(r.Append(nil), "web", "web-1", "10.0.0.1", a.name, 99), id, 1, target)
	f := wire.Frame{Kind: wire.KindRequest, CallID: id, Hops: 1, BudgetMS: 1 + uint32(arg)*10, Header: header}
	switch arg >> 3 & 7 {
	case 1:
		f.Hops = 2
	case 2:
		f.Flags, f.CallID = wire.FlagOneWay, 0
	case 3:
		f.Body = make([]byte, 30<<10)
	case 4:
		f.Flags = wire.FlagWantReceiver
	case 5:
		f.Flags = wire.FlagMore
		a.asked[id] = 0
		a.send(f, wire.Frame{Kind: wire.KindPart, CallID: id, Status: wire.Code(wire.KindRequest), Body: []byte("end")})
		return
	case 6:
		f.Header, a.rude = f.Header[:len(f.Header)-1], true
	}
	if f.CallID != 0 {
		a.asked[id] = 0
	}
	a.send(f)
	synctest.Wait()
}

func (a *actor) cancel(id uint64) {
	if !a.linked {
		return
	}
	for known := range a.asked {
		id = known // one of them
		break
	}
	a.send(wire.Frame{Kind: wire.KindCancel, CallID: max(id, 1), Status: wire.Cancelled})
	synctest.Wait()
}

// breach says what it may not.
func (a *actor) breach(arg byte) {
	if a.conn == nil {
		return
	}
	a.rude = true
	switch arg & 7 {
	case 0:
		a.write([]byte{0xff, 0xff, 0xff, 0xff})
	case 1:
		a.send(frameOf(wire.KindHello, a.p.m.helloOf(a.name)))
	case 2:
		a.send(wire.Frame{Kind: wire.Kind(arg >> 1)})
	case 3:
		for id := range a.asked {
			f := ask(id, "b", "Nope")
			a.send(f, f)
			break
		}
	case 4:
		a.send(wire.Frame{Kind: wire.KindResponse, CallID: 1 + uint64(arg), Hops: 1, Status: wire.Code(arg & 127), Header: []byte{arg}})
	case 5:
		a.send(wire.Frame{Kind: wire.KindDelta, Header: []byte{0xff, arg}})
	case 6:
		a.send(frameOf(wire.KindRefuse, &pb.Refuse{Code: uint32(arg), Message: "no", MinIncarnation: uint64(arg) << 20}))
	case 7:
		a.write([]byte{0, 0, 0})
	}
	synctest.Wait()
}

// listen takes all that b has said.
func (a *actor) listen() {
	for a.conn != nil && !a.over {
		synctest.Wait()
		f, err := a.next(1)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			a.over, a.linked = true, false
			return
		}
		a.take(f)
	}
}

func (a *actor) take(f wire.Frame) {
	switch f.Kind {
	case wire.KindRequest:
		if f.CallID != 0 {
			a.requests = append(a.requests, f)
		}
	case wire.KindResponse:
		times, asked := a.asked[f.CallID]
		if !asked || times > 0 && !a.rude {
			a.t.Fatalf("%s answers %d with %s, which was asked: %t, and answered %d times before", a.name, f.CallID, f.Status, asked, times)
		}
		a.asked[f.CallID]++
	case wire.KindHeartbeat, wire.KindDelta, wire.KindSnapshot, wire.KindResync:
		if a.x != nil {
			if _, err := a.x.Take(f.Kind, f.Header, a.p.b.clock.Now()); err != nil && !a.rude {
				a.t.Fatalf("to %s b says what it must not: %v", a.name, err)
			}
		}
	}
}

// serve answers what came to b's own session.
func (p *play) serve(arg byte) {
	synctest.Wait()
	for len(p.pay.requests) > 0 {
		f := <-p.pay.requests
		p.pay.answer(f, []wire.Code{wire.OK, wire.AppError, wire.Cancelled, wire.Timeout}[arg&3], "done")
	}
	for len(p.pay.cancels) > 0 {
		<-p.pay.cancels
	}
	synctest.Wait()
}

// finish lets every deadline pass, and wants the account to be right and b to be of use.
func (p *play) finish() {
	for range 4 {
		p.serve(0)
		for _, a := range p.actors {
			a.listen()
			a.talk(100, -1)
		}
		time.Sleep(3 * time.Second)
	}
	for _, c := range p.calls {
		c.want(c.wantAny(), c.body)
	}
	for _, a := range p.actors {
		a.listen()
		for id, times := range a.asked {
			if times != 1 && !a.over && !a.rude {
				p.m.t.Errorf("call %d of %s was answered %d times", id, a.name, times)
			}
		}
	}
	if calls, _ := p.b.router.InFlight(); calls != 0 || p.b.router.Local().InFlight() != 0 {
		p.m.t.Errorf("%d calls and %d of others are in flight after every deadline", calls, p.b.router.Local().InFlight())
	}
	p.b.wantConsistent()
	p.b.setMembers(p.m.list...)
	for _, a := range p.actors {
		a.incarnation += 1 << 40
		a.boots++
		a.own = registry.NewOwn(a.incarnation)
		reg := registration(uint64(a.name[0]), a.name)
		reg.Instance = "alive-" + a.name // nobody has fought over it
		a.own.Apply([]router.Change{{Session: reg.Session, Registration: reg}})
		a.leaveOld()
		a.enter(true)
		for range 3 {
			a.listen()
			a.talk(100, -1)
			time.Sleep(200 * time.Millisecond)
		}
		if l := p.b.link(a.name); l.State != StateUp || l.Entries != 1 {
			p.m.t.Errorf("a new link to %s is %s (%s) with %d entries", a.name, l.State, l.Cause, l.Entries)
		}
		c := p.b.call("pay.Move", func(_ *wire.Frame, r *wire.Request) { r.Instance = []byte(reg.Instance) })
		a.respond(0)
		c.want(wire.OK, c.body)
	}
	for _, a := range p.actors {
		a.leaveOld()
	}
	p.m.net.hangUp(p.actors[1])
	for len(p.actors[1].calls) > 0 {
		(<-p.actors[1].calls).Close()
	}
}

// wantAny wants a call to be answered.
func (c *call) wantAny() wire.Code {
	c.n.m.t.Helper()
	synctest.Wait()
	select {
	case <-c.answered:
	default:
		c.n.m.t.Fatal("a call is not answered after its deadline")
	}
	return c.code
}

// FuzzPeerSession reads its input as a program for the two neighbours of a node. Whatever they do, it answers every request at
// most once, and exactly once unless the link ended; nothing is left in the end, and new links to both are of use.
func FuzzPeerSession(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("change, talk, call, answer, ask, cancel, leave, come back"))
	for seed := range byte(40) {
		program := make([]byte, 160)
		for i := range program {
			program[i] = byte(i)*(2*seed+1) + seed
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		program = program[:min(len(program), 400)]
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, "a b c")
			defer m.end()
			p := newPlay(m)
			for len(program) > 0 {
				program = p.step(program)
			}
			p.finish()
		})
	})
}

// FuzzPeerStream says the same in one piece and in others, before anything is proved: the node hears the same, and reads no more than a
// handshake.
func FuzzPeerStream(f *testing.F) {
	m := newMesh(f, "a b c")
	hello := frameOf(wire.KindHello, m.helloOf("a"))
	f.Add([]byte(wire.Preface), uint16(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(3))
	f.Add(hello.Append([]byte(wire.Preface)), uint16(7))
	call := ask(3, "b", "Nope")
	f.Add(call.Append(hello.Append([]byte(wire.Preface))), uint16(31))
	f.Add(bytes.Repeat((&wire.Frame{Kind: 200}).Append([]byte(wire.Preface)), 130), uint16(64))
	for _, v := range vectors[struct {
		Hello string `json:"hello"`
	}](f, "hellos.json") {
		b := wire.Frame{Kind: wire.KindHello, Header: unhex(f, v.Hello)}
		f.Add(b.Append([]byte(wire.Preface)), uint16(len(v.Hello)))
	}
	for _, v := range vectors[struct {
		Hex string `json:"hex"`
	}](f, "peer_prefixes.json") {
		f.Add(append(hello.Append([]byte(wire.Preface)), unhex(f, v.Hex)...), uint16(11))
	}
	f.Fuzz(func(t *testing.T, said []byte, chunk uint16) {
		said = said[:min(len(said), 8<<10)]
		for _, key := range []string{"", meshSecret} {
			whole, pieces := overheard(t, said, len(said), key), overheard(t, said, int(chunk)%257+1, key)
			if whole != pieces {
				t.Errorf("in one piece: %s\nin pieces of %d: %s", whole, chunk%257+1, pieces)
			}
		}
	})
}

// overheard returns what a node says to a stream that comes in pieces: kinds, and the text of a refusal.
func overheard(t *testing.T, said []byte, chunk int, key string) (heard string) {
	alone(t, "b", func(m *mesh, b *node) {
		s := b.visitInPieces(chunk)
		s.write(said)
		synctest.Wait()
		b.peers.mu.Lock()
		for _, l := range b.peers.linksLocked() {
			if read := l.conn.Stats().BytesIn; !l.isOpen() && read > wire.LoginLimit {
				t.Errorf("%d bytes are read before the handshake is over", read)
			}
		}
		b.peers.mu.Unlock()
		_ = s.conn.CloseWrite()
		for {
			f, err := s.nextBut(10 * time.Second)
			if err != nil {
				break
			}
			heard += f.Kind.String() + " "
			if slices.Contains([]wire.Kind{wire.KindRefuse, wire.KindGoodbye}, f.Kind) {
				heard += string(f.Header) + " "
			}
		}
		s.leave()
		b.wantConsistent()
		if len(b.log.lines("refused by the other node")) > 0 {
			heard = "REFUSE ends it at once, whatever is still to be said"
		}
	}, func(o *Options) { o.Secret = key })
	return heard
}
