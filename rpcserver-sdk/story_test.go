package rpcserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

type greeting struct{ Name string }

func say(_ context.Context, in *greeting) (*greeting, error) {
	return &greeting{"Hello, " + in.Name}, nil
}

func kind(name string) func(*wire.Frame, *pb.RequestHeader) {
	return func(_ *wire.Frame, h *pb.RequestHeader) { h.ContentType = name }
}

func TestHandlersAnswer(t *testing.T) {
	story(t, func(s *Server) {
		Handle(s, "Say", say, Idempotent())
		Handle(s, "Node", func(_ context.Context, in *pb.Node) (*pb.Node, error) {
			return &pb.Node{Name: "re " + in.GetName()}, nil
		})
		Handle(s, "Mixed", func(_ context.Context, in *pb.Node) (*greeting, error) { return &greeting{in.GetName()}, nil })
		HandleRaw(s, "Raw", func(_ context.Context, r *Request) ([]byte, error) {
			r.SetContentType("text/plain")
			return append([]byte("re "), r.Body...), nil
		})
		Handle(s, "Unencodable", func(context.Context, *greeting) (*func(), error) { return new(func()), nil })
		HandleRaw(s, "Huge", func(context.Context, *Request) ([]byte, error) { return make([]byte, wire.MaxMessage+1), nil })
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Say", `{"Name":"Ada"}`, kind(caller.TypeJSON)).wantBody(`{"Name":"Hello, Ada"}`)
		var node pb.Node
		body, h := l.ask("Node", string(marshal(&pb.Node{Name: "x"})), kind(caller.TypeProtobuf)).want(wire.OK)
		if proto.Unmarshal([]byte(body), &node) != nil || node.GetName() != "re x" || h.GetContentType() != "" {
			t.Errorf("answer is %v, %v", &node, h)
		}
		body, h = l.ask("Node", `{"name":"y"}`, kind(caller.TypeJSON)).want(wire.OK)
		if !strings.Contains(body, `"re y"`) || h.GetContentType() != "" {
			t.Errorf("answer is %q, %v, want JSON", body, h)
		}
		if _, h = l.ask("Mixed", string(marshal(&pb.Node{Name: "x"})), kind(caller.TypeProtobuf)).want(wire.OK); h.GetContentType() != caller.TypeJSON {
			t.Errorf("answer has %v, want the content type of JSON", h)
		}
		if body, h = l.ask("Raw", "bytes").want(wire.OK); body != "re bytes" || h.GetContentType() != "text/plain" {
			t.Errorf("answer is %q, %v", body, h)
		}
		l.ask("Say", "").wantBody(`{"Name":"Hello, "}`)
		for _, c := range []struct {
			method, body, kind string
			want               wire.Code
		}{
			{"Say", "{", caller.TypeJSON, wire.BadRequest},
			{"Say", "x", caller.TypeProtobuf, wire.BadRequest},
			{"Node", "\xff", caller.TypeProtobuf, wire.BadRequest},
			{"Nope", "", "", wire.Unimplemented},
			{"_outcome", "", "", wire.Unimplemented},
			{"Unencodable", "{}", caller.TypeJSON, wire.AnswerLost},
			{"Huge", "", "", wire.AnswerLost},
		} {
			if _, h := l.ask(c.method, c.body, kind(c.kind)).want(c.want); h.GetMessage() == "" {
				t.Errorf("%s %q: the refusal does not say why", c.method, c.body)
			}
		}
		broken := wire.Frame{Kind: wire.KindRequest, CallID: 99, Header: []byte{0xff}}
		q := &question{link: l, id: 99, answer: make(chan *wire.Frame, 1)}
		l.mu.Lock()
		l.waiting[99] = q.answer
		l.mu.Unlock()
		l.send(2, &broken)
		q.want(wire.BadRequest)
	})
}

