package peer

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// askTimeout is the time of a question whose context has no deadline.
const askTimeout = 5 * time.Second

// Ask makes a call of the module _node at another node, over its link. The error says why there is no answer: what the other
// node or the link says of it is a *wire.Error; that ctx was done first is that of ctx.
func (p *Peers) Ask(ctx context.Context, node, method string, body []byte) ([]byte, error) {
	p.mu.Lock()
	m := p.members[node]
	var l *link
	if m != nil && m.state == StateUp {
		l = m.link
	}
	p.mu.Unlock()
	switch {
	case m == nil:
		return nil, fmt.Errorf("peer: node %s is not in the members", node)
	case l == nil:
		return nil, fmt.Errorf("peer: the link to node %s is not up", node)
	}
	return p.askOver(ctx, l, method, body)
}

// question is the Origin of a call of _node.
type question struct {
	answered chan struct{}
	code     wire.Code
	message  string
	body     []byte
}

// Answer implements router.Origin.
func (q *question) Answer(_ *router.Batch, _ *router.Call, a *router.Answer) {
	q.code, q.body = a.Code, append([]byte(nil), a.Body...)
	h := &pb.ResponseHeader{}
	if proto.Unmarshal(a.Header, h) == nil {
		q.message = h.GetMessage()
	}
	close(q.answered)
}

func (p *Peers) askOver(ctx context.Context, l *link, method string, body []byte) ([]byte, error) {
	budget := askTimeout
	if at, ok := ctx.Deadline(); ok {
		budget = time.Until(at)
	}
	if budget <= 0 {
		return nil, fmt.Errorf("peer: node %s was not asked: %w", l.member.name, context.DeadlineExceeded)
	}
	r := p.opts.Router
	q := &question{answered: make(chan struct{})}
	call := r.Call()
	call.Origin, call.Caller, call.Stamp, call.ID = q, p.caller, p.stamp, 1
	call.Arrived, call.Budget = p.now(), budget
	f := wire.Frame{Kind: wire.KindRequest, CallID: 1, Body: body}
	f.Header = (&wire.Request{
		Module: []byte(inbound.Module), Method: []byte(method), Instance: []byte(l.member.name),
	}).Append(nil)
	if err := call.Keep(&f); err != nil {
		r.Drop(call)
		return nil, err
	}
	life := call.Life()
	b := router.Batch{Now: p.now()}
	r.Ask(&b, call, l)
	b.Flush()
	select {
	case <-q.answered:
	case <-ctx.Done():
		b.Now = p.now()
		r.Cancel(&b, call, life, wire.Cancelled)
		b.Flush()
		<-q.answered // at the latest 150 ms later
	}
	switch {
	case q.code == wire.OK:
		return q.body, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("peer: node %s has not answered: %w", l.member.name, ctx.Err())
	}
	return nil, &wire.Error{Code: q.code, Reason: q.message}
}
