package caller

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// leave takes a session out of use for new calls: a GOAWAY came.
func (c *Client) leave(s *Session, g *pb.Goaway) {
	c.prefer(s, g.GetTry())
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.leaving {
		return
	}
	if s.superseded = Code(g.GetCode()) == CodeReplaced && c.twiceLocked(s); s.superseded && c.newest[s.node] == s.order {
		delete(c.newest, s.node) // the node has kept an older one
	}
	s.goaway = &Error{
		Class: Code(g.GetCode()).Class(), Code: Code(g.GetCode()), Node: s.node,
		Message:    "the node closes the session" + separated(g.GetMessage()),
		RetryAfter: time.Duration(g.GetRetryAfterMs()) * time.Millisecond,
	}
	c.leaveLocked(s)
}

// twiceLocked reports whether this client has logged in to the node of s a second time, by an address that it did not know to
// be the same node's: a node drops one of two sessions of a process, too. Where another process has the name as well, the next
// login says so.
func (c *Client) twiceLocked(s *Session) bool {
	return c.newest[s.node] > s.order || slices.ContainsFunc(c.sessions, func(other *Session) bool {
		return other != s && other.order > 0 && other.node == s.node && !other.leaving
	})
}

func (c *Client) leaveLocked(s *Session) {
	s.leaving = true
	c.unusableLocked(s)
	close(s.left)
}

func (c *Client) unusableLocked(s *Session) {
	s.usable = false
	c.usable = slices.DeleteFunc(c.usable, func(u *Session) bool { return u == s })
}

// quietTime is how long after its GOAWAY, and after the last request, a server waits for requests that were on their way.
const quietTime = 100 * time.Millisecond

var errLeft = errors.New("caller: moved to another node")

// retire closes a session once it is not used any more. A server's is used until its successor is open and the node
// has heard that it is to send nothing more.
func (s *Session) retire(ctx context.Context, successor <-chan struct{}) {
	defer s.client.running.Done()
	defer s.tellEnd()
	words, why := s.client.whyLeft()
	if s.client.opts.Server != nil {
		select {
		case <-successor:
			if s.lasts(ctx, spreadTime) {
				s.goodbye(words)
			}
		case <-ctx.Done():
		case <-s.ended:
		}
	}
	s.waitIdle(ctx, s.busy)
	s.conn.Shutdown(why)
	<-s.ended
}

// whyLeft returns why a session is retired now if its node did not ask for that, and what the node is told about it.
func (c *Client) whyLeft() (words string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replacement != nil {
		return "replaced by another process", c.replacement
	}
	return "moved to another node", errLeft
}

// spreadTime is how long a server is still called over a session whose successor is open: until all nodes have heard of that
// one, there may be no other way.
const spreadTime = 500 * time.Millisecond

// lasts waits. It reports false when the session ended meanwhile, or the client is to.
func (s *Session) lasts(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ended:
	}
	return false
}

// goodbye asks the node for no new requests, once.
func (s *Session) goodbye(why string) {
	if s.parted.Swap(true) {
		return
	}
	s.control(wire.KindGoaway, &pb.Goaway{Code: uint32(wire.Draining), Message: why})
	s.asked.Store(int64(s.client.clock.Now()))
}

// waitIdle waits until busy is false and, at a server, no request has come for quietTime.
func (s *Session) waitIdle(ctx context.Context, busy func() bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.idle:
		case <-timer.C:
		case <-ctx.Done():
			return
		case <-s.ended:
			return
		}
		if busy() {
			continue
		}
		quiet := time.Duration(s.asked.Load()) + quietTime - s.client.clock.Now()
		if s.client.opts.Server == nil || quiet <= 0 {
			return
		}
		timer.Reset(quiet)
	}
}

// close ends a session whose client is closed, after what is queued has been written.
func (s *Session) close() {
	s.conn.Shutdown(ErrClosed)
	<-s.ended
	s.tellEnd()
}

// tellEnd tells log and hook that a session ended.
func (s *Session) tellEnd() {
	o := &s.client.opts
	o.Logger.Info("session closed", "node", s.node, "address", s.address, "session", s.id, "cause", s.cause())
	if o.OnDisconnect != nil {
		o.OnDisconnect(s.connection(), s.cause())
	}
}

// cause returns why the session ended or is left, or nil.
func (s *Session) cause() error {
	s.client.mu.Lock()
	goaway := s.goaway
	s.client.mu.Unlock()
	if goaway != nil {
		return goaway
	}
	return s.conn.Cause()
}

func (s *Session) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}
