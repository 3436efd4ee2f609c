package session

import (
	"fmt"
	"math/rand/v2"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// refusal ends a handshake: Farewell makes a REFUSE of it.
func refusal(code wire.Code, reason string) error { return &wire.Error{Code: code, Reason: reason} }

// refuseFrame is what a REFUSE says. Who is sent away because there are too many comes back after some time, and not all
// at the same.
func (c *session) refuseFrame(cause *wire.Error) wire.Frame {
	m := &pb.Refuse{Code: uint32(cause.Code), Message: cause.Reason, Try: c.room.others()}
	switch cause.Code {
	case wire.Overloaded:
		m.RetryAfterMs = 1000 + rand.Uint32N(9000) //nolint:gosec // jitter
	case wire.RateLimited:
		m.RetryAfterMs = uint32(c.heldDown.Milliseconds()) + 1
	}
	return controlFrame(wire.KindRefuse, m)
}

// takeLogin is the first frame.
func (c *session) takeLogin(f *wire.Frame) error {
	login := &pb.Login{}
	if err := readControl(f, login); err != nil {
		return err
	}
	if err := wire.CheckLogin(login); err != nil {
		return err
	}
	version, err := wire.NegotiateVersion(login.GetVersionMin(), login.GetVersionMax())
	if err != nil {
		return err
	}
	s := c.room
	switch {
	case s.isDraining():
		return refusal(wire.Draining, "the node is draining")
	case !s.logins.take(c.conn.Now()):
		return refusal(wire.Overloaded, "too many logins at once")
	case s.directory == nil:
		return c.admit(login, version, nil)
	}
	c.exchange, err = scram.NewServer(s.directory, keyName(login.GetKeyId()), nil)
	if err != nil {
		return refusal(wire.Unauthenticated, "the node cannot check secrets")
	}
	challenge, err := c.exchange.First(login.GetScramClientFirst())
	if err != nil {
		return refusal(wire.Unauthenticated, "this node asks for a secret: "+err.Error())
	}
	if c.exchange.User() != login.GetModule() {
		return refusal(wire.Unauthenticated, "the secret's user is another module")
	}
	c.candidate, c.version = login, version
	c.state.Store(uint32(stateProof))
	c.send(controlFrame(wire.KindChallenge, &pb.Challenge{ScramServerFirst: challenge}))
	return nil
}

// takeProof ends the exchange that takeLogin began.
func (c *session) takeProof(f *wire.Frame) error {
	proof := &pb.Proof{}
	if err := readControl(f, proof); err != nil {
		return err
	}
	final, err := c.exchange.Final(proof.GetScramClientFinal())
	if err != nil {
		// In the same words for all: who knocks must not learn which modules there are.
		return refusal(wire.Unauthenticated, "unknown module, or wrong secret")
	}
	return c.admit(c.candidate, c.version, final)
}

// admit opens the session of who has proved itself, unless it is a server whose name is held down.
func (c *session) admit(login *pb.Login, version uint32, serverFinal []byte) error {
	if login.GetRole() != pb.Role_ROLE_CALLER {
		if c.heldDown = c.room.opts.Router.HeldDown(login.GetModule(), login.GetInstance()); c.heldDown > 0 {
			return refusal(wire.RateLimited, fmt.Sprintf("the name %s/%s is held down, because several processes log in with it and take it from each other; each process needs a name of its own", login.GetModule(), login.GetInstance()))
		}
	}
	c.welcome(login, version, serverFinal)
	return nil
}

// welcome opens the session. WELCOME is queued before anybody else can see that it is open, so that nothing goes before
// it; and only then is looked whether the node has begun to drain, so that a session that opens meanwhile is told.
func (c *session) welcome(login *pb.Login, version uint32, serverFinal []byte) {
	s := c.room
	o := &s.opts
	c.number, c.login = o.NextID(), login
	c.caller = o.Router.OpenCaller(login.GetModule())
	c.stamp = wire.AppendInvoker(nil, login.GetModule(), login.GetInstance(), c.from.invokerIP(), o.Node, c.number)
	c.instance.stamp = s.stamp(login.GetStamp())
	c.adopt()
	changes, ruled := s.nodeChanges(), s.ruleChanges()
	c.send(controlFrame(wire.KindWelcome, &pb.Welcome{
		Version: version, Features: login.GetFeatures() & wire.FeatureNodes, ScramServerFinal: serverFinal, Node: o.Node, Mesh: o.Mesh, Session: c.number,
		Stamp: c.instance.stamp,
		Limits: &pb.Limits{
			MaxFrame: wire.MaxFrame, MaxMessage: uint32(o.MaxMessage), MaxInFlight: uint32(o.MaxInFlight), MaxHeader: wire.MaxHeader,
		},
		HeartbeatMs: uint32(o.Heartbeat.Milliseconds()), DeadMs: uint32(o.Dead.Milliseconds()), Nodes: o.Nodes(),
	}))
	if c.isServer() {
		c.instance.methods = contracts(login.GetMethods())
		c.send(s.policyFrame(login.GetModule()))
	}
	c.state.Store(uint32(stateOpen))
	c.endLogin()
	s.counters.Opened.Add(1)
	s.log("session opened", nil, "session", c.String(), "role", roleNames[login.GetRole()], "remote", c.from.String(), "sdk", login.GetSdk())
	if s.isDraining() {
		c.leave(errNodeDraining)
	}
	if s.nodeChanges() != changes {
		c.tellNodes() // who told the others did not see this one yet
	}
	if c.isServer() && s.ruleChanges() != ruled {
		c.tellPolicy() // the same
	}
}

// adopt gives the connection the bounds of its role.
func (c *session) adopt() {
	o := &c.room.opts
	l := frameconn.Limits{MaxFrame: wire.MaxFrame, MaxMessage: o.MaxMessage, Queue: o.CallerQueue, PauseReading: true}
	if c.isServer() {
		// A server's answers are never waited with.
		l.Queue, l.PauseReading = o.ServerQueue, false
	}
	if c.login.GetLifetime() == pb.Lifetime_LIFETIME_LONG {
		l.Heartbeat, l.Dead = o.Heartbeat, o.Dead
	}
	c.entrance.Open()
	c.conn.Adopt(l)
}
