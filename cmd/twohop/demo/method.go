package demo

import (
	"errors"
	"time"

	"github.com/twohop/twohop/rpcclient-sdk"
)

// The modules.
const (
	moduleWeb   = "web"
	moduleTrade = "fishtrade"
	moduleRank  = "rank"
)

// roleNode is the role of nodes; that of instances is their module.
const roleNode = "node"

// callTimeout is the budget of fishtrade.SendRocket; rank.Add inherits what is left of it.
const callTimeout = 2 * time.Second

// sendRequest is what fishtrade.SendRocket takes.
type sendRequest struct {
	Key  key  `json:"key"`
	Gift gift `json:"gift"`
}

// sendReply says that the money is moved, and what became of the rank.
type sendReply struct {
	Key   key    `json:"key"`
	Moved int64  `json:"moved"`
	Rank  class  `json:"rank"`
	By    string `json:"by"`
}

// addRequest is what rank.Add takes.
type addRequest struct {
	Key    key    `json:"key"`
	Room   string `json:"room"`
	Points int64  `json:"points"`
}

// addReply says that the points are added.
type addReply struct {
	Key    key   `json:"key"`
	Points int64 `json:"points"` // of the room, at this instance since it started
}

// outcome is what an error of either SDK says.
type outcome interface {
	error
	Name() string
}

// endOf returns the record of a call's end. notExecuted and executed are the SDK's sentinels.
func endOf(k key, err, notExecuted, executed error, took time.Duration) record {
	r := record{Kind: kindEnd, Key: k, Class: classUnknown, Code: "?", Micros: took.Microseconds()}
	if o, ok := errors.AsType[outcome](err); ok {
		r.Code = o.Name()
	}
	switch {
	case err == nil:
		r.Class, r.Code = classOK, "OK"
	case errors.Is(err, notExecuted):
		r.Class = classNotExecuted
	case errors.Is(err, executed):
		r.Class = classExecuted
	}
	return r
}

// nodesOf returns the names of the nodes that a call crossed.
func nodesOf(hops []rpcclient.HopTime) (names []string) {
	for _, hop := range hops {
		names = append(names, hop.Node)
	}
	return names
}

// crossed returns the key that an answer names if it is not the call's own.
func crossed(called, answered key) string {
	if called == answered {
		return ""
	}
	return answered.String()
}
