package demo

import (
	"context"
	"log/slog"
	"time"

	"github.com/twohop/twohop/rpcserver-sdk"
)

// trade is an instance of module fishtrade: it moves the money of gifts.
type trade struct {
	name   string
	ledger *ledger
	work   time.Duration // that moving the money takes
	rank   *rpcserver.Client
}

// offer registers the methods. SendRocket is not idempotent: a gift that is sent twice costs twice.
func (t *trade) offer(s *rpcserver.Server) {
	t.rank = s.Client()
	rpcserver.Handle(s, "SendRocket", t.send)
}

func (t *trade) send(ctx context.Context, in *sendRequest) (*sendReply, error) {
	g := &in.Gift
	r := record{Kind: kindStart, Key: in.Key, Gift: g.ID, User: g.User, Room: g.Room, Amount: g.Amount}
	t.write(r)
	if g.Amount > limit {
		return nil, rpcserver.Errorf(codeLimit, "a gift may cost %d, this one costs %d", limit, g.Amount)
	}
	wait(context.WithoutCancel(ctx), t.work) // whoever has begun to move money ends it
	r.Kind = kindMoved
	t.write(r)
	// The money is moved, whatever becomes of the rank.
	return &sendReply{Key: in.Key, Moved: g.Amount, Rank: t.add(ctx, in), By: t.name}, nil
}

// add tells rank, in what is left of the caller's time. Calls about one room go to one instance.
func (t *trade) add(ctx context.Context, in *sendRequest) class {
	t.write(record{Kind: kindInvoke, Key: in.Key, Room: in.Gift.Room, Amount: in.Gift.Amount})
	from := time.Now()
	var receipt rpcserver.Receipt
	reply, err := rpcserver.Call[addReply](ctx, t.rank, moduleRank+".Add",
		&addRequest{Key: in.Key, Room: in.Gift.Room, Points: in.Gift.Amount},
		rpcserver.HashKey(in.Gift.Room), rpcserver.WantReceipt(&receipt))
	end := endOf(in.Key, err, rpcserver.ErrNotExecuted, rpcserver.ErrExecuted, time.Since(from))
	end.Nodes = nodesOf(receipt.Hops)
	if err == nil {
		end.Crossed = crossed(in.Key, reply.Key)
	}
	t.write(end)
	return end.Class
}

// write writes a record. Without a ledger nothing that the instance says can be checked: it ends.
func (t *trade) write(r record) { mustWrite(t.ledger, r) }

func mustWrite(l *ledger, r record) {
	if err := l.append(r); err != nil {
		slog.Error("the ledger cannot be written", "cause", err)
		exit(1)
	}
}
