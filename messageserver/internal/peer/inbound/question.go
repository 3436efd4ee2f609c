package inbound

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// Module is the built-in module by which nodes ask each other. Its instance is a node's name.
const Module = "_node"

// maxAsked is how many calls of _node a link may have under way at once.
const maxAsked = 16

// Method answers one method of the module _node. It runs in a goroutine of its own; ctx is done when the time of the
// question is over, when it is cancelled, and when its link ends. An error that is a *wire.Error is answered with its code,
// any other as APP_ERROR with its text.
type Method func(ctx context.Context, body []byte) ([]byte, error)

// takeQuestion starts a call of _node.
func (i *Inbound) takeQuestion(b *router.Batch, f *wire.Frame, req *wire.Request) error {
	method := i.opts.Methods[string(req.Method)]
	switch {
	case string(req.Instance) != i.opts.Node:
		return i.refuse(b, f, wire.StaleRoute, "the question is for another node")
	case method == nil:
		return i.refuse(b, f, wire.Unimplemented, "this node has no such method")
	case f.Flags&wire.FlagOneWay != 0:
		return i.refuse(b, f, wire.BadOption, "a question wants an answer")
	}
	i.mu.Lock()
	busy := i.asked >= maxAsked
	i.mu.Unlock()
	if busy {
		return i.refuse(b, f, wire.Overloaded, "too many questions are under way")
	}
	ctx, stop := context.WithTimeout(i.ctx, time.Duration(f.BudgetMS)*time.Millisecond)
	if !i.enter(f.CallID, flight{stop: stop}) {
		stop()
		return twice(f.CallID)
	}
	i.opts.Counts.Asked.Add(1)
	id, rpcID, body := f.CallID, f.RPCID, bytes.Clone(f.Body)
	i.answers.Go(func() {
		defer stop()
		answer, err := method(ctx, body)
		i.answerQuestion(id, rpcID, answer, err)
	})
	return nil
}

// answerQuestion sends what a Method returned.
func (i *Inbound) answerQuestion(id, rpcID uint64, body []byte, err error) {
	if !i.leave(id) {
		return // nobody waits any more
	}
	f := wire.Frame{CallID: id, RPCID: rpcID, Body: body}
	if err != nil {
		r := wire.Refusal{Message: err.Error(), Node: i.opts.Node, Hop: 2}
		f.Status, f.Body = wire.AppError, nil
		if own, ok := errors.AsType[*wire.Error](err); ok {
			f.Status, r.Message = own.Code, own.Reason
		}
		f.Header = wire.AppendRefusal(nil, &r)
	}
	b := router.Batch{Now: i.opts.Now()}
	i.send(&b, &f)
	b.Flush()
}
