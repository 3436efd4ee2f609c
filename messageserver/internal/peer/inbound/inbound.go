package inbound

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// Options are what an Inbound is made of. All are needed, but Methods.
type Options struct {
	Node    string               // this node's name
	Local   *router.Local        //
	Methods map[string]Method    // of the module _node, by name
	Link    *frameconn.Conn      // where the requests come from, and the answers go
	Now     func() time.Duration // the node's clock
	Counts  *Counters
}

// Counters say what came of the requests of peers, besides what the router counts.
type Counters struct {
	Asked          atomic.Uint64 // calls of _node
	Refused        atomic.Uint64 // requests that neither a session nor a Method has seen
	LostAnswers    atomic.Uint64 // the link was gone, or had no room
	UnknownCancels atomic.Uint64 // CANCEL for a call that was not in flight
}

// Inbound takes the requests of one link. Request, Cancel and End are for the link's reader.
type Inbound struct {
	// Static after construction.
	opts Options
	ctx  context.Context //nolint:containedctx // done when the link ends: what it asked for is cancelled
	stop context.CancelFunc

	// Guarded by mu.
	mu      sync.Mutex
	flights map[uint64]flight // by the peer's call_id
	asked   int               // calls of _node among them
	gone    bool
	answers sync.WaitGroup // goroutines that answer calls of _node
}

// flight is a request in flight: a call, or a question to the node itself.
type flight struct {
	call *router.Call
	life uint64
	stop context.CancelFunc // of a question
}

// New returns the Inbound of one link.
func New(o Options) *Inbound {
	i := &Inbound{opts: o, flights: make(map[uint64]flight)}
	i.ctx, i.stop = context.WithCancel(context.Background())
	return i
}

// Request takes a REQUEST that has arrived since the given time. The error is a breach of the protocol.
func (i *Inbound) Request(b *router.Batch, f *wire.Frame, arrived time.Duration) error {
	if f.Hops != 1 {
		return i.refuse(b, f, wire.BadRequest, fmt.Sprintf("the request has crossed %d nodes, it must be 1 at this one", f.Hops))
	}
	local := i.opts.Local
	call := local.Call()
	if err := call.Borrow(f); err != nil {
		local.Drop(call)
		return err
	}
	if string(call.Request.Module) == Module {
		defer local.Drop(call)
		return i.takeQuestion(b, f, &call.Request)
	}
	call.Origin, call.ID, call.RPCID = i, f.CallID, f.RPCID
	call.Arrived, call.Budget = arrived, time.Duration(f.BudgetMS)*time.Millisecond
	if f.Flags&wire.FlagOneWay != 0 {
		local.OneWay(b, call)
		return nil
	}
	if !i.enter(f.CallID, flight{call: call, life: call.Life()}) {
		local.Drop(call)
		return twice(f.CallID)
	}
	local.Submit(b, call)
	return nil
}

func twice(id uint64) error {
	return &wire.Error{Code: wire.BadRequest, Reason: fmt.Sprintf("call_id %d of a request is that of a call in flight", id)}
}

// enter notes a request, unless its id is in flight.
func (i *Inbound) enter(id uint64, f flight) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, there := i.flights[id]; there {
		return false
	}
	i.flights[id] = f
	if f.stop != nil {
		i.asked++
	}
	return true
}

// leave takes a request out, and reports whether its answer can still go.
func (i *Inbound) leave(id uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.flights[id].stop != nil {
		i.asked--
	}
	delete(i.flights, id)
	return !i.gone
}

// Len returns how many requests are in flight.
func (i *Inbound) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.flights)
}

// Cancel takes a CANCEL.
func (i *Inbound) Cancel(b *router.Batch, f *wire.Frame) {
	i.mu.Lock()
	fl, ok := i.flights[f.CallID]
	i.mu.Unlock()
	switch {
	case !ok:
		i.opts.Counts.UnknownCancels.Add(1)
	case fl.stop != nil:
		fl.stop()
	default:
		i.opts.Local.Cancel(b, fl.call, fl.life, f.Status)
	}
}

// End cancels what is in flight: the link is gone.
func (i *Inbound) End(b *router.Batch) {
	i.mu.Lock()
	i.gone = true
	flights := make([]flight, 0, len(i.flights))
	for _, f := range i.flights {
		flights = append(flights, f)
	}
	i.mu.Unlock()
	i.stop()
	for _, f := range flights {
		if f.call != nil {
			i.opts.Local.Cancel(b, f.call, f.life, wire.Cancelled)
		}
	}
}

// Wait returns when no Method runs any more, after End.
func (i *Inbound) Wait() { i.answers.Wait() }

// Answer implements router.Origin.
func (i *Inbound) Answer(b *router.Batch, call *router.Call, a *router.Answer) {
	if !i.leave(call.ID) {
		i.opts.Counts.LostAnswers.Add(1)
		return
	}
	i.send(b, &wire.Frame{CallID: call.ID, RPCID: call.RPCID, Status: a.Code, Header: a.Header, Body: a.Body})
}

// send queues a RESPONSE.
func (i *Inbound) send(b *router.Batch, f *wire.Frame) {
	f.Kind, f.Hops = wire.KindResponse, 1
	wake, err := i.opts.Link.Send(frameconn.Answers, f, false)
	if err != nil {
		i.opts.Counts.LostAnswers.Add(1)
	}
	if wake {
		b.Wake(i.opts.Link)
	}
}

// refuse answers a request that nobody here has seen. The error is that its call_id is in flight.
func (i *Inbound) refuse(b *router.Batch, f *wire.Frame, code wire.Code, reason string) error {
	i.opts.Counts.Refused.Add(1)
	if f.Flags&wire.FlagOneWay != 0 {
		return nil
	}
	i.mu.Lock()
	_, there := i.flights[f.CallID]
	i.mu.Unlock()
	if there {
		return twice(f.CallID)
	}
	header := wire.AppendRefusal(nil, &wire.Refusal{Message: reason, Node: i.opts.Node, Hop: 2})
	i.send(b, &wire.Frame{CallID: f.CallID, RPCID: f.RPCID, Status: code, Header: header})
	return nil
}
