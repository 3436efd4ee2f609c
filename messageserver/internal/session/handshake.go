package session

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// refusal ends a handshake: the frame that says so has been queued.
type refusal struct {
	code   wire.Code
	reason string
}

func (r *refusal) Error() string { return "refused " + r.code.String() + ": " + r.reason }

// refuse ends the handshake with REFUSE.
func (c *session) refuse(code wire.Code, reason string, retryAfterMS uint32) error {
	err := &refusal{code, reason}
	c.send(controlFrame(wire.KindRefuse, &pb.Refuse{Code: uint32(code), Message: reason, RetryAfterMs: retryAfterMS, Try: c.room.opts.Nodes()}))
	c.conn.Shutdown(err)
	return err
}

// send queues a control frame and wakes the writer with the batch.
func (c *session) send(f wire.Frame) {
	if wake, err := c.conn.Send(frameconn.Control, &f, false); err == nil && wake {
		c.batch.Wake(c.conn)
	}
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
	version, err := wire.NegotiateVersion(login.VersionMin, login.VersionMax)
	if err != nil {
		return err
	}
	s := c.room
	s.mu.Lock()
	draining, admitted := s.draining, s.logins.take(c.conn.Now())
	s.mu.Unlock()
	switch {
	case draining:
		return c.refuse(wire.Draining, "the node is draining", 0)
	case !admitted:
		return c.refuse(wire.Overloaded, "too many logins at once", 1000+rand.Uint32N(9000))
	}
	if s.directory == nil {
		return c.welcome(login, version, nil)
	}
	c.exchange, err = scram.NewServer(s.directory, keyName(login.KeyId), nil)
	if err != nil {
		return c.refuse(wire.Unauthenticated, "the node cannot check secrets", 0)
	}
	challenge, err := c.exchange.First(login.ScramClientFirst)
	if err != nil {
		return c.refuse(wire.Unauthenticated, "this node asks for a secret: "+err.Error(), 0)
	}
	if c.exchange.User() != login.Module {
		return c.refuse(wire.Unauthenticated, "the secret's user is another module", 0)
	}
	c.candidate, c.version = login, version
	c.setState(stateProof)
	c.send(controlFrame(wire.KindChallenge, &pb.Challenge{ScramServerFirst: challenge}))
	return nil
}

// takeProof ends the exchange that takeLogin began.
func (c *session) takeProof(f *wire.Frame) error {
	proof := &pb.Proof{}
	if err := readControl(f, proof); err != nil {
		return err
	}
	final, err := c.exchange.Final(proof.ScramClientFinal)
	if err != nil {
		return c.refuse(wire.Unauthenticated, "unknown module, or wrong secret", 0)
	}
	return c.welcome(c.candidate, c.version, final)
}

// welcome opens the session.
func (c *session) welcome(login *pb.Login, version uint32, serverFinal []byte) error {
	s := c.room
	o := &s.opts
	c.giveUp.Stop()
	c.endLogin()
	c.exchange, c.candidate = nil, nil
	c.number = o.NextID()
	c.caller = o.Router.OpenCaller(login.Module)
	ip := "unix"
	if c.addr.IsValid() {
		ip = c.addr.String()
	}
	c.stamp = wire.AppendInvoker(nil, login.Module, login.Instance, ip, o.Node, c.number)
	c.mu.Lock()
	c.login = login
	c.state = stateOpen
	c.mu.Unlock()
	c.adopt()
	welcome := &pb.Welcome{
		Version: version, ScramServerFinal: serverFinal, Node: o.Node, Mesh: o.Mesh, Session: c.number,
		Stamp: s.stamp(login.Stamp),
		Limits: &pb.Limits{
			MaxFrame: wire.MaxFrame, MaxMessage: uint32(o.MaxMessage), MaxInFlight: uint32(o.MaxInFlight), MaxHeader: wire.MaxHeader,
		},
		HeartbeatMs: uint32(o.Heartbeat.Milliseconds()), DeadMs: uint32(o.Dead.Milliseconds()), Nodes: o.Nodes(),
	}
	c.send(controlFrame(wire.KindWelcome, welcome))
	s.counters.Opened.Add(1)
	s.log("session opened", "", "session", c.String(), "role", roleNames[login.Role], "remote", c.remote(), "sdk", login.Sdk)
	if c.isServer() {
		c.methods = contracts(login.Methods)
		c.send(controlFrame(wire.KindPolicy, &pb.Policy{}))
	}
	return nil
}

