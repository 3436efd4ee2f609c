package caller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

var errNoWelcome = errors.New("caller: the node did not answer the login in time")

// connect dials an address and logs in. more says that there are other addresses to try.
func (p *path) connect(ctx context.Context, address string, more bool) (*Session, error) {
	p.set(StateConnecting, address, nil, nil)
	nc, err := p.client.dial(ctx, address, more)
	if err != nil {
		return nil, err
	}
	p.set(StateLoggingIn, address, nil, nil)
	return p.enter(ctx, nc, address, more)
}

// dial opens a connection to an address.
func (c *Client) dial(ctx context.Context, address string, more bool) (net.Conn, error) {
	patience := dialTimeout
	if more {
		patience = dialQuickly
	}
	dialing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.opts.Dial(dialing, address)
}

// enter logs in on a connection. On success the session's reader runs, and so it does on failure until the session has ended,
// which enter waits for.
func (p *path) enter(ctx context.Context, nc net.Conn, address string, more bool) (*Session, error) {
	c := p.client
	s := newSession(p, address)
	options := frameconn.Options{
		MaxFrame: wire.MaxFrame + wire.NodeExtra, MaxMessage: wire.MaxMessage + wire.NodeExtra,
		Queue: c.opts.Queue, Clock: c.clock,
	}
	if c.opts.Login.GetLifetime() == pb.Lifetime_LIFETIME_LONG {
		options.Heartbeat, options.Dead = pingAfter, deadAfter
	}
	if c.opts.Server != nil {
		options.Stalled = deadAfter
	}
	frameconn.TuneTCP(nc)
	s.conn = frameconn.New(nc, options)
	login, err := s.login()
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	s.control(wire.KindLogin, login)
	c.add(s)
	go s.run()
	patience := loginTimeout
	if more {
		patience = loginQuickly
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.welcomed:
		return s, nil
	case <-s.ended:
	case <-timer.C:
		s.conn.Close(errNoWelcome)
	case <-ctx.Done():
		s.conn.Close(ErrClosed)
	}
	<-s.ended
	if s.refused != nil {
		return nil, s.refused
	}
	return nil, s.conn.Cause()
}

// login makes the LOGIN frame's header. Methods that do not fit are reported after WELCOME.
func (s *Session) login() (*pb.Login, error) {
	c := s.client
	login := proto.CloneOf(c.opts.Login)
	c.reporting.Lock()
	login.Methods, s.reported = c.methods, c.methodsVersion
	c.reporting.Unlock()
	c.mu.Lock()
	login.Stamp = c.stamp
	c.mu.Unlock()
	if c.opts.Secret != "" {
		proof, err := scram.NewClient(login.GetModule(), c.opts.Secret, nil)
		if err != nil {
			return nil, err
		}
		s.proof = proof
		if login.ScramClientFirst, err = proof.First(); err != nil {
			return nil, err
		}
	}
	if len(wire.Preface)+wire.PrefixSize+proto.Size(login) > wire.LoginLimit-proofReserve {
		login.Methods, s.reported = nil, 0
	}
	return login, nil
}

// proofReserve is room for PROOF in what a node reads before WELCOME.
const proofReserve = wire.PrefixSize + 256

// handshake takes what comes before WELCOME, and WELCOME.
func (s *Session) handshake(f *wire.Frame) error {
	switch f.Kind {
	case wire.KindChallenge:
		var challenge pb.Challenge
		if err := proto.Unmarshal(f.Header, &challenge); err != nil {
			return breach("CHALLENGE: %v", err)
		}
		if s.proof == nil || s.proved {
			return errors.New("caller: the node asks for a secret, and none is set")
		}
		final, err := s.proof.Final(challenge.GetScramServerFirst())
		if err != nil {
			return err
		}
		s.proved = true
		s.control(wire.KindProof, &pb.Proof{ScramClientFinal: final})
		return nil
	case wire.KindRefuse:
		var refuse pb.Refuse
		if err := proto.Unmarshal(f.Header, &refuse); err != nil {
			return breach("REFUSE: %v", err)
		}
		return s.refuse(&refuse)
	case wire.KindWelcome:
		var welcome pb.Welcome
		if err := proto.Unmarshal(f.Header, &welcome); err != nil {
			return breach("WELCOME: %v", err)
		}
		return s.welcome(&welcome)
	}
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	return breach("%s came before WELCOME", f.Kind)
}

