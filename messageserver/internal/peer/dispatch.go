package peer

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// side is which end of a connection this node is.
type side bool

const (
	acceptor side = false
	dialler  side = true
)

func (l *link) side() side { return side(l.dialled != nil) }

// row says in which steps a kind is taken at each side, and by what.
type row struct {
	accepted, dialled [stepOpen + 1]bool
	take              func(*link, *wire.Frame) error // nil: frameconn does
}

var (
	never  = [stepOpen + 1]bool{}
	once   = [stepOpen + 1]bool{stepHello: true}
	inOpen = [stepOpen + 1]bool{stepOpen: true}
)

// dispatch is indexed by kind; its table for people is in PROTOCOL.md, "Node to node".
var dispatch = [wire.KindSkippable]row{
	wire.KindHello:     {accepted: once, dialled: [stepOpen + 1]bool{stepName: true}, take: (*link).takeHello},
	wire.KindChallenge: {accepted: never, dialled: once, take: (*link).takeChallenge},
	wire.KindProof:     {accepted: [stepOpen + 1]bool{stepProof: true}, dialled: never, take: (*link).takeProof},
	wire.KindWelcome:   {accepted: never, dialled: [stepOpen + 1]bool{stepHello: true, stepProof: true}, take: (*link).takeWelcome},
	wire.KindRefuse:    {accepted: inOpen, dialled: [stepOpen + 1]bool{true, true, true, true}, take: (*link).takeRefuse},
	wire.KindSnapshot:  {accepted: inOpen, dialled: inOpen, take: (*link).takeRegistry},
	wire.KindDelta:     {accepted: inOpen, dialled: inOpen, take: (*link).takeRegistry},
	wire.KindHeartbeat: {accepted: inOpen, dialled: inOpen, take: (*link).takeRegistry},
	wire.KindResync:    {accepted: inOpen, dialled: inOpen, take: (*link).takeRegistry},
	wire.KindGoodbye:   {accepted: inOpen, dialled: inOpen, take: (*link).takeGoodbye},
	wire.KindRequest:   {accepted: inOpen, dialled: inOpen, take: (*link).takeRequest},
	wire.KindResponse:  {accepted: inOpen, dialled: inOpen, take: (*link).takeResponse},
	wire.KindCancel:    {accepted: inOpen, dialled: inOpen, take: (*link).takeCancel},
	wire.KindPart:      {accepted: inOpen, dialled: inOpen},
}

// vet ends the connection for a frame that may not come now.
func (l *link) vet(f *wire.Frame) error {
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	r, at := &dispatch[f.Kind], l.currentStep()
	taken := r.accepted[at]
	if l.side() == dialler {
		taken = r.dialled[at]
	}
	if !taken {
		return breach(fmt.Sprintf("%s is not taken now", f.Kind))
	}
	return f.CheckPeerPrefix()
}

// Frame implements frameconn.Handler, for frames that vet has let pass.
func (l *link) Frame(f *wire.Frame) error {
	l.batch.Now = l.conn.Now()
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	return dispatch[f.Kind].take(l, f)
}

// BatchEnd implements frameconn.Handler.
func (l *link) BatchEnd() { l.batch.Flush() }

// Farewell implements frameconn.Handler.
func (l *link) Farewell(cause *wire.Error) wire.Frame {
	if l.isOpen() {
		l.peers.counters.Breaches.Add(1)
		return controlFrame(wire.KindGoodbye, &pb.Goodbye{Reason: cause.Reason})
	}
	if l.side() == dialler && l.currentStep() != stepName {
		return wire.Frame{} // it does not know us yet
	}
	return controlFrame(wire.KindRefuse, &pb.Refuse{Code: uint32(cause.Code), Message: cause.Reason, MinIncarnation: l.least})
}

func (l *link) takeRequest(f *wire.Frame) error {
	return l.inbound.Request(&l.batch, f, l.conn.Arrived())
}

func (l *link) takeCancel(f *wire.Frame) error {
	l.inbound.Cancel(&l.batch, f)
	return nil
}

// takeResponse ends an attempt that went this way.
func (l *link) takeResponse(f *wire.Frame) error {
	if err := wire.CheckPeerAnswer(f.Status, f.Header); err != nil {
		return err
	}
	if f.Status == wire.StaleRoute {
		l.doubt()
	}
	t, ok := l.slots.Release(f.CallID)
	if !ok {
		l.peers.counters.LateAnswers.Add(1)
		return nil
	}
	l.peers.opts.Router.End(&l.batch, t, &router.End{Code: f.Status, Hops: 2, Header: f.Header, Body: f.Body})
	return nil
}

func breach(reason string) error { return &wire.Error{Code: wire.BadRequest, Reason: reason} }

// controlFrame returns a frame that carries m as its header.
func controlFrame(kind wire.Kind, m proto.Message) wire.Frame {
	header, err := proto.Marshal(m)
	if err != nil { // our own strings, checked or constant, are UTF-8: nothing else can fail
		panic("peer: " + err.Error())
	}
	return wire.Frame{Kind: kind, Header: header}
}

// readControl decodes the header of a control frame.
func readControl(f *wire.Frame, m proto.Message) error {
	if err := proto.Unmarshal(f.Header, m); err != nil {
		return breach(f.Kind.String() + ": " + err.Error())
	}
	return nil
}
