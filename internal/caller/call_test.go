package caller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestWhatIsWrongIsSaidBeforeAnythingIsSent(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		for _, c := range []struct {
			name, method string
			in           any
			opts         []CallOption
			want         Code
		}{
			{"no dot", "Buy", nil, nil, CodeBadRequest},
			{"no method", "shop.", nil, nil, CodeBadRequest},
			{"no module", ".Buy", nil, nil, CodeBadRequest},
			{"bad letter", "shop.Büy", nil, nil, CodeBadRequest},
			{"long name", strings.Repeat("x", 128) + ".Buy", nil, nil, CodeBadRequest},
			{"bad group", "shop.Buy", nil, []CallOption{Group("a b")}, CodeBadRequest},
			{"bad instance", "shop.Buy", nil, []CallOption{Instance("ä")}, CodeBadRequest},
			{"hash without key", "shop.Buy", nil, []CallOption{Balance(Hash)}, CodeBadOption},
			{"long key", "shop.Buy", nil, []CallOption{HashKey(strings.Repeat("x", 257))}, CodeBadRequest},
			{"attempts without idempotent", "shop.Buy", nil, []CallOption{MaxAttempts(2)}, CodeBadOption},
			{"high and low", "shop.Buy", nil, []CallOption{HighCriticality(), LowCriticality()}, CodeBadOption},
			{"much user data", "shop.Buy", nil, []CallOption{UserData(make([]byte, 1025))}, CodeBadRequest},
			{"metadata without key", "shop.Buy", nil, []CallOption{Metadata("", "x")}, CodeBadRequest},
			{"much metadata", "shop.Buy", nil, []CallOption{Metadata("x", strings.Repeat("x", 9000))}, CodeBadRequest},
			{"bad content type", "shop.Buy", nil, []CallOption{ContentType("text/ü")}, CodeBadRequest},
			{"not encodable", "shop.Buy", func() {}, nil, CodeBadRequest},
			{"too large", "shop.Buy", make([]byte, wire.MaxMessage), nil, CodeTooLarge},
		} {
			e := wantError(t, alice.Call(t.Context(), c.method, c.in, nil, c.opts...), NotExecuted, c.want)
			if e.Method != c.method || e.Message == "" && e.Unwrap() == nil {
				t.Errorf("%s: %v says neither what nor why", c.name, e)
			}
			if e.Session != 0 || e.CallID != 0 {
				t.Errorf("%s: %v has the name of a call that was never sent", c.name, e)
			}
		}
		wantError(t, alice.OneWay(t.Context(), "shop.Buy", nil, Idempotent{}), NotExecuted, CodeBadOption)
		wantError(t, alice.OneWay(t.Context(), "shop.Buy", nil, WantReceipt(new(Receipt))), NotExecuted, CodeBadOption)
		synctest.Wait()
		if n := len(p.requests); n != 0 {
			t.Errorf("%d calls came to the node", n)
		}
	})
}

