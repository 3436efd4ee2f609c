package rpcserver

import (
	"maps"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// counts says what became of a method's requests; the names are those of pb.MethodCounts.
type counts struct{ started, finished, refused, expired atomic.Uint64 }

// left counts a request that is not handed to the handler.
func (c *counts) left(code wire.Code) {
	if code == wire.Expired {
		c.expired.Add(1)
	} else {
		c.refused.Add(1)
	}
}

// methodCounts is answered past the queue: it asks what became of all requests.
const methodCounts = "_counts"

// reportCounts answers methodCounts. What is finished is read before what is started, so that it is never more.
func (s *Server) reportCounts(session *caller.Session, f *wire.Frame) {
	_, uuid := s.client.Instance()
	known := *s.methods.Load()
	report := &pb.HandlerCounts{InstanceUuid: uuid, UptimeMs: uint64(s.client.Clock().Now().Milliseconds())}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		c := &known[name].counts
		one := &pb.MethodCounts{Name: name, Finished: c.finished.Load(), Refused: c.refused.Load(), Expired: c.expired.Load()}
		one.Started = c.started.Load()
		report.Methods = append(report.Methods, one)
	}
	body, err := proto.Marshal(report)
	if err != nil {
		s.reject(session, f, wire.AnswerLost, err.Error())
		return
	}
	t := task{session: session, callID: f.CallID, oneWay: f.Flags&wire.FlagOneWay != 0}
	s.respond(&t, wire.OK, nil, body)
}