// refuse notes why the node does not let the module in.
func (s *Session) refuse(r *pb.Refuse) error {
	s.refused = &Error{
		Class: NotExecuted, Code: Code(r.GetCode()), Message: "login refused" + separated(r.GetMessage()),
		RetryAfter: time.Duration(r.GetRetryAfterMs()) * time.Millisecond,
	}
	for _, node := range r.GetTry() {
		s.refused.Try = append(s.refused.Try, node.GetName())
	}
	s.client.prefer(s, r.GetTry())
	return s.refused
}

// welcome opens the session, if the node has proved that it knows the secret, too.
func (s *Session) welcome(w *pb.Welcome) error {
	if s.proof != nil {
		if !s.proved {
			return scram.ErrServer
		}
		if err := s.proof.Verify(w.GetScramServerFinal()); err != nil {
			return err
		}
		s.proof = nil
	}
	if w.GetVersion() != wire.Version {
		return breach("WELCOME is for version %d, %d is spoken here", w.GetVersion(), wire.Version)
	}
	s.id, s.node, s.mesh = w.GetSession(), w.GetNode(), w.GetMesh()
	s.limits = limitsOf(w.GetLimits())
	c := s.client
	c.learn(s, w.GetNodes())
	if !c.admit(s, w.GetStamp()) {
		return errLeft
	}
	if c.opts.Server != nil {
		c.report(s)
	}
	return nil
}

// admit opens a session, unless none is wanted any more.
func (c *Client) admit(s *Session, stamp *pb.Stamp) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.stopping {
		return false
	}
	if c.stamp == nil {
		c.stamp = stamp
	}
	if c.opts.Server == nil {
		c.governed = true
	}
	c.logins++
	s.order = c.logins
	c.newest[s.node] = s.order
	c.addresses.reachedLocked(s.address, s.node)
	if s.path.aim == s.address { // not beside the path's session
		s.path.node = s.node
	}
	c.changedLocked()
	close(s.welcomed)
	return true
}

// noteGoverned notes that what a server must enforce is in force on a session, so that its node registers it.
func (c *Client) noteGoverned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.governed {
		c.governed = true
		c.changedLocked()
	}
}

// limitsOf fills in what a node left out.
func limitsOf(l *pb.Limits) *pb.Limits {
	if l == nil {
		l = &pb.Limits{}
	}
	if l.GetMaxMessage() == 0 {
		l.MaxMessage = wire.MaxMessage
	}
	if l.GetMaxInFlight() == 0 {
		l.MaxInFlight = 1024
	}
	return l
}

// SetMethods replaces what a server offers, unless a greater version is known. Open sessions are told.
func (c *Client) SetMethods(methods []*pb.Method, version uint64) error {
	if err := wire.CheckMethods(methods); err != nil {
		return fmt.Errorf("caller: %w", err)
	}
	c.reporting.Lock()
	if version > c.methodsVersion {
		c.methods, c.methodsVersion = methods, version
	}
	c.reporting.Unlock()
	for _, s := range c.sessionsNow() {
		select {
		case <-s.welcomed:
			c.report(s)
		default: // WELCOME will
		}
	}
	return nil
}

// report tells a session's node the methods, unless it knows them. reporting is held over the queueing, so that reports
// stay in order.
func (c *Client) report(s *Session) {
	c.reporting.Lock()
	wake := false
	if s.reported != c.methodsVersion {
		s.reported = c.methodsVersion
		wake = s.queue(wire.KindMethods, &pb.Methods{Methods: c.methods})
	}
	c.reporting.Unlock()
	if wake {
		s.conn.Flush()
	}
}
