package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// play is a program under way.
type play struct {
	n      *node
	actors [4]*actor // two callers, two servers
	nextID uint64
}

// actor is a module that does what the program says, and keeps account.
type actor struct {
	*module
	server    bool
	asked     map[uint64]int // answers by call_id
	requests  []wire.Frame   // that came and were not answered
	over      bool           // its session has ended
	mayRepeat bool           // it broke the protocol on purpose
}

func newPlay(n *node) *play {
	p := &play{n: n, nextID: 1}
	for i := range p.actors {
		p.actors[i] = p.enter(i)
	}
	return p
}

func (p *play) enter(i int) *actor {
	a := &actor{server: i >= 2, asked: make(map[uint64]int)}
	o := testkit.PipeOptions{Buffer: 8 << 10}
	if a.server {
		l := loginOf("pay", fmt.Sprint("pay-", i), pb.Role_ROLE_BOTH, "Move", "GetIt")
		l.InstanceUuid = fmt.Sprint("u-", p.nextID)
		p.nextID++
		a.module = p.n.login(l, o)
		a.ready()
	} else {
		a.module = p.n.login(loginOf("web", fmt.Sprint("web-", i), pb.Role_ROLE_CALLER), o)
	}
	return a
}

// step takes one statement: what, who, and an argument.
func (p *play) step(program []byte) (rest []byte) {
	arg := byte(0)
	if len(program) > 1 {
		arg = program[1]
	}
	a := p.actors[program[0]&3]
	switch what := program[0] >> 2; what % 16 {
	case 0, 1, 2, 3:
		p.call(a, arg)
	case 4, 5, 6:
		a.respond(arg)
	case 7:
		for id := range a.asked {
			a.send(cancel(id)) // one of them
			break
		}
		a.send(cancel(uint64(arg)))
	case 8:
		a.listen()
	case 9:
		time.Sleep(time.Duration(arg) * 10 * time.Millisecond)
	case 10:
		a.conn.Close()
		a.over = true
		p.actors[program[0]&3] = p.enter(int(program[0] & 3))
	case 11:
		a.breach(arg)
	case 12:
		a.send(header(wire.KindGoaway, &pb.Goaway{}))
	case 13:
		if a.server {
			methods := []*pb.Method{{Name: "Move"}, {Name: "GetIt", Idempotent: arg&1 == 0}}[:1+arg>>1&1]
			a.send(header(wire.KindMethods, &pb.Methods{Methods: methods}))
		}
	case 14:
		p.n.wantConsistent()
	case 15:
		synctest.Wait()
	}
	return program[min(2, len(program)):]
}

// call makes a request of one shape or another.
func (p *play) call(a *actor, arg byte) {
	id := p.nextID
	p.nextID++
	method := []string{"pay.Move", "pay.GetIt", "pay.Nope", "nobody.Move"}[arg&3]
	f := request(id, method, func(r *wire.Request) {
		if method == "pay.GetIt" {
			r.Options = wire.Idempotent
		}
		if arg&0x40 != 0 {
			r.Instance = []byte("pay-2")
		}
	})
	switch arg >> 2 & 7 {
	case 1:
		f.BudgetMS = 1 + uint32(arg)
	case 2:
		f.Flags, f.CallID = wire.FlagOneWay, 0
	case 3:
		f.Body = make([]byte, 10<<10)
	case 4:
		f.Header = f.Header[:len(f.Header)-1]
	case 5:
		f.RPCID = 1
	case 6:
		f.Flags |= wire.FlagWantReceiver
	case 7:
		f.Flags |= wire.FlagMore
		a.expect(f)
		a.send(f, wire.Frame{Kind: wire.KindPart, CallID: id, Status: wire.Code(wire.KindRequest), Body: []byte("end")})
		return
	}
	a.expect(f)
	a.send(f)
}

func (a *actor) expect(f wire.Frame) {
	if f.CallID != 0 {
		a.asked[f.CallID] = 0
	}
}

// respond answers the oldest request that came to a server.
func (a *actor) respond(arg byte) {
	a.listen()
	if !a.server || len(a.requests) == 0 {
		return
	}
	f := a.requests[0]
	a.requests = a.requests[1:]
	codes := []wire.Code{wire.OK, wire.AppError, wire.Overloaded, wire.Draining, wire.StaleRoute, wire.Expired, wire.Timeout, wire.Accepted}
	a.answer(f, codes[arg&7], string(make([]byte, int(arg>>3)*400)))
	if arg == 0xff {
		a.answer(f, wire.OK, "twice")
	}
}

// breach says what it may not.
func (a *actor) breach(arg byte) {
	a.mayRepeat = true
	switch arg & 7 {
	case 0:
		a.write([]byte{0xff, 0xff, 0xff, 0xff})
	case 1:
		a.send(wire.Frame{Kind: wire.KindLogin})
	case 2:
		a.send(wire.Frame{Kind: wire.Kind(arg)})
	case 3:
		for id := range a.asked {
			a.send(request(id, "pay.Move"))
			return
		}
	case 4:
		a.send(wire.Frame{Kind: wire.KindResponse, CallID: uint64(arg), Status: wire.Code(arg)})
	case 5:
		a.send(wire.Frame{Kind: wire.KindMethods, Header: []byte{0xff}})
	case 6:
		a.send(wire.Frame{Kind: wire.KindPart, CallID: uint64(arg), Status: wire.Code(wire.KindResponse)})
	case 7:
		a.write([]byte{0, 0, 0})
	}
}

// listen takes all that the node has said.
func (a *actor) listen() {
	for {
		synctest.Wait()
		_ = a.conn.SetReadDeadline(time.Now().Add(1))
		b := make([]byte, 64<<10)
		got, err := a.conn.Read(b)
		a.in = append(a.in, b[:got]...)
		for {
			f, size, short := wire.Decode(a.in, 1<<30)
			if short != nil {
				if !errors.Is(short, wire.ErrShort) {
					a.n.t.Fatal(short)
				}
				break
			}
			f.Header, f.Body = slices.Clone(f.Header), slices.Clone(f.Body)
			a.in = a.in[size:]
			a.take(f)
		}
		if err != nil {
			a.over = a.over || !strings.Contains(err.Error(), "timeout")
			return
		}
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
		if !asked || times > 0 && !a.mayRepeat {
			a.n.t.Fatalf("got %s, which was asked: %t and answered %d times before", describe(f), asked, times)
		}
		a.asked[f.CallID]++
	}
}

// finish lets every deadline pass and looks at the account of those who are still there.
func (p *play) finish() {
	for range 3 {
		for _, a := range p.actors {
			a.listen()
		}
		time.Sleep(11 * time.Second)
	}
	for _, a := range p.actors {
		a.listen()
		for id, times := range a.asked {
			if times != 1 && !a.over && !a.mayRepeat {
				p.n.t.Errorf("call %d was answered %d times", id, times)
			}
		}
	}
	if calls, _ := p.n.router.InFlight(); calls != 0 {
		p.n.t.Errorf("%d calls are in flight after every deadline", calls)
	}
	p.n.wantConsistent()
}
