package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

func TestACallGoesThereAndBack(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		c.serve("pay", "pay-1", echo)
		alice := c.client("alice")
		alice.wantReply("pay.Do", "42")
		alice.wantReply("pay.Do", "")
		var r rpcclient.Receipt
		alice.wantReply("pay.Do", string(bytes.Repeat([]byte("x"), 3<<20)), rpcclient.WantReceipt(&r)) // in parts
		if r.Receiver.Instance != "pay-1" || len(r.Hops) != 1 || r.RPCID == 0 {
			t.Errorf("receipt %+v", r)
		}
		e := alice.wantError(rpcclient.CodeNoModule, "nope.Do", "")
		if !errors.Is(e, rpcclient.ErrNotExecuted) || e.Node != "a" {
			t.Errorf("%+v: want NOT_EXECUTED by node a", e)
		}
		alice.wantError(rpcclient.CodeUnimplemented, "pay.Nope", "")
	})
}

func TestCallsWaitForTheConnection(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		c.serve("pay", "pay-1", echo)
		wire := newCutter(c.dialer("a"))
		wire.down = true
		alice := c.client("alice", func(o *rpcclient.Options) { o.Dial = wire.dial })
		answers := make(chan error, 10)
		for range cap(answers) {
			go func() {
				_, err := alice.CallRaw(c.ctx, "pay.Do", nil)
				answers <- err
			}()
		}
		alice.wantError(rpcclient.CodeExpired, "pay.Do", "", rpcclient.Timeout(20*time.Millisecond))
		wire.mu.Lock()
		wire.down = false
		wire.mu.Unlock()
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAnInstanceIsLostWithCallsInFlight(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		gate := make(chan struct{})
		hold := func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			select {
			case <-gate:
			case <-c.ctx.Done():
			}
			return nil, nil
		}
		one, two := c.serve("pay", "pay-1", hold), c.serve("pay", "pay-2", hold)
		alice := c.client("alice")
		const calls = 200
		results := make(chan error, calls)
		for range calls {
			go func() {
				_, err := alice.CallRaw(c.ctx, "pay.Do", nil)
				results <- err
			}()
		}
		eventually(t, "all calls run", func() bool { return one.started.Load()+two.started.Load() == calls })
		lost := one.started.Load()
		one.conns.cut(true)
		for range lost {
			e := wantCode(t, <-results, rpcclient.CodeConnectionLost)
			if !errors.Is(e, rpcclient.ErrUnknown) || len(e.Unknown) != 1 || e.Unknown[0].Instance != "pay-1" {
				t.Fatalf("%+v: want UNKNOWN at pay-1", e)
			}
		}
		close(gate)
		for range calls - lost {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if n := one.started.Load() + two.started.Load(); n != calls {
			t.Errorf("%d starts of %d calls", n, calls)
		}
		before := two.started.Load()
		alice.wantReply("pay.Do", "")
		if two.started.Load() != before+1 {
			t.Error("the instance that is left did not get the next call")
		}
		one.conns.mu.Lock()
		one.conns.down = false
		one.conns.mu.Unlock()
		eventually(t, "pay-1 is back", func() bool { return c.nodes["a"].HasInstance("pay", "pay-1") })
	})
}

func TestIdempotentCallsSurviveTheLossOfAnInstance(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		gate := make(chan struct{})
		var first atomic.Bool
		hold := func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			if first.CompareAndSwap(false, true) {
				<-gate
			}
			return append([]byte(nil), r.Body...), nil
		}
		one, two := c.serve("pay", "pay-1", hold), c.serve("pay", "pay-2", hold)
		alice := c.client("alice")
		var r rpcclient.Receipt
		result := make(chan error, 1)
		go func() {
			_, err := alice.CallRaw(c.ctx, "pay.Do", nil, rpcclient.Idempotent(), rpcclient.WantReceipt(&r))
			result <- err
		}()
		eventually(t, "it runs", func() bool { return one.started.Load()+two.started.Load() == 1 })
		had, other := one, two
		if two.started.Load() == 1 {
			had, other = two, one
		}
		had.conns.cut(true)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if r.Receiver.Instance != other.name || r.Attempts != 2 {
			t.Errorf("receipt %+v: want the other instance, at the second attempt", r)
		}
		close(gate)
	})
}

func TestCancel(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		running := make(chan struct{}, 8)
		pay := c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			running <- struct{}{}
			<-ctx.Done() // the cancel reaches the handler
			return nil, ctx.Err()
		}, func(o *rpcserver.Options) { o.Concurrency = 1 })
		alice := c.client("alice")

		ctx, cancel := context.WithCancel(c.ctx)
		ran := alice.Go(ctx, "pay.Do", nil, nil)
		<-running
		queuedCtx, cancelQueued := context.WithCancel(c.ctx)
		queued := alice.Go(queuedCtx, "pay.Do", nil, nil)
		eventually(t, "the second waits at the server", func() bool { return c.nodes["a"].InFlight() == 2 })
		cancelQueued()
		e := wantCode(t, queued.Wait(), rpcclient.CodeCancelled)
		if !errors.Is(e, rpcclient.ErrNotExecuted) || !errors.Is(e, context.Canceled) {
			t.Errorf("%v: want NOT_EXECUTED and context.Canceled", e)
		}
		cancel()
		err := ran.Wait()
		// The handler ended with an error of its own, or nothing was heard in time: both are true, "did not run" is not.
		if errors.Is(err, rpcclient.ErrNotExecuted) || err == nil {
			t.Errorf("a call that ran ended %v", err)
		}
		if n := pay.started.Load(); n != 1 {
			t.Errorf("%d handlers started, want 1", n)
		}
	})
}

