package session

import (
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/wire"
)

// row says in which states a kind is taken, from which roles, and by what. A kind that comes at another time or from
// another role breaks the protocol.
type row struct {
	states  [stateLeaving + 1]bool
	servers bool                              // not from callers
	take    func(*session, *wire.Frame) error // nil: frameconn does
}

var (
	always  = [stateLeaving + 1]bool{true, true, true, true}
	inLogin = [stateLeaving + 1]bool{stateLogin: true}
	inProof = [stateLeaving + 1]bool{stateProof: true}
	inOpen  = [stateLeaving + 1]bool{stateOpen: true, stateLeaving: true}
)

// dispatch is indexed by kind; its table for people is in PROTOCOL.md, "Who may send what, when".
var dispatch = [wire.KindSkippable]row{
	wire.KindPing:     {states: always},
	wire.KindPong:     {states: always},
	wire.KindLogin:    {states: inLogin, take: (*session).takeLogin},
	wire.KindProof:    {states: inProof, take: (*session).takeProof},
	wire.KindRequest:  {states: inOpen, take: (*session).takeRequest},
	wire.KindPart:     {states: inOpen},
	wire.KindCancel:   {states: inOpen, take: (*session).takeCancel},
	wire.KindGoaway:   {states: inOpen, take: (*session).takeGoaway},
	wire.KindResponse: {states: inOpen, servers: true, take: (*session).takeResponse},
	wire.KindPolicyOK: {states: inOpen, servers: true, take: (*session).takePolicyOK},
	wire.KindMethods:  {states: inOpen, servers: true, take: (*session).takeMethods},
}

// vet ends the connection for a frame that may not come now. What is wrong with a REQUEST is left to its answer.
func (c *session) vet(f *wire.Frame) error {
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	r := &dispatch[f.Kind]
	if state := c.currentState(); !r.states[state] {
		return breach(f.Kind.String() + " is not taken in state " + state.String())
	}
	if r.servers && !c.isServer() {
		return breach(f.Kind.String() + " is not taken from a caller")
	}
	if f.Kind == wire.KindRequest {
		return nil
	}
	return f.CheckPrefix()
}

// Frame implements frameconn.Handler, for frames that vet has let pass.
func (c *session) Frame(f *wire.Frame) error {
	c.batch.Now = c.conn.Now()
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	if f.Kind == wire.KindRequest {
		if err := f.CheckPrefix(); err != nil {
			return c.refuseMalformed(f, err)
		}
	}
	return dispatch[f.Kind].take(c, f)
}

// BatchEnd implements frameconn.Handler.
func (c *session) BatchEnd() { c.batch.Flush() }

// Farewell implements frameconn.Handler.
func (c *session) Farewell(cause *wire.Error) wire.Frame {
	if c.isOpen() {
		c.room.counters.Breaches.Add(1)
		c.room.opts.Router.Unregister(c.number) // it is read no more, and written to only once more
		return c.goawayFrame(cause)
	}
	return c.refuseFrame(cause)
}

func breach(reason string) error { return &wire.Error{Code: wire.BadRequest, Reason: reason} }

// controlFrame returns a frame that carries m as its header.
func controlFrame(kind wire.Kind, m proto.Message) wire.Frame {
	header, err := proto.Marshal(m)
	if err != nil { // our own strings, checked or constant, are UTF-8: nothing else can fail
		panic("session: " + err.Error())
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
