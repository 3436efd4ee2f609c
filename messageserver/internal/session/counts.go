package session

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// HandlerCounts is what an instance says of one of its methods, since its process started.
type HandlerCounts struct {
	Module   string
	Instance string // its name
	UUID     string // of the process: it may have sessions at several nodes, and says the same to all
	Method   string

	Started, Finished, Refused, Expired uint64
}

// methodCounts is what instances are asked by.
const methodCounts = "_counts"

// countsPatience is how long an instance has for its answer.
const countsPatience = 2 * time.Second

// PollCounts asks every instance that has a session here what its handlers have done, now and then at each interval, until
// ctx is done.
func (s *Sessions) PollCounts(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	stamp := wire.AppendInvoker(nil, "_node", s.opts.Node, "", s.opts.Node, 0)
	for {
		for _, c := range s.snapshot() {
			if c.currentState() == stateOpen && c.isServer() {
				c.askCounts(stamp)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// askCounts sends the question. The answer is kept when it comes.
func (c *session) askCounts(stamp []byte) {
	r, now := c.room.opts.Router, c.room.opts.Clock.Now()
	call := r.Call()
	call.Origin, call.Stamp, call.ID = (*counting)(c), stamp, 1
	call.Arrived, call.Budget = now, countsPatience
	f := wire.Frame{Kind: wire.KindRequest, CallID: 1}
	f.Header = (&wire.Request{Module: []byte(c.login.GetModule()), Method: []byte(methodCounts)}).Append(nil)
	if err := call.Keep(&f); err != nil {
		r.Drop(call)
		c.room.log("handlers not counted", err, "session", c.String())
		return
	}
	b := router.Batch{Now: now}
	r.Ask(&b, call, c)
	b.Flush()
}

// counting is a session as the origin of the question for its counts.
type counting session

// Answer implements router.Origin. What is no answer leaves the counts as they are: an SDK may not know the question.
func (o *counting) Answer(_ *router.Batch, _ *router.Call, a *router.Answer) {
	counts := &pb.HandlerCounts{}
	if a.Code != wire.OK || proto.Unmarshal(a.Body, counts) != nil {
		return
	}
	c := (*session)(o)
	c.mu.Lock()
	c.counts = counts
	c.mu.Unlock()
}

// HandlerCounts returns what the instances that have a session here have said last.
func (s *Sessions) HandlerCounts() (all []HandlerCounts) {
	for _, c := range s.snapshot() {
		if !c.isOpen() {
			continue
		}
		c.mu.Lock()
		counts := c.counts
		c.mu.Unlock()
		for _, m := range counts.GetMethods() {
			all = append(all, HandlerCounts{
				Module: c.login.GetModule(), Instance: c.login.GetInstance(), UUID: counts.GetInstanceUuid(), Method: m.GetName(),
				Started: m.GetStarted(), Finished: m.GetFinished(), Refused: m.GetRefused(), Expired: m.GetExpired(),
			})
		}
	}
	return all
}