func TestDeadlineInTheServersQueue(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		gate := make(chan struct{})
		pay := c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			<-gate
			return nil, nil
		}, func(o *rpcserver.Options) { o.Concurrency = 1 })
		alice := c.client("alice")
		long := alice.Go(c.ctx, "pay.Do", nil, nil)
		eventually(t, "the first runs", func() bool { return pay.started.Load() == 1 })
		e := alice.wantError(rpcclient.CodeExpired, "pay.Do", "", rpcclient.Timeout(100*time.Millisecond))
		if !errors.Is(e, rpcclient.ErrNotExecuted) || !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%v: want NOT_EXECUTED and context.DeadlineExceeded", e)
		}
		close(gate)
		if err := long.Wait(); err != nil {
			t.Error(err)
		}
		alice.wantReply("pay.Do", "")
		if n := pay.started.Load(); n != 2 {
			t.Errorf("%d handlers started: what was answered EXPIRED must never run", n)
		}
	})
}

func TestDeadlineInTheHandler(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		ended := make(chan error, 1)
		late := make(chan struct{})
		c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			if len(r.Body) == 0 {
				<-late // answers long after the deadline, whatever its context says
				return nil, nil
			}
			if string(r.Body) == "wait" {
				<-ctx.Done()
				ended <- ctx.Err()
				<-late
			}
			return append([]byte(nil), r.Body...), nil
		})
		alice := c.client("alice")
		// wantTimeout calls until the handler was started in time, which a busy machine may put off.
		wantTimeout := func(body string) *rpcclient.Error {
			for {
				_, err := alice.CallRaw(c.ctx, "pay.Do", []byte(body), rpcclient.Timeout(100*time.Millisecond))
				if !errors.Is(err, rpcclient.CodeExpired) {
					return wantCode(t, err, rpcclient.CodeTimeout)
				}
			}
		}
		e := wantTimeout("wait")
		if !errors.Is(e, rpcclient.ErrUnknown) {
			t.Errorf("%v: want UNKNOWN", e)
		}
		if err := <-ended; err == nil {
			t.Error("the handler's context has no error after its deadline")
		}
		wantTimeout("")
		close(late) // the answers come now: nobody gets them
		for i := range 100 {
			alice.wantReply("pay.Do", fmt.Sprint(i))
		}
	})
}

func TestGracefulStopLosesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		one := c.serve("pay", "pay-1", echo)
		c.serve("pay", "pay-2", echo)
		alice := c.client("alice")
		stop := make(chan struct{})
		var calls, failed atomic.Int64
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := alice.CallRaw(c.ctx, "pay.Do", nil); err != nil {
						failed.Add(1)
						t.Log(err)
					}
					calls.Add(1)
				}
			})
		}
		eventually(t, "calls flow", func() bool { return calls.Load() > 500 && one.started.Load() > 100 })
		one.wantStop()
		at := calls.Load()
		eventually(t, "calls go on", func() bool { return calls.Load() > at+500 })
		close(stop)
		callers.Wait()
		if n := failed.Load(); n != 0 {
			t.Errorf("%d of %d calls failed while an instance stopped", n, calls.Load())
		}
	})
}

func TestTheNewestLoginOfANameWins(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		old := c.serve("pay", "pay-1", echo)
		alice := c.client("alice")
		alice.wantReply("pay.Do", "1")
		fresh := c.serve("pay", "pay-1", echo)
		select {
		case err := <-old.done:
			if !errors.Is(err, rpcserver.ErrReplaced) {
				t.Errorf("the older one ended with %v", err)
			}
			old.done <- nil
		case <-c.ctx.Done():
			t.Fatal("the older one goes on")
		}
		alice.wantReply("pay.Do", "2")
		if fresh.started.Load() != 1 {
			t.Error("the call did not go to the newer process")
		}
	})
}