func TestOptionsTravel(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		var r Receipt
		a := alice.ask(t.Context(), "body", Group("eu"), Instance("s1"), HashKey("k"), Idempotent{}, RunLate(), MaxAttempts(4),
			Metadata("traceparent", "00-1"), Metadata("b", "2"), UserData([]byte{1, 2}), HighCriticality(), WantReceipt(&r),
			ContentType("text/plain"))
		f := <-p.requests
		var h pb.RequestHeader
		if err := proto.Unmarshal(f.Header, &h); err != nil {
			t.Fatal(err)
		}
		want := &pb.RequestHeader{
			Module: "shop", Method: "Buy", Group: "eu", Instance: "s1", Balance: pb.Balance_BALANCE_HASH, HashKey: []byte("k"),
			Options: 5, MaxAttempts: 4, UserData: []byte{1, 2}, ContentType: "text/plain",
			Metadata: []*pb.Metadata{{Key: "traceparent", Value: "00-1"}, {Key: "b", Value: "2"}},
		}
		if !proto.Equal(&h, want) || f.Flags != wire.FlagHigh|wire.FlagWantReceiver {
			t.Errorf("the node got %v with flags %d, want %v", &h, f.Flags, want)
		}
		p.reply(&f, wire.OK, &pb.ResponseHeader{
			Receiver: &pb.Receiver{Module: "shop", Instance: "s1", InstanceUuid: "u", Node: "beta"}, Attempts: 2,
			HopTimes: []*pb.HopTime{{Node: "alpha", Micros: 1500}, {Node: "beta", Micros: 700}},
		}, "done")
		a.wantReply(t, "done")
		if r.Receiver != (Receiver{"shop", "s1", "u", "beta"}) || r.Attempts != 2 || r.RPCID != 77 || len(r.Hops) != 2 || r.Hops[0].Time != 1500*time.Microsecond {
			t.Errorf("receipt is %+v", r)
		}

		b := alice.ask(t.Context(), "body", HashKey("k"), Balance(LeastActive), LowCriticality())
		f = <-p.requests
		h.Reset()
		if err := proto.Unmarshal(f.Header, &h); err != nil || h.GetBalance() != pb.Balance_BALANCE_LEAST_ACTIVE || f.Flags != wire.FlagLow {
			t.Errorf("the node got %v with flags %d, %v", &h, f.Flags, err)
		}
		p.reply(&f, wire.OK, nil, "")
		b.wantReply(t, "")
	})
}

type order struct{ Item string }

func TestBodies(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		kind := ""
		var answer *pb.ResponseHeader
		body := "" // empty: echo
		alpha.answer = func(p *peer, f *wire.Frame) {
			var h pb.RequestHeader
			if err := proto.Unmarshal(f.Header, &h); err != nil {
				t.Error(err)
			}
			kind = h.GetContentType()
			if body != "" {
				p.reply(f, wire.OK, answer, body)
				return
			}
			echo(p, f)
		}
		alice := m.client("alpha:1")
		call := func(in, out any, wantKind string) {
			t.Helper()
			if err := alice.Call(t.Context(), "shop.Buy", in, out); err != nil {
				t.Errorf("call: %v", err)
			}
			if kind != wantKind {
				t.Errorf("content type is %q, want %q", kind, wantKind)
			}
		}
		var o order
		call(&order{"tea"}, &o, TypeJSON)
		if o.Item != "tea" {
			t.Errorf("the order is %+v", o)
		}
		var n pb.Node
		call(&pb.Node{Name: "x"}, &n, TypeProtobuf)
		if n.GetName() != "x" {
			t.Errorf("the node is %v", &n)
		}
		raw := make([]byte, 0, 100)
		room := &raw[:1][0]
		call([]byte("bytes"), &raw, "")
		if string(raw) != "bytes" || &raw[0] != room {
			t.Errorf("the answer is %q, want it in the room that was there", raw)
		}
		call(nil, &n, TypeProtobuf)
		call(nil, nil, "")

		body, answer = `{"name":"y"}`, &pb.ResponseHeader{ContentType: TypeJSON}
		call(&pb.Node{}, &n, TypeProtobuf)
		if n.GetName() != "y" {
			t.Errorf("an answer in JSON gives %v", &n)
		}
		body, answer = "\xff", nil
		e := wantError(t, alice.Call(t.Context(), "shop.Buy", &pb.Node{}, &n), Executed, CodeAnswerLost)
		if e.RPCID != 77 || errors.Unwrap(e) == nil {
			t.Errorf("error is %v, want the call's id and the cause", e)
		}
		body, answer = "x", &pb.ResponseHeader{ContentType: "text/plain"}
		wantError(t, alice.Call(t.Context(), "shop.Buy", &order{}, &o), Executed, CodeAnswerLost)
	})
}

