package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/wire"
)

// task is one request from its arrival to its answer. It is a handler's context and request, too, and is not used again:
// handlers may keep their context.
type task struct {
	handlerContext

	// Static once queued.
	asked   Request
	session *caller.Session
	callID  uint64
	method  *method
	key     string        // of SerialByKey
	queued  time.Duration // on the server's clock
	due     time.Duration // when the caller's time is up
	late    bool          // run it although its time is up
	oneWay  bool
	facts   facts
	body    *[]byte   // the pooled buffer behind asked.Body, or nil
	room    [144]byte // of asked.header, for most: names of thirty bytes and no metadata

	// Guarded by queue.mu.
	next, prev *task
}

// bodies holds buffers for bodies of requests and for encoded answers.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// largestKept bounds the buffers in the pool.
const largestKept = 64 << 10

// keepBody copies a body that is valid only while the reader is here.
func (t *task) keepBody(body []byte) {
	if len(body) == 0 {
		return
	}
	if len(body) > largestKept {
		t.asked.Body = append([]byte(nil), body...)
		return
	}
	t.body = bodies.Get().(*[]byte)
	*t.body = append((*t.body)[:0], body...)
	t.asked.Body = *t.body
}

// free gives the buffers back, once the answer is queued.
func (t *task) free() {
	if t.body != nil {
		bodies.Put(t.body)
		t.body, t.asked.Body = nil, nil
	}
}

// run is what a worker does with a task.
func (s *Server) run(t *task) {
	defer t.session.End()
	defer t.free()
	if !t.session.Open() {
		s.drop(t)
		return
	}
	if s.admit(t) {
		s.handle(t)
	}
}

// drop counts a task whose session is lost: there is nobody to answer.
func (s *Server) drop(t *task) {
	s.stats.dropped.Add(1)
	t.method.counts.refused.Add(1)
}

// handle runs the handler and answers.
func (s *Server) handle(t *task) {
	// What a handler's answer is encoded into goes back to the pool, unless interceptors see it: they may keep it.
	var scratch *[]byte
	if len(s.opts.Interceptors) == 0 {
		scratch = bodies.Get().(*[]byte)
		t.asked.scratch = (*scratch)[:0]
	}
	through := false
	t.method.counts.started.Add(1)
	defer func() {
		t.method.counts.finished.Add(1)
		t.end(context.Canceled)
		if !through { // a panic, or the end of the goroutine
			cause := recover()
			s.panicked(t, cause)
			s.refuse(t, wire.HandlerPanic, "the handler crashed")
		}
		if scratch != nil && cap(t.asked.scratch) <= largestKept {
			*scratch = t.asked.scratch[:0]
			bodies.Put(scratch)
		}
	}()
	body, err := t.method.handle(&t.handlerContext, &t.asked)
	through = true
	if err != nil {
		s.answerError(t, err)
		return
	}
	s.answer(t, body)
}

// panicked tells the log of a panic.
func (s *Server) panicked(t *task, cause any) {
	s.stats.panics.Add(1)
	reason := fmt.Sprint(cause)
	if cause == nil {
		reason = "the handler ended its goroutine"
	}
	s.seldom(t.method.name+" "+reason, func(unsaid int) {
		s.opts.Logger.Error("handler crashed", "method", t.method.name, "panic", reason, "rpc_id", t.asked.rpcID,
			"unsaid", unsaid, "stack", string(debug.Stack()))
	})
}

// answerError answers with what the handler, or the SDK instead of it, says.
func (s *Server) answerError(t *task, err error) {
	if v, ok := errors.AsType[*verdict](err); ok {
		code := v.code
		if code.Class() == wire.NotExecuted && t.asked.started {
			code = wire.AnswerLost // an interceptor tried again after the handler had run
		}
		s.refuse(t, code, v.Error())
		return
	}
	s.stats.failed.Add(1)
	s.respond(t, wire.AppError, appErrorHeader(err), nil)
}
