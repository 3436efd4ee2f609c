package caller

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Session is one connection to a node, from the dial to its end.
type Session struct {
	// Static after construction.
	client  *Client
	path    *path
	conn    *frameconn.Conn
	address string

	// Written by the reader before welcomed is closed, constant afterwards.
	id     uint64
	node   string
	mesh   string
	limits *pb.Limits

	// Owned by the reader.
	proof   *scram.Client // while the login is under way, with a secret
	proved  bool          // PROOF was sent
	refused *Error        // the node's REFUSE

	// Guarded by Client.reporting.
	reported uint64 // the version of the methods that the node was told

	// Guarded by Client.mu.
	usable     bool // new calls may use it
	leaving    bool // no new calls: a GOAWAY came, a call asked for another node, or it ended
	inFlight   int
	goaway     *Error // why it is left
	superseded bool   // the GOAWAY came because of a newer session of this client with the same node
	order      uint64 // of its WELCOME among the client's
	told       []way  // what its node says about the mesh

	parted   atomic.Bool    // the node was asked for no new requests
	sending  sync.WaitGroup // Sends under way; added to under Client.mu while the session is usable
	serving  atomic.Int64   // requests being worked on
	asked    atomic.Int64   // when the last request came, on the client's clock
	idle     chan struct{}  // one slot: calls or requests may have come to an end
	welcomed chan struct{}  // closed by WELCOME
	left     chan struct{}  // closed when leaving is set by a GOAWAY, or by a call
	ended    chan struct{}  // closed when everything of it is settled
}

func newSession(p *path, address string) *Session {
	return &Session{
		client: p.client, path: p, address: address,
		idle: make(chan struct{}, 1), welcomed: make(chan struct{}), left: make(chan struct{}), ended: make(chan struct{}),
	}
}

// run is the reader.
func (s *Session) run() {
	defer func() { // also when a handler of the server ends this goroutine
		if p := recover(); p != nil {
			panic(p) // nobody knows what is left locked
		}
		s.client.lost(s, s.conn.Cause())
		close(s.ended)
	}()
	_ = s.conn.Run(s) // its error is the cause
}

// Frame takes one message.
func (s *Session) Frame(f *wire.Frame) error {
	if !s.open() {
		return s.handshake(f)
	}
	switch f.Kind {
	case wire.KindResponse:
		return s.client.respond(s, f)
	case wire.KindGoaway:
		var g pb.Goaway
		if err := proto.Unmarshal(f.Header, &g); err != nil {
			return breach("GOAWAY: %v", err)
		}
		s.client.leave(s, &g)
		return nil
	case wire.KindNodes:
		var n pb.Nodes
		if err := proto.Unmarshal(f.Header, &n); err != nil {
			return breach("NODES: %v", err)
		}
		s.client.learn(s, n.GetNodes())
		return nil
	case wire.KindRequest, wire.KindCancel, wire.KindPolicy, wire.KindLease:
		if s.client.opts.Server == nil {
			return breach("%s came to a caller", f.Kind)
		}
		return s.serve(f)
	}
	if f.Kind >= wire.KindSkippable {
		return nil
	}
	return breach("%s does not go to a module that is logged in", f.Kind)
}

// serve hands on what is for a server.
func (s *Session) serve(f *wire.Frame) error {
	server := s.client.opts.Server
	switch f.Kind {
	case wire.KindRequest:
		s.asked.Store(int64(s.conn.Now()))
		server.Request(s, f)
	case wire.KindCancel:
		server.Cancel(s, f.CallID, f.Status)
	case wire.KindPolicy:
		p, err := wire.ReadPolicy(f)
		if err != nil {
			return err
		}
		if err := server.Policy(s, p); err != nil {
			return err
		}
		s.control(wire.KindPolicyOK, &pb.PolicyOk{Epoch: p.GetEpoch(), Version: p.GetVersion()})
		s.client.noteGoverned()
	}
	return nil
}

// open reports whether the login is done. For the reader.
func (s *Session) open() bool {
	select {
	case <-s.welcomed:
		return true
	default:
		return false
	}
}

// BatchEnd hands over to the server.
func (s *Session) BatchEnd() {
	if s.client.opts.Server != nil && s.open() {
		s.client.opts.Server.BatchEnd(s)
	}
}

// Spent ends a call whose request the writer took back.
func (s *Session) Spent(callID uint64) { s.client.takenBack(s, callID) }

// Farewell tells the node what it did wrong.
func (s *Session) Farewell(cause *wire.Error) wire.Frame {
	header, _ := proto.Marshal(&pb.Goaway{Code: uint32(cause.Code), Message: cause.Reason})
	return wire.Frame{Kind: wire.KindGoaway, Header: header}
}

// control sends a control frame.
func (s *Session) control(kind wire.Kind, m proto.Message) {
	if s.queue(kind, m) {
		s.conn.Flush()
	}
}

// queue queues a control frame, and reports whether the caller is to flush. When the connection does not take it, it is ending.
func (s *Session) queue(kind wire.Kind, m proto.Message) (wake bool) {
	header, err := proto.Marshal(m)
	if err != nil {
		s.conn.Close(fmt.Errorf("caller: encode %s: %w", kind, err))
		return false
	}
	f := wire.Frame{Kind: kind, Header: header}
	wake, err = s.conn.Send(frameconn.Control, &f, false)
	if errors.Is(err, frameconn.ErrFull) {
		s.conn.Close(frameconn.ErrSlow)
	}
	return wake
}

// fits reports what the node would say to the call's size.
func (s *Session) fits(cl *call) *Error {
	if n, limit := len(cl.head)+cl.reserve()+len(cl.body), s.MaxMessage(); n > limit {
		return fail(CodeTooLarge, "the call has %d bytes, the node takes %d", n, limit)
	}
	return nil
}

func (s *Session) maxInFlight() int { return int(s.limits.GetMaxInFlight()) }

// signalIdle wakes who waits for the session's last call or request.
func (s *Session) signalIdle() {
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

// busy reports whether calls or requests are under way.
func (s *Session) busy() bool {
	if s.serving.Load() > 0 {
		return true
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.inFlight > 0
}

func (s *Session) connection() Connection {
	return Connection{Address: s.address, Node: s.node, Mesh: s.mesh, Session: s.id}
}

func (s *Session) describe() string {
	if s.node == "" {
		return s.address
	}
	return "node " + s.node + " at " + s.address
}

// String names the session for logs.
func (s *Session) String() string { return "session(" + s.describe() + ")" }
