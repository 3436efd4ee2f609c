package caller

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// respond takes an answer. For the session's reader.
func (c *Client) respond(s *Session, f *wire.Frame) error {
	if f.Status > wire.MaxCode {
		return breach("RESPONSE has status %d, must be at most %d", f.Status, wire.MaxCode)
	}
	cl := c.take(s, f.CallID)
	if cl == nil {
		c.stats.late.Add(1)
		return nil
	}
	cl.rpcID = f.RPCID
	success := f.Status.Class() == wire.Success
	var h *pb.ResponseHeader // most answers have none, and need none
	if !success || len(f.Header) > 0 || cl.settings.receipt != nil {
		h = readHeader(f.Header)
		cl.contentType = h.GetContentType()
	}
	if cl.settings.receipt != nil {
		*cl.settings.receipt = receiptOf(f.Status, h, f.RPCID)
	}
	if success {
		cl.answer = append(cl.answer[:0], f.Body...)
		cl.end(nil)
		return nil
	}
	err := errorOf(f, h)
	if err.Fallback != nil {
		err.FallbackType = cmp.Or(h.GetContentType(), cl.asked)
	}
	if c.reroute(cl, s, err) {
		return nil
	}
	cl.end(err)
	return nil
}

// readHeader decodes an answer's header. What is broken leaves the code standing, which is in the prefix.
func readHeader(b []byte) *pb.ResponseHeader {
	h := &pb.ResponseHeader{}
	if err := proto.Unmarshal(b, h); err != nil {
		return &pb.ResponseHeader{Message: "the answer's header is broken: " + err.Error()}
	}
	return h
}

// errorOf returns what an answer says that is no success.
func errorOf(f *wire.Frame, h *pb.ResponseHeader) *Error {
	e := &Error{
		Class: f.Status.Class(), Code: Code(f.Status), Message: h.GetMessage(), AppCode: h.GetAppCode(),
		RPCID: f.RPCID, Node: h.GetNode(), RuleID: h.GetRuleId(), RuleVersion: h.GetRuleVersion(),
		Attempts: int(h.GetAttempts()), Try: h.GetTry(),
		RetryAfter: time.Duration(h.GetRetryAfterMs()) * time.Millisecond,
	}
	if d := h.GetDetails(); len(d) > 0 {
		e.Details = make(map[string]string, len(d))
		for _, entry := range d {
			e.Details[entry.GetKey()] = entry.GetValue()
		}
	}
	for _, r := range h.GetUnknown() {
		e.Unknown = append(e.Unknown, receiverOf(r))
	}
	if f.Status == wire.Degraded && len(f.Body) > 0 {
		e.Fallback = append([]byte(nil), f.Body...)
	}
	return e
}

// Bounds of what the SDK does by itself with a call that did not run, or may run twice.
const (
	maxReroutes = 2
	maxResends  = 2
)

// reroute sends a call another time that nobody has started, where that may help. It reports whether it does.
func (c *Client) reroute(cl *call, s *Session, err *Error) bool {
	if err.Class != NotExecuted || cl.reroutes == maxReroutes || c.clock.Now() >= cl.deadline {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.refusal != nil || cl.cancelled.Load() {
		return false
	}
	switch {
	case err.Code == CodeStaleRoute:
	case err.Code == CodeDraining && err.Node != s.node: // the instance drains
	case err.Code == CodeDraining:
		if !c.elsewhereLocked(cl, s) {
			return false
		}
	case err.Code == CodeNoRoute:
		switch c.routeLocked(cl, s, err.Try) {
		case routeNone:
			return false
		case routeLater:
			c.parkLocked(cl, err)
			return true
		case routeNow:
		}
	default:
		return false
	}
	c.againLocked(cl)
	return true
}

// againLocked has a call wait that is sent another time.
func (c *Client) againLocked(cl *call) {
	cl.reroutes++
	cl.id = 0
	c.stats.rerouted.Add(1)
	c.waitLocked(cl)
	c.kickLocked()
}

// lost decides about the calls of a session that has ended: nobody adds to them any more.
func (c *Client) lost(s *Session, cause error) {
	c.mu.Lock()
	s.leaving = true
	c.unusableLocked(s)
	c.sessions = slices.DeleteFunc(c.sessions, func(other *Session) bool { return other == s })
	c.addresses.rememberLocked(s.told)
	s.told = nil
	c.mu.Unlock()
	s.sending.Wait()
	unsent := map[uint64]bool{}
	s.conn.EachUnsent(func(id uint64) { unsent[id] = true })

	type ended struct {
		call *call
		err  *Error
	}
	var ends []ended
	c.mu.Lock()
	for i := range c.table.slots {
		cl := c.table.slots[i].call
		if cl == nil || cl.session != s {
			continue
		}
		c.takeLocked(s, cl.id)
		if err := c.afterLossLocked(cl, unsent[cl.id], cause); err != nil {
			ends = append(ends, ended{cl, err})
			continue
		}
		cl.id = 0
		c.waitLocked(cl)
	}
	c.kickLocked()
	c.mu.Unlock()
	for _, e := range ends {
		e.call.end(e.err)
	}
	if c.opts.Server != nil {
		c.opts.Server.Lost(s)
	}
}

// afterLossLocked returns how a call ends whose session is lost, or nil if it is to be sent again.
func (c *Client) afterLossLocked(cl *call, unsent bool, cause error) *Error {
	if unsent {
		cl.attempts--
		switch {
		case cl.cancelled.Load():
			return cl.spent()
		case c.closed:
			return closedError()
		case c.refusal != nil:
			return c.refusal.again()
		}
		return nil
	}
	switch {
	case cl.cancelled.Load():
		return cl.lateEnd()
	case c.closed:
		return fail(CodeConnectionLost, "").because(ErrClosed)
	}
	mayResend := cl.options&wire.Idempotent != 0 && cl.resends < maxResends &&
		(cl.settings.maxAttempts == 0 || cl.attempts < cl.settings.maxAttempts)
	if !mayResend || c.clock.Now() >= cl.deadline || c.refusal != nil {
		return fail(CodeConnectionLost, "the connection to %s was lost before the answer", cl.session.describe()).because(cause)
	}
	cl.unsure = callName{cl.session.id, cl.id}
	cl.resends++
	c.stats.resent.Add(1)
	return nil
}

// takenBack ends a request that the writer found spent in the queue: it was not sent.
func (c *Client) takenBack(s *Session, id uint64) {
	if cl := c.take(s, id); cl != nil {
		cl.attempts--
		cl.end(cl.spent())
	}
}

// breach ends a connection.
func breach(format string, args ...any) error {
	return &wire.Error{Code: wire.BadRequest, Reason: fail(CodeBadRequest, format, args...).Message}
}
