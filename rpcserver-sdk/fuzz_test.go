package rpcserver

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// FuzzPolicy: whatever a POLICY says, it is refused whole or in force, and a call from wherever is either run or refused by a rule
// that it has, with a header that a node passes on.
func FuzzPolicy(f *testing.F) {
	for _, restrictions := range [][]*pb.Restriction{
		nil,
		{on("r", "Echo", off("{}", "application/json"), calledBy("web"))},
		{on("r", "Echo", from("10.0.0.0/8", "10.1.0.0/16")), on("s", "", from("", "::/0"), shadow)},
		{on("r", "Echo", from("10.0.0.0", ""))},
		{on("r", "", limited(0.5, 1)), on("s", "Echo", limited(0, 0), shadow)},
		{on("r", "", locked(oldKey, newKey))},
		{on("r", "Echo", late(pb.Late_LATE_RUN)), on("s", "", late(pb.Late_LATE_DISCARD))},
		{on("r", "Echo")},
	} {
		message, err := proto.Marshal(&pb.Policy{Epoch: 1, Version: 2, Restrictions: restrictions})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message, "web", "10.0.0.1", true)
		f.Add(message, "mail", "2001:db8::1%eth0", false)
	}
	f.Fuzz(func(t *testing.T, message []byte, invoker, ip string, spent bool) {
		p, err := wire.ReadPolicy(&wire.Frame{Kind: wire.KindPolicy, Body: message})
		if err != nil {
			return
		}
		header, err := proto.Marshal(&pb.RequestHeader{Module: "hello", Method: "Echo", InvokerModule: invoker, InvokerIp: ip})
		var h wire.Request
		if err != nil || h.Walk(header, wire.ByNode) != nil {
			return
		}
		s, waiting := waitingTask(t, "10.0.0.1")
		waiting.asked.header, waiting.facts = header, factsOf(header, &h)
		if spent {
			waiting.due = 0
		}
		var version uint64
		if err := s.enforced.replace(p, 0); err == nil {
			version = p.GetVersion()
		} else if s.enforced.current.Load() != nil {
			t.Fatal("a broken policy is in force")
		}
		var told wire.Refusal
		var code wire.Code
		lists := [...]*checks{nil, nil}
		if c := s.enforced.current.Load(); c != nil {
			lists = [...]*checks{c.methods["Echo"], c.others}
		}
		for range 3 {
			r := s.restrict(waiting, &lists, time.Second)
			if r.code == 0 {
				s.lateness(waiting, &lists, time.Second)
				continue
			}
			code, told = r.code, wire.Refusal{Message: r.message, RetryAfterMS: milliseconds(r.retryAfter), ContentType: r.bodyType, RuleID: r.rule.id, RuleVersion: version}
			if code.Class() != wire.NotExecuted {
				t.Fatalf("it is refused with %s", code)
			}
			if passedOn, err := wire.CheckAnswer(code, wire.AppendRefusal(nil, &told)); err != nil || passedOn != code {
				t.Fatalf("a node does not pass %s on: %v", code, err)
			}
		}
	})
}