func TestErrorsOfHandlers(t *testing.T) {
	var log bytes.Buffer
	details := map[string]string{"left": "0"}
	story(t, func(s *Server) {
		fail := map[string]error{
			"app":     &AppError{Code: "SOLD_OUT", Message: "no tea", Details: details, Permanent: true},
			"wrapped": fmt.Errorf("shop: %w", Errorf("SOLD_OUT", "no %s", "tea")),
			"plain":   errors.New("broken"),
			"context": context.DeadlineExceeded,
			"called":  &Error{Class: NotExecuted, Code: CodeNoInstance},
			"long":    errors.New(strings.Repeat("é", 2000)),
			"details": &AppError{Code: "X", Details: map[string]string{"k": strings.Repeat("x", 9000)}},
			"code":    &AppError{Code: strings.Repeat("x", 500)},
		}
		HandleRaw(s, "Fail", func(_ context.Context, r *Request) ([]byte, error) {
			switch body := string(r.Body); body {
			case "panic":
				panic("ouch")
			case "exit":
				runtime.Goexit()
				return nil, nil
			default:
				return nil, fail[body]
			}
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		_, h := l.ask("Fail", "app").want(wire.AppError)
		if h.GetAppCode() != "SOLD_OUT" || h.GetMessage() != "no tea" || !h.GetPermanent() || len(h.GetDetails()) != 1 || h.GetDetails()[0].GetKey() != "left" {
			t.Errorf("header is %v", h)
		}
		if _, h = l.ask("Fail", "wrapped").want(wire.AppError); h.GetAppCode() != "SOLD_OUT" || h.GetMessage() != "shop: SOLD_OUT: no tea" {
			t.Errorf("header is %v", h)
		}
		if _, h = l.ask("Fail", "plain").want(wire.AppError); h.GetAppCode() != "" || h.GetMessage() != "broken" {
			t.Errorf("header is %v", h)
		}
		l.ask("Fail", "context").want(wire.AppError)
		l.ask("Fail", "called").want(wire.AppError) // it did not run, this did
		if _, h = l.ask("Fail", "long").want(wire.AppError); len(h.GetMessage()) != wire.MaxText {
			t.Errorf("message has %d bytes", len(h.GetMessage()))
		}
		if _, h = l.ask("Fail", "details").want(wire.AppError); h.GetAppCode() != "X" || len(h.GetDetails()) != 0 {
			t.Errorf("header is %v", h)
		}
		if _, h = l.ask("Fail", "code").want(wire.AppError); len(h.GetAppCode()) != wire.MaxName {
			t.Errorf("code has %d bytes", len(h.GetAppCode()))
		}
		for range 5 {
			l.ask("Fail", "panic").want(wire.HandlerPanic)
		}
		time.Sleep(time.Second)
		l.ask("Fail", "panic").want(wire.HandlerPanic)
		l.ask("Fail", "exit").want(wire.HandlerPanic)
		l.ask("Fail", "plain").want(wire.AppError)
		synctest.Wait()
		text := log.String()
		if n := strings.Count(text, "handler crashed"); n != 3 || !strings.Contains(text, "unsaid=4") || !strings.Contains(text, "story_test.go") {
			t.Errorf("the log has %d crashes, want one per cause and second, with stacks:\n%s", n, text)
		}
		if st := s.Stats(); st.Panics != 7 || st.Failed != 9 || st.Waiting != 0 || st.Running != 0 {
			t.Errorf("stats are %+v", st)
		}
	}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
}

func TestTimeDecidesRightBeforeTheHandler(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()

		HandleRaw(s, "Slow", g.handle)
		HandleRaw(s, "Late", g.handle, AllowLate())
		HandleRaw(s, "Quick", g.handle, Inline())
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		first := l.ask("Slow", "first")
		<-g.started
		expired := l.ask("Slow", "expired", budget(100))
		late := l.ask("Late", "late", budget(100))
		chosen := l.ask("Slow", "chosen", budget(100), func(_ *wire.Frame, h *pb.RequestHeader) { h.Options = uint32(wire.RunLate) })
		enough := l.ask("Slow", "enough", budget(2000))
		time.Sleep(time.Second)
		close(g.open)
		first.wantBody("first")
		expired.want(wire.Expired)
		late.wantBody("late")
		chosen.wantBody("chosen")
		enough.wantBody("enough")
		l.ask("Slow", "spent", budget(1)).want(wire.Expired)
		l.ask("Quick", "spent", budget(1)).want(wire.Expired)
		l.ask("Quick", "now").wantBody("now")
		close(g.started)
		for body := range g.started {
			if body == "expired" || body == "spent" {
				t.Errorf("%q was run", body)
			}
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestTimeInTheSocketCounts(t *testing.T) {
	ran := 0
	story(t, func(s *Server) {
		HandleRaw(s, "Block", func(context.Context, *Request) ([]byte, error) {
			ran++
			time.Sleep(500 * time.Millisecond)
			return nil, nil
		}, Inline())
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		first := l.ask("Block", "")
		synctest.Wait() // the reader is in the handler: what comes now stays in the socket
		second := l.ask("Block", "", budget(300))
		first.want(wire.OK)
		second.want(wire.Expired)
		if ran != 1 {
			t.Errorf("%d were run", ran)
		}
	})
}

func TestContextCarriesWhatIsLeft(t *testing.T) {
	var seen chan error
	var left atomic.Int64
	wait := func(ctx context.Context, _ *Request) ([]byte, error) {
		deadline, _ := ctx.Deadline()
		left.Store(int64(time.Until(deadline)))
		<-ctx.Done()
		seen <- ctx.Err()
		return []byte("ended"), nil
	}
	story(t, func(s *Server) {
		seen = make(chan error, 16)
		HandleRaw(s, "Wait", wait)
		HandleRaw(s, "Derived", func(ctx context.Context, r *Request) ([]byte, error) {
			before := runtime.NumGoroutine()
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("a derived context costs %d goroutines", n-before)
			}
			if Info(derived).Method != "Derived" {
				t.Error("a derived context does not know its request")
			}
			return wait(derived, r)
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		for _, method := range []string{"Wait", "Derived"} {
			from := time.Now()
			l.ask(method, "", budget(300)).wantBody("ended")
			if err := <-seen; !errors.Is(err, context.DeadlineExceeded) || time.Since(from) != 300*time.Millisecond {
				t.Errorf("%s: ended with %v after %s", method, err, time.Since(from))
			}
			if d := time.Duration(left.Load()); d > 300*time.Millisecond || d < 290*time.Millisecond {
				t.Errorf("%s: %s were left at the start", method, d)
			}
			for why, want := range map[wire.Code]error{wire.Cancelled: context.Canceled, wire.Expired: context.DeadlineExceeded} {
				q := l.ask(method, "")
				synctest.Wait()
				q.cancel(why)
				if err := <-seen; !errors.Is(err, want) {
					t.Errorf("%s: a CANCEL with %v ends with %v", method, why, err)
				}
				q.wantBody("ended")
			}
		}
	})
}

func TestCancelTakesWhatWaitsOut(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		first := l.ask("Slow", "first")
		<-g.started
		a, b, c := l.ask("Slow", "a"), l.ask("Slow", "b"), l.ask("Slow", "c")
		a.cancel(wire.Cancelled)
		a.want(wire.Cancelled)
		b.cancel(wire.Expired)
		b.want(wire.Expired)
		a.cancel(wire.Cancelled) // it is not here any more
		synctest.Wait()
		close(g.open)
		first.wantBody("first")
		c.wantBody("c")
		if body := <-g.started; body != "c" {
			t.Errorf("%q was run", body)
		}
		if st := s.Stats(); st.Cancelled != 2 || st.LateCancels != 1 {
			t.Errorf("stats are %+v", st)
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestQueueIsBounded(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		var taken []*question
		for range 2 {
			taken = append(taken, l.ask("Slow", "x"))
			<-g.started
		}
		for range 3 {
			taken = append(taken, l.ask("Slow", "x"))
		}
		if _, h := l.ask("Slow", "x").want(wire.Overloaded); h.GetRetryAfterMs() == 0 {
			t.Errorf("header is %v, want retry_after", h)
		}
		body, _ := l.ask("_ping", "").want(wire.OK) // past the queue
		var report pb.PingReport
		if err := proto.Unmarshal([]byte(body), &report); err != nil || report.GetRunning() != 2 {
			t.Errorf("report is %v, %v", &report, err)
		}
		time.Sleep(time.Second)
		body, _ = l.ask("_ping", "").want(wire.OK)
		if err := proto.Unmarshal([]byte(body), &report); err != nil || report.GetQueueDelayUs() != 1_000_000 {
			t.Errorf("report is %v, %v, want a second of delay", &report, err)
		}
		close(g.open)
		for _, q := range taken {
			q.wantBody("x")
		}
	}, func(o *Options) { o.Concurrency, o.Queue = 2, 3 })
}

func TestWorkersComeAndGo(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		var all []*question
		for range 50 {
			all = append(all, l.ask("Slow", "x"))
		}
		synctest.Wait()
		if got := len(g.started); got != 20 {
			t.Errorf("%d handlers run, want 20 at once", got)
		}
		close(g.open)
		for _, q := range all {
			q.wantBody("x")
		}
		workers := func() int {
			s.queue.mu.Lock()
			defer s.queue.mu.Unlock()
			return len(s.queue.workers)
		}
		if workers() == 0 {
			t.Error("no worker waits for more")
		}
		time.Sleep(2*idleTime + time.Second)
		if n := workers(); n != 0 {
			t.Errorf("%d workers are there after %s of nothing to do", n, 2*idleTime)
		}
		l.ask("Slow", "x").wantBody("x")
	}, func(o *Options) { o.Concurrency = 20 })
}

func TestSerialByKey(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle, SerialByKey())
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		var all []*question
		for i := range 4 {
			all = append(all, l.ask("Slow", fmt.Sprintf("a%d", i), key("a")), l.ask("Slow", fmt.Sprintf("b%d", i), key("b")))
		}
		all = append(all, l.ask("Slow", "free"), l.ask("Slow", "free"))
		synctest.Wait()
		got := map[string]bool{}
		for len(g.started) > 0 {
			got[<-g.started] = true
		}
		if len(got) != 3 || !got["a0"] || !got["b0"] || !got["free"] {
			t.Errorf("%v run at once, want the first of each key and those without", got)
		}
		all[2].cancel(wire.Cancelled) // a1
		all[2].want(wire.Cancelled)
		close(g.open)
		next := map[byte]byte{'a': '2', 'b': '1'}
		for i, q := range all {
			if i != 2 {
				q.want(wire.OK)
			}
		}
		close(g.started)
		for body := range g.started {
			if body[1] != next[body[0]] {
				t.Errorf("%s ran, want %c%c next", body, body[0], next[body[0]])
			}
			next[body[0]]++
		}
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		if len(s.queue.chains) != 0 {
			t.Errorf("%d keys are kept", len(s.queue.chains))
		}
	})
}

func TestCancelOfTheNextOfAKey(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle, SerialByKey())
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		var all []*question
		for _, body := range []string{"a0", "other", "a1", "a2", "a3"} {
			edit := key("a")
			if body == "other" {
				edit = key("")
			}
			all = append(all, l.ask("Slow", body, edit))
		}
		<-g.started // a0
		g.open <- struct{}{}
		all[0].wantBody("a0")
		<-g.started // other runs, a1 is ready and waits for the worker
		all[2].cancel(wire.Cancelled)
		all[2].want(wire.Cancelled)
		for _, i := range []int{1, 3, 4} {
			g.open <- struct{}{}
			all[i].want(wire.OK)
		}
		if first, second := <-g.started, <-g.started; first != "a2" || second != "a3" {
			t.Errorf("%s and %s ran, want a2 and a3", first, second)
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestInterceptors(t *testing.T) {
	var log []string
	note := func(name string) Interceptor {
		return func(ctx context.Context, r *Request, next HandlerFunc) ([]byte, error) {
			log = append(log, name+" "+r.Method)
			body, err := next(ctx, r)
			log = append(log, name+" "+string(body))
			return body, err
		}
	}
	deny := func(ctx context.Context, r *Request, next HandlerFunc) ([]byte, error) {
		if Info(ctx).Invoker.Module != "web" {
			return nil, Errorf("STRANGER", "who is %s?", Info(ctx).Invoker.Module)
		}
		return next(ctx, r)
	}
	twice := func(ctx context.Context, r *Request, next HandlerFunc) ([]byte, error) {
		body, err := next(ctx, r)
		if string(r.Body) == `{"Name":"twice"}` {
			r.Body = []byte("{")
			return next(ctx, r)
		}
		return body, err
	}
	story(t, func(s *Server) { Handle(s, "Say", say) }, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Say", `{"Name":"x"}`).wantBody(`{"Name":"Hello, x"}`)
		want := []string{"outer Say", "inner Say", `inner {"Name":"Hello, x"}`, `outer {"Name":"Hello, x"}`}
		if fmt.Sprint(log) != fmt.Sprint(want) {
			t.Errorf("log is %q, want %q", log, want)
		}
		_, h := l.ask("Say", "", func(_ *wire.Frame, h *pb.RequestHeader) { h.InvokerModule = "evil" }).want(wire.AppError)
		if h.GetAppCode() != "STRANGER" {
			t.Errorf("header is %v", h)
		}
		l.ask("Say", `{"Name":"twice"}`).want(wire.AnswerLost) // it ran once: no NOT_EXECUTED any more
	}, func(o *Options) { o.Interceptors = []Interceptor{note("outer"), note("inner"), deny, twice} })
}

func TestInfo(t *testing.T) {
	var got chan CallInfo
	story(t, func(s *Server) {
		got = make(chan CallInfo, 1)
		HandleRaw(s, "Look", func(ctx context.Context, r *Request) ([]byte, error) {
			got <- Info(ctx)
			return nil, nil
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		q := l.ask("Look", "", key("k"), func(f *wire.Frame, h *pb.RequestHeader) {
			f.Attempt, f.Flags = 2, wire.FlagDelivery
			h.Options, h.MessageId, h.UserData, h.Group = uint32(wire.Idempotent|wire.Reachable), "m1", []byte("u"), "eu"
			h.Metadata = []*pb.Metadata{{Key: "traceparent", Value: "00-1"}, {Key: "b", Value: "2"}}
			h.MessageAttempt, h.Fence, h.Redelivered, h.LeaseMs = 3, 9, true, 30_000
		})
		q.want(wire.OK)
		i := <-got
		want := Invoker{Module: "web", Instance: "web-1", IP: "10.0.0.1", Session: 5, Call: 6}
		if i.Invoker != want || i.RPCID != 1000+q.id || i.Attempt != 2 || i.HashKey != "k" || string(i.UserData) != "u" ||
			i.Ingress != "alpha" || i.Get("b") != "2" || i.Get("traceparent") != "00-1" || i.Get("c") != "" || !i.Idempotent ||
			i.Group != "eu" || i.Module != "hello" || i.Method != "Look" || time.Until(i.Deadline) > 5*time.Second || i.OneWay {
			t.Errorf("info is %+v", i)
		}
		if m := (Message{ID: "m1", Attempt: 3, Fence: 9, Redelivered: true, Lease: 30 * time.Second}); i.Message == nil || *i.Message != m {
			t.Errorf("message is %+v", i.Message)
		}
		if i := Info(t.Context()); i.Method != "" {
			t.Errorf("another context has %+v", i)
		}
	})
}

func TestOneWayIsNeverAnswered(t *testing.T) {
	var ran chan string
	story(t, func(s *Server) {
		ran = make(chan string, 16)
		HandleRaw(s, "Note", func(_ context.Context, r *Request) ([]byte, error) {
			ran <- string(r.Body)
			if string(r.Body) == "fail" {
				return nil, errors.New("no")
			}
			return []byte("x"), nil
		})
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Note", "ok", oneWay)
		<-ran
		l.ask("Note", "fail", oneWay)
		<-ran
		l.ask("Note", "spent", oneWay, budget(1))
		l.ask("Nope", "", oneWay)
		synctest.Wait()
		if len(ran) != 0 || l.stray != 0 {
			t.Errorf("%d ran that was spent, %d answers came", len(ran), l.stray)
		}
	})
}

func TestLostSession(t *testing.T) {
	var g *gate
	story(t, func(s *Server) {
		g = newGate()
		HandleRaw(s, "Slow", g.handle)
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		l.ask("Slow", "running")
		<-g.started
		l.ask("Slow", "waiting")
		synctest.Wait()
		l.conn.Close(errors.New("killed"))
		next := <-n.opened
		if waiting := s.Stats().Waiting; waiting != 0 {
			t.Errorf("%d requests of the lost session are in the way", waiting)
		}
		if next.login.GetInstanceUuid() != l.login.GetInstanceUuid() || next.login.GetStamp().GetN() != 1 {
			t.Errorf("it logged in as %v, then as %v", l.login, next.login)
		}
		q := next.ask("Slow", "next")
		close(g.open)
		q.wantBody("next")
		if body := <-g.started; body != "next" {
			t.Errorf("%q was run, its session was lost before", body)
		}
		if st := s.Stats(); st.Dropped != 1 || st.AnswersLost != 1 {
			t.Errorf("stats are %+v", st)
		}
	}, func(o *Options) { o.Concurrency = 1 })
}

func TestMethodsOfARunningServer(t *testing.T) {
	story(t, func(s *Server) {
		Handle(s, "Say", say, Idempotent(), ReachableAllowed(), Visibility(External), DefaultTimeout(3*time.Second), AllowLate())
	}, func(t *testing.T, n *node, s *running) {
		l := <-n.opened
		want := &pb.Method{
			Name: "Say", Idempotent: true, Reachable: true, Visibility: pb.Visibility_VISIBILITY_EXTERNAL,
			DefaultTimeoutMs: 3000, RunLate: true,
		}
		if m := l.login.GetMethods(); len(m) != 1 || !proto.Equal(m[0], want) {
			t.Errorf("LOGIN has %v, want %v", m, want)
		}
		if l.login.GetRole() != pb.Role_ROLE_SERVER || l.login.Needs != nil || l.login.GetWeight() != 7 {
			t.Errorf("LOGIN is %v", l.login)
		}
		HandleRaw(s.Server, "More", func(context.Context, *Request) ([]byte, error) { return nil, nil })
		f := <-l.control
		var methods pb.Methods
		if err := proto.Unmarshal(f.Header, &methods); f.Kind != wire.KindMethods || err != nil || len(methods.GetMethods()) != 2 {
			t.Errorf("the node got %v %v", f.Kind, &methods)
		}
		l.ask("More", "").wantBody("")
		for _, name := range []string{"Say", "_ping", "", "a.b", "ä"} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a method may be called %q", name)
					}
				}()
				Handle(s.Server, name, say)
			}()
		}
		if v := s.enforced.newest().Version; v != 1 {
			t.Errorf("policy version %d is in force, want that of the first session", v)
		}
		l.tell(wire.KindPolicy, &pb.Policy{Epoch: 1, Version: 9})
		<-n.opened
		l.tell(wire.KindPolicy, &pb.Policy{Epoch: 1, Version: 8})
		<-n.opened
		if v := s.enforced.newest().Version; v != 9 {
			t.Errorf("policy version %d is kept, want the newest", v)
		}
	}, func(o *Options) { o.Weight = 7 })
}
