package demo

import (
	"context"
	"sync"
	"time"

	"github.com/twohop/twohop/rpcserver-sdk"
)

// rank is an instance of module rank: it adds up what rooms were sent.
type rank struct {
	ledger *ledger
	work   time.Duration // that adding points takes

	// Guarded by mu.
	mu     sync.Mutex
	points map[string]int64
}

// offer registers the methods. Add is not idempotent: points that are added twice are too many.
func (r *rank) offer(s *rpcserver.Server) {
	r.points = map[string]int64{}
	rpcserver.Handle(s, "Add", r.add)
}

func (r *rank) add(ctx context.Context, in *addRequest) (*addReply, error) {
	one := record{Kind: kindStart, Key: in.Key, Room: in.Room, Amount: in.Points}
	mustWrite(r.ledger, one)
	wait(context.WithoutCancel(ctx), r.work)
	r.mu.Lock()
	r.points[in.Room] += in.Points
	points := r.points[in.Room]
	r.mu.Unlock()
	one.Kind = kindAdded
	mustWrite(r.ledger, one)
	return &addReply{Key: in.Key, Points: points}, nil
}
