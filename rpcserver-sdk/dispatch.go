package rpcserver

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// dispatcher takes what nodes send, on the readers' goroutines. It keeps these methods out of Server's.
type dispatcher struct{ *Server }

// overloadedRetry is how long a refused caller is asked to wait, in milliseconds.
const overloadedRetry = 100

// Request takes one request.
func (d dispatcher) Request(session *caller.Session, f *wire.Frame) {
	s := d.Server
	s.stats.requests.Add(1)
	var h wire.Request
	if err := h.Walk(f.Header, wire.ByNode); err != nil {
		s.reject(session, f, wire.BadRequest, err.Error())
		return
	}
	m := (*s.methods.Load())[string(h.Method)]
	if m == nil {
		switch string(h.Method) {
		case methodPing:
			s.pong(session, f)
			return
		case methodCounts:
			s.reportCounts(session, f)
			return
		}
		s.reject(session, f, wire.Unimplemented, "the module has no such method")
		return
	}
	t := s.newTask(session, f, &h, m)
	session.Begin()
	if m.inline {
		s.inline(t, f.Body)
		return
	}
	t.keepBody(f.Body)
	if room, stopped := s.queue.push(t); !room {
		r := refusal{code: wire.Overloaded, message: "too many requests wait for a handler", retryAfter: overloadedRetry * time.Millisecond}
		if stopped {
			r = refusal{code: wire.Draining, message: "the server stops"}
		}
		s.turnDown(t, nil, &r)
		t.free()
		session.End()
	}
}

// newTask makes the task of a request. The time that the request has been waiting counts.
func (s *Server) newTask(session *caller.Session, f *wire.Frame, h *wire.Request, m *method) *task {
	arrived := session.Arrived()
	t := &task{
		session: session, callID: f.CallID, method: m, queued: arrived, oneWay: f.Flags&wire.FlagOneWay != 0,
		late: h.Stamp.Late.Runs(h.Options&wire.RunLate != 0 || m.contract.GetRunLate()),
	}
	if m.serial {
		t.key = string(h.HashKey)
	}
	t.asked = Request{
		Method: m.name, ContentType: contentType(h.ContentType), header: append(t.room[:0], f.Header...),
		rpcID: f.RPCID, attempt: f.Attempt, flags: f.Flags,
	}
	budget := time.Duration(f.BudgetMS) * time.Millisecond
	switch f.BudgetMS {
	case 1: // 1 also means spent
		budget = 0
	case 0:
		budget = defaultBudget(m)
	}
	t.due = max(arrived+budget, 1)
	t.asked.deadline = s.epoch.Add(t.due)
	t.request, t.deadline = &t.asked, t.asked.deadline
	t.facts = factsOf(f.Header, h)
	return t
}

// defaultBudget is what calls have that bring none. Nodes fill it in; this is for those that do not.
func defaultBudget(m *method) time.Duration {
	if ms := m.contract.GetDefaultTimeoutMs(); ms != 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return 10 * time.Second
}

// contentType returns a content type as a string, without a copy for those that are usual.
func contentType(b []byte) string {
	switch string(b) {
	case "":
		return ""
	case caller.TypeProtobuf:
		return caller.TypeProtobuf
	case caller.TypeJSON:
		return caller.TypeJSON
	}
	return string(b)
}

// inline runs a handler on the reader.
func (s *Server) inline(t *task, body []byte) {
	defer t.session.End()
	t.asked.Body = body
	if s.admit(t) {
		s.handle(t)
	}
}

// reject answers a request that never becomes a task.
func (s *Server) reject(session *caller.Session, f *wire.Frame, code wire.Code, message string) {
	t := task{session: session, callID: f.CallID, oneWay: f.Flags&wire.FlagOneWay != 0}
	s.stats.rejected.Add(1)
	s.refuse(&t, code, message)
}

// methodPing is answered past the queue: it asks whether the reader lives and how much is to do.
const methodPing = "_ping"

func (s *Server) pong(session *caller.Session, f *wire.Frame) {
	now := s.client.Clock().Now()
	_, running, oldest := s.queue.load(now)
	delay := max(now-session.Arrived(), oldest)
	body, err := proto.Marshal(&pb.PingReport{QueueDelayUs: uint32(delay.Microseconds()), Running: uint32(running)})
	if err != nil {
		s.reject(session, f, wire.AnswerLost, err.Error())
		return
	}
	t := task{session: session, callID: f.CallID, oneWay: f.Flags&wire.FlagOneWay != 0}
	s.respond(&t, wire.OK, nil, body)
}

// Cancel drops a request that waits, and cancels the context of one that runs.
func (d dispatcher) Cancel(session *caller.Session, callID uint64, why wire.Code) {
	s := d.Server
	t, waited := s.queue.find(session, callID)
	if t == nil {
		s.stats.lateCancels.Add(1)
		return
	}
	reason := context.Canceled
	if why == wire.Expired {
		reason = context.DeadlineExceeded
	} else {
		why = wire.Cancelled
	}
	if !waited {
		t.end(reason)
		return
	}
	s.stats.cancelled.Add(1)
	t.method.counts.left(why)
	s.refuse(t, why, "taken out of the queue")
	t.free()
	session.End()
}

// Policy puts the newest policy in force, whichever of the nodes sent it.
func (d dispatcher) Policy(_ *caller.Session, p *pb.Policy) error {
	return d.enforced.replace(p, d.client.Clock().Now())
}

// BatchEnd wakes workers for what has been read. A policy that was among it has been acknowledged now.
func (d dispatcher) BatchEnd(*caller.Session) {
	d.queue.wake()
	if d.enforced.known.Load() {
		d.govern.Do(func() { close(d.governed) })
	}
}

// Lost drops what was not started from a session that has ended.
func (d dispatcher) Lost(session *caller.Session) {
	for _, t := range d.queue.remove(session) {
		d.drop(t)
		t.free()
		session.End()
	}
}