func TestNestedCallsInheritTheBudget(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		left := make(chan time.Duration, 1)
		c.serve("rank", "rank-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			d, _ := ctx.Deadline()
			left <- time.Until(d)
			if in := rpcserver.Info(ctx); in.Invoker.Module != "pay" || in.Invoker.Instance != "pay-1" {
				t.Errorf("rank was called by %+v", in)
			}
			return []byte("added"), nil
		}, func(o *rpcserver.Options) {})
		var pay *module
		ready := make(chan struct{})
		pay = c.serve("pay", "pay-1", func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
			<-ready
			var out []byte
			err := pay.server.Client().Call(ctx, "rank.Do", []byte("x"), &out)
			return out, err
		}, func(o *rpcserver.Options) { o.Needs = []string{"rank"} })
		close(ready)
		if err := pay.server.WaitReady(c.ctx); err != nil {
			t.Fatal(err)
		}
		alice := c.client("alice")
		got, err := alice.CallRaw(c.ctx, "pay.Do", nil, rpcclient.Timeout(3*time.Second))
		if err != nil || string(got) != "added" {
			t.Fatalf("%q, %v", got, err)
		}
		if d := <-left; d > 3*time.Second || d <= 0 {
			t.Errorf("the nested call had %v left of 3 s", d)
		}
	})
}

func TestOneWayCallsAreBalanced(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		one, two := c.serve("pay", "pay-1", echo), c.serve("pay", "pay-2", echo)
		alice := c.client("alice")
		alice.wantReply("pay.Do", "") // connected
		for range 100 {
			if err := alice.OneWay(c.ctx, "pay.Do", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all arrived", func() bool { return one.started.Load()+two.started.Load() == 101 })
		if n := one.started.Load(); n < 45 || n > 55 {
			t.Errorf("%d of 100 one-way calls at one of two instances", n)
		}
	})
}

func TestAddressing(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		who := func(ctx context.Context, r *rpcserver.Request) ([]byte, error) { return nil, nil }
		c.serve("pay", "eu-1", who, func(o *rpcserver.Options) { o.Group = "eu" })
		c.serve("pay", "eu-2", who, func(o *rpcserver.Options) { o.Group = "eu" })
		c.serve("pay", "us-1", who, func(o *rpcserver.Options) { o.Group = "us" })
		alice := c.client("alice")
		reached := func(opts ...rpcclient.CallOption) map[string]int {
			seen := map[string]int{}
			for range 60 {
				var r rpcclient.Receipt
				if _, err := alice.CallRaw(c.ctx, "pay.Do", nil, append(opts, rpcclient.WantReceipt(&r))...); err != nil {
					t.Fatal(err)
				}
				seen[r.Receiver.Instance]++
			}
			return seen
		}
		for _, b := range []rpcclient.Balancer{rpcclient.Random, rpcclient.RoundRobin, rpcclient.LeastActive} {
			if seen := reached(rpcclient.Balance(b)); len(seen) != 3 {
				t.Errorf("%v reached %v, want all three", b, seen)
			}
		}
		if seen := reached(rpcclient.Group("eu")); len(seen) != 2 || seen["us-1"] != 0 {
			t.Errorf("group eu reached %v", seen)
		}
		if seen := reached(rpcclient.HashKey("user 7")); len(seen) != 1 {
			t.Errorf("one key reached %v", seen)
		}
		if seen := reached(rpcclient.Instance("us-1")); seen["us-1"] != 60 {
			t.Errorf("instance us-1 reached %v", seen)
		}
		if seen := reached(rpcclient.Group("eu"), rpcclient.Instance("eu-2")); seen["eu-2"] != 60 {
			t.Errorf("instance eu-2 in group eu reached %v", seen)
		}
		alice.wantError(rpcclient.CodeNoInstance, "pay.Do", "", rpcclient.Group("us"), rpcclient.Instance("eu-2"))
		alice.wantError(rpcclient.CodeNoInstance, "pay.Do", "", rpcclient.Group("asia"))
	})
}

// An interceptor may keep what the handlers behind it answered: a cache does.
func TestAnInterceptorMayKeepAnswers(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		var mu sync.Mutex
		kept := map[string][]byte{}
		cache := func(ctx context.Context, r *rpcserver.Request, next rpcserver.HandlerFunc) ([]byte, error) {
			key := r.Method + string(r.Body)
			mu.Lock()
			body, ok := kept[key]
			mu.Unlock()
			if ok {
				return body, nil
			}
			body, err := next(ctx, r)
			if err == nil {
				mu.Lock()
				kept[key] = body
				mu.Unlock()
			}
			return body, err
		}
		pay := c.serve("pay", "pay-1", echo, func(o *rpcserver.Options) { o.Interceptors = []rpcserver.Interceptor{cache} })
		rpcserver.Handle(pay.server, "Shout", func(_ context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String(strings.ToUpper(in.GetValue())), nil
		})
		alice := c.client("alice")
		eventually(t, "the method is reported", func() bool {
			return !errors.Is(alice.Call(c.ctx, "pay.Shout", wrapperspb.String("first"), nil), rpcclient.CodeUnimplemented)
		})
		for range 20 {
			for _, name := range []string{"alice", "bobby", "carol"} {
				out := &wrapperspb.StringValue{}
				if err := alice.Call(c.ctx, "pay.Shout", wrapperspb.String(name), out); err != nil || out.GetValue() != strings.ToUpper(name) {
					t.Fatalf("%s was answered %q, %v", name, out.GetValue(), err)
				}
			}
		}
	})
}
