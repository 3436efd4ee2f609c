package session

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestInstancesAreAskedForTheirCounts(t *testing.T) {
	story(t, func(n *node) {
		pay, old := n.server("pay", "pay-1", "Move"), n.server("old", "old-1", "Do")
		n.caller("web")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go n.sessions.PollCounts(ctx, 10*time.Second)
		for round := range uint64(2) {
			said, err := proto.Marshal(&pb.HandlerCounts{InstanceUuid: "u-pay-1", Methods: []*pb.MethodCounts{
				{Name: "Move", Started: 5 + round, Finished: 4, Refused: 3, Expired: 2},
			}})
			if err != nil {
				t.Fatal(err)
			}
			ask := pay.wantRequest()
			var q wire.Request
			if err := q.Walk(ask.Header, wire.ByNode); err != nil || string(q.Method) != "_counts" || string(q.Module) != "pay" {
				t.Fatalf("asked %s.%s: %v", q.Module, q.Method, err)
			}
			pay.answer(ask, wire.OK, string(said))
			old.answer(old.wantRequest(), wire.Unimplemented, "")
			synctest.Wait()
			want := []HandlerCounts{{
				Module: "pay", Instance: "pay-1", UUID: "u-pay-1", Method: "Move", Started: 5 + round, Finished: 4, Refused: 3, Expired: 2,
			}}
			if got := n.sessions.HandlerCounts(); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
			time.Sleep(10 * time.Second)
		}
		// The third question: an instance that says nonsense, and one that says nothing, are what they were.
		pay.answer(pay.wantRequest(), wire.OK, "\xff")
		old.wantRequest()
		synctest.Wait()
		if got := n.sessions.HandlerCounts(); len(got) != 1 || got[0].Started != 6 {
			t.Errorf("%+v", got)
		}
		time.Sleep(countsPatience + time.Second)
	})
}