// adopt gives the connection the bounds of its role.
func (c *session) adopt() {
	o := &c.room.opts
	l := frameconn.Limits{MaxFrame: wire.MaxFrame, MaxMessage: o.MaxMessage, Queue: o.CallerQueue, PauseReading: true}
	if c.login.Role != pb.Role_ROLE_CALLER {
		// A server's answers are never waited with.
		l.Queue, l.PauseReading = o.ServerQueue, false
	}
	if c.login.Lifetime == pb.Lifetime_LIFETIME_LONG {
		l.Heartbeat, l.Dead = o.Heartbeat, o.Dead
	}
	c.conn.Adopt(l)
}

// takePolicyOK registers a server: what must be enforced next to its handlers is in force.
func (c *session) takePolicyOK(f *wire.Frame) error {
	ok := &pb.PolicyOk{}
	if err := readControl(f, ok); err != nil {
		return err
	}
	c.policyOK = true
	c.register()
	return nil
}

// takeMethods replaces the methods of a server.
func (c *session) takeMethods(f *wire.Frame) error {
	m := &pb.Methods{}
	if err := readControl(f, m); err != nil {
		return err
	}
	if err := wire.CheckMethods(m.Methods); err != nil {
		return err
	}
	c.methods = contracts(m.Methods)
	if c.registered {
		c.room.opts.Router.Update(c.login.Module, c, c.methods)
		return nil
	}
	c.register()
	return nil
}

// register adds the instance to the registry, once policy and methods stand.
func (c *session) register() {
	if c.registered || !c.policyOK || len(c.methods) == 0 || c.currentState() != stateOpen {
		return
	}
	c.registered = true
	c.room.opts.Router.Register(router.Registration{
		Module: c.login.Module, Instance: c.login.Instance, UUID: c.login.InstanceUuid, Group: c.login.Group,
		Weight: c.login.Weight, Zone: c.login.Zone, AppVersion: c.login.AppVersion, Needs: c.login.Needs,
		Methods: c.methods,
		Path:    router.Path{Target: c, Session: c.number, Node: c.room.opts.Node, Remote: c.remote()},
	}, c.conn.Now())
}

func contracts(methods []*pb.Method) map[string]router.Contract {
	all := make(map[string]router.Contract, len(methods))
	for _, m := range methods {
		all[m.Name] = router.Contract{
			Idempotent: m.Idempotent, Reachable: m.Reachable, RunLate: m.RunLate, DefaultTimeoutMS: m.DefaultTimeoutMs,
			Visibility: strings.ToLower(strings.TrimPrefix(m.Visibility.String(), "VISIBILITY_")),
		}
	}
	return all
}

// goawayDraining tells a module that the node stops.
var goawayDraining = &pb.Goaway{Code: uint32(wire.Draining), Message: "the node is draining"}

// leave sends a GOAWAY: new requests are answered DRAINING, what is in flight goes on, and the module closes. It may be
// called from any goroutine.
func (c *session) leave(why *pb.Goaway) {
	c.mu.Lock()
	open := c.state == stateOpen
	if open {
		c.state = stateLeaving
	}
	c.mu.Unlock()
	if !open {
		return
	}
	goaway := &pb.Goaway{Code: why.Code, Message: why.Message, Try: c.room.opts.Nodes()}
	f := controlFrame(wire.KindGoaway, goaway)
	if wake, err := c.conn.Send(frameconn.Control, &f, false); err == nil && wake {
		c.conn.Flush()
	}
	c.room.opts.Router.Drain(c.login.Module, c)
}

// Replace implements router.Target.
func (c *session) Replace() {
	c.room.log("session replaced", "another process has its name", "session", c.String())
	c.leave(&pb.Goaway{Code: uint32(wire.Replaced), Message: fmt.Sprintf("another process logged in as %s/%s", c.login.Module, c.login.Instance)})
}

// takeGoaway ends a server's new requests.
func (c *session) takeGoaway(f *wire.Frame) error {
	if err := readControl(f, &pb.Goaway{}); err != nil {
		return err
	}
	c.setState(stateLeaving)
	if c.isServer() {
		c.room.opts.Router.Drain(c.login.Module, c)
	}
	return nil
}
