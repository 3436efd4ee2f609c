package caller

import (
	"time"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Receiver names one instance.
type Receiver struct {
	Module   string
	Instance string
	UUID     string
	Node     string // where it is logged in
}

// Receipt says who answered a call, and where its time went.
type Receipt struct {
	Receiver Receiver
	// Attempts is how often the call was sent to an instance; 0 where it was refused before, or by the instance.
	Attempts int
	// RPCID is the id that nodes gave the call, for traces.
	RPCID uint64
	// Hops has one entry per node that the call crossed, from the nearest, as far as nodes said.
	Hops []HopTime
}

// HopTime is how long a call was in one node's hands, and in those of what lies beyond it.
type HopTime struct {
	Node string
	Time time.Duration
}

func receiverOf(r *pb.Receiver) Receiver {
	return Receiver{Module: r.GetModule(), Instance: r.GetInstance(), UUID: r.GetInstanceUuid(), Node: r.GetNode()}
}

func receiptOf(status wire.Code, h *pb.ResponseHeader, rpcID uint64) Receipt {
	r := Receipt{Receiver: receiverOf(h.GetReceiver()), Attempts: int(h.GetAttempts()), RPCID: rpcID}
	if r.Attempts == 0 && status.Class() != wire.NotExecuted {
		r.Attempts = 1 // nodes say more than one only
	}
	for _, hop := range h.GetHopTimes() {
		r.Hops = append(r.Hops, HopTime{Node: hop.GetNode(), Time: time.Duration(hop.GetMicros()) * time.Microsecond})
	}
	return r
}
