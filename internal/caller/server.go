package caller

import (
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Server takes what nodes send to a server. Its methods are called by a session's reader and must not block; frames are
// valid during the call only.
type Server interface {
	// Request takes one request. Whoever takes it on calls Session.Begin now and Session.End when it is through.
	Request(s *Session, f *wire.Frame)
	// Cancel says that a request is not wanted any more.
	Cancel(s *Session, callID uint64, why wire.Code)
	// Policy replaces what must be enforced, if it is newer; the newest is in force when Policy returns. An error says that it is
	// broken, and ends the session.
	Policy(s *Session, p *pb.Policy) error
	// BatchEnd says that everything that has been read was handed over.
	BatchEnd(s *Session)
	// Lost says that a session ended: what was not started from it must not be.
	Lost(s *Session)
}

// Arrived returns the moment from which on the message may have been waiting (frameconn.Conn.Arrived). For Server.Request.
func (s *Session) Arrived() time.Duration { return s.conn.Arrived() }

// Begin notes a request that is being worked on, so that a session that is left is not closed under it.
func (s *Session) Begin() { s.serving.Add(1) }

// End notes that a request is through.
func (s *Session) End() {
	if s.serving.Add(-1) == 0 {
		s.signalIdle()
	}
}

// Answer queues a response. The error is frameconn.ErrFull, or the cause of the session's end.
func (s *Session) Answer(f *wire.Frame) error {
	wake, err := s.conn.Send(frameconn.Answers, f, false)
	if wake {
		s.conn.FlushSoon()
	}
	return err
}

// MaxMessage returns how many bytes header and body of a message to the node may have.
func (s *Session) MaxMessage() int { return int(s.limits.GetMaxMessage()) }

// Open reports whether the session still carries answers.
func (s *Session) Open() bool {
	select {
	case <-s.conn.Done():
		return false
	default:
		return true
	}
}