func TestErrorsOfHandlersAndRules(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		a := alice.ask(t.Context(), "one")
		f := <-p.requests
		p.reply(&f, wire.AppError, &pb.ResponseHeader{
			AppCode: "SOLD_OUT", Message: "no tea", Details: []*pb.Metadata{{Key: "left", Value: "0"}},
		}, "")
		e := a.wantError(t, Executed, CodeAppError)
		if e.AppCode != "SOLD_OUT" || e.Details["left"] != "0" || e.Name() != "APP_ERROR" {
			t.Errorf("error is %+v", e)
		}
		if want := "shop.Buy: APP_ERROR (EXECUTED: it ran): SOLD_OUT: no tea [rpc 77]"; e.Error() != want {
			t.Errorf("error is %q, want %q", e, want)
		}
		b := alice.ask(t.Context(), "two")
		f = <-p.requests
		p.reply(&f, wire.Degraded, nil, "take water")
		if e := b.wantError(t, NotExecuted, CodeDegraded); string(e.Fallback) != "take water" {
			t.Errorf("error is %+v", e)
		}
		c := alice.ask(t.Context(), "three")
		f = <-p.requests
		p.reply(&f, 120, nil, "") // a code of the future
		if e := c.wantError(t, Unknown, 120); e.Error() != "shop.Buy: CODE(120) (UNKNOWN: it may have run) [rpc 77]" {
			t.Errorf("error is %q", e)
		}
		d := alice.ask(t.Context(), "four")
		f = <-p.requests
		p.reply(&f, wire.Accepted, nil, "")
		d.wantReply(t, "")
		g := alice.ask(t.Context(), "five")
		f = <-p.requests
		broken := wire.Frame{Kind: wire.KindResponse, CallID: f.CallID, Status: wire.Denied, Header: []byte{0xff}}
		p.send(1, &broken)
		if e := g.wantError(t, NotExecuted, CodeDenied); !strings.Contains(e.Message, "broken") {
			t.Errorf("error is %v", e)
		}
	})
}

func TestPending(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alice := m.client("alpha:1")
		p := <-alpha.opened
		var o order
		ctx, cancel := context.WithCancel(t.Context())
		call := alice.Go(ctx, "shop.Buy", &order{"tea"}, &o)
		f := <-p.requests
		select {
		case <-call.Done():
			t.Fatal("it is done before its answer")
		default:
		}
		p.reply(&f, wire.OK, nil, string(f.Body))
		<-call.Done()
		if err := call.Wait(); err != nil || call.Wait() != nil || o.Item != "tea" {
			t.Errorf("got %+v, %v", o, err)
		}
		cancelled := alice.Go(ctx, "shop.Buy", nil, nil)
		f = <-p.requests
		cancel()
		<-p.cancels
		p.reply(&f, wire.Cancelled, nil, "")
		wantError(t, cancelled.Wait(), NotExecuted, CodeCancelled)
		if err := alice.Go(t.Context(), "nonsense", nil, nil).Wait(); !errors.Is(err, CodeBadRequest) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOneWayKeepsItsOwnBody(t *testing.T) {
	story(t, func(t *testing.T, m *mesh) {
		alpha := m.node("alpha", "alpha:1")
		alpha.set(func() { alpha.down = true })
		alice := m.client("alpha:1")
		body := []byte("before")
		if err := alice.OneWay(t.Context(), "shop.Note", body); err != nil {
			t.Fatal(err)
		}
		copy(body, "after!")
		if err := alice.OneWay(t.Context(), "shop.Note", []byte("late"), Timeout(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		alpha.set(func() { alpha.down = false })
		p := <-alpha.opened
		if f := <-p.requests; string(f.Body) != "before" {
			t.Errorf("the node got %q", f.Body)
		}
		synctest.Wait()
		if n := len(p.requests); n != 0 || alice.Stats().OneWayDropped != 1 {
			t.Errorf("%d more came, %d are counted as dropped, want the late one", n, alice.Stats().OneWayDropped)
		}
	})
}

func TestSlotsAreUsedAgainUnderOtherIds(t *testing.T) {
	table := newTable()
	table.base = ^uint32(0) - 2
	seen := map[uint64]bool{}
	for range 10 {
		cl := &call{}
		id := table.put(cl)
		if id == 0 || id>>32 == 0 || seen[id] || table.find(id) == nil {
			t.Fatalf("id %#x: seen %v", id, seen[id])
		}
		seen[id] = true
		table.clear(id)
		if table.find(id) != nil {
			t.Fatalf("id %#x finds its call after its end", id)
		}
	}
	if len(table.slots) != 1 {
		t.Errorf("%d slots", len(table.slots))
	}
}
