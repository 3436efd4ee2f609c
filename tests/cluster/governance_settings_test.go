package cluster

import (
	"bytes"
	"context"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// A rule cuts the time that callers give their calls.
func aRuleCutsTimes(t *testing.T, g *governed) {
	gate := g.gate()
	stubborn := func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
		<-gate.open // whatever becomes of its call
		return echo(ctx, r)
	}
	pay := g.serveAt("pay", "pay-1", stubborn, "b")
	web := g.clientAt("web", "c")
	kim := g.operatorAt("kim", "a")
	kim.puts("id: short, module: pay, timeout: {max: 300ms}")
	began := time.Now()
	err := web.tries("pay.Do", rpcclient.Timeout(30*time.Second))
	took := time.Since(began)
	e := wantCode(t, err, rpcclient.CodeTimeout)
	if e.Class != rpcclient.Unknown || took < 250*time.Millisecond || took > slack*600*time.Millisecond {
		t.Errorf("a call that may take 30 s ends after %v with %v, want UNKNOWN after the rule's 300 ms", took, err)
	}
	if n := pay.started.Load(); n != 1 {
		t.Errorf("VOID: %d handlers started", n)
	}
	kim.puts()
	patient := web.crowd(1, "pay.Do", 0)
	g.wantRunning(2, pay)
	gate.opens()
	patient.wantEnds(5 * time.Second).wantAll()
}

// With a rule, calls avoid the instance that is busy. In turns, which is the default, every second one goes there.
func aRuleChoosesTheBalancer(t *testing.T, g *governed) {
	gate := g.gate()
	busy, idle := g.serveAt("session", "busy", gate.echo, "a"), g.serveAt("session", "idle", echo, "b")
	web := g.clientAt("web", "c")
	inTurns := web.crowd(20, "session.Do", 0)
	// In turns, and not exactly one by one: who has logged in a little earlier has a little more weight.
	g.within(healed, "the others are answered", func() bool { return busy.started.Load()+idle.finished.Load() == 20 })
	before := busy.started.Load()
	if before < 5 || before > 15 {
		t.Errorf("VOID: without a rule %d of 20 calls go to the busy instance, want about 10", before)
	}
	g.operatorAt("kim", "a").puts("id: least, module: session, balance: {by: least_active}")
	for range 40 {
		web.wantOK("session.Do", rpcclient.Timeout(patience))
	}
	if n := busy.started.Load(); n != before {
		t.Errorf("%d of 40 calls go to the busy instance, want none", n-before)
	}
	gate.opens()
	inTurns.wantEnds(5 * time.Second).wantAll()
}

// A rule caps how often a call is started, whatever its caller allows.
func aRuleCapsAttempts(t *testing.T, g *governed) {
	kim := g.operatorAt("kim", "a")
	// lose makes a call, and cuts off the instance that runs it. It returns how the call ended, and how often it was started.
	lose := func(module string) (starts int64, err error) {
		gate := g.gate()
		one, two := g.serveAt(module, module+"-1", gate.echo, "b"), g.serveAt(module, module+"-2", gate.echo, "c")
		web := g.clientAt("web-"+module, "a")
		var got []byte
		call := web.via.Go(g.ctx, module+".Do", []byte("lost"), &got, rpcclient.Idempotent(), rpcclient.MaxAttempts(3), rpcclient.Timeout(long))
		g.wantRunning(1, one, two)
		runs, other := one, two
		if two.started.Load() > 0 {
			runs, other = two, one
		}
		runs.conns.cut(true)
		g.within(healed, "the call has ended, or runs again", func() bool {
			select {
			case <-call.Done():
				return true
			default:
				return other.started.Load() > 0
			}
		})
		gate.opens()
		err = call.Wait()
		if err == nil && !bytes.Equal(got, []byte("lost")) {
			t.Errorf("the call was answered %q", got)
		}
		runs.conns.stay(false)
		return one.started.Load() + two.started.Load(), err
	}
	if starts, err := lose("map"); err != nil || starts != 2 {
		t.Errorf("VOID: without a rule the call ends with %v after %d starts, want it to be started again", err, starts)
	}
	kim.puts("id: once, module: pay, retry: {max_attempts: 1}")
	if starts, err := lose("pay"); rpcclient.AsError(err) == nil || rpcclient.AsError(err).Class != rpcclient.Unknown || starts != 1 {
		t.Errorf("the call ends with %v after %d starts, want UNKNOWN after the one that the rule allows", err, starts)
	}
}

// A rule says whether calls run whose time is up.
func aRuleSaysWhatIsLate(t *testing.T, g *governed) {
	kim := g.operatorAt("kim", "a")
	// wait makes a call that waits behind another one until its time is up, and returns how it ended and whether it ran afterwards.
	wait := func(name string, opts ...rpcclient.CallOption) (*rpcclient.Error, bool) {
		gate := g.gate()
		pay := g.launchWide(1, "pay-"+name, "pay-"+name, gate.echo, "b")
		g.wantKnown("pay-"+name, "pay-"+name)
		web := g.clientAt("web", "c")
		first := web.crowd(1, "pay-"+name+".Do", 0)
		g.wantRunning(1, pay)
		_, err := web.CallRaw(g.ctx, "pay-"+name+".Do", []byte("late"), append(opts, rpcclient.Timeout(500*time.Millisecond))...)
		gate.opens()
		first.wantEnds(5 * time.Second).wantAll()
		last := web.crowd(1, "pay-"+name+".Do", 0) // it comes behind
		last.wantEnds(5 * time.Second).wantAll()
		return rpcclient.AsError(err), pay.started.Load() == 3
	}
	// A node that hears too late what became of a call calls it TIMEOUT. Whether it ran is what counts.
	timedOut := func(e *rpcclient.Error) bool {
		return e != nil && (e.Code == rpcclient.CodeExpired || e.Code == rpcclient.CodeTimeout)
	}
	if e, ran := wait("1"); !timedOut(e) || ran {
		t.Errorf("VOID: without a rule a late call ends with %v, ran %v, want EXPIRED", e, ran)
	}
	if e, ran := wait("2", rpcclient.RunLate()); !timedOut(e) || !ran {
		t.Errorf("VOID: a call that may be late ends with %v, ran %v, want TIMEOUT, and it to run", e, ran)
	}
	kim.puts("id: never-late, module: pay-3, late: {do: discard}", "id: late-too, module: pay-4, late: {do: run}")
	if e, ran := wait("3", rpcclient.RunLate()); !timedOut(e) || ran {
		t.Errorf("with discard a call that may be late ends with %v, ran %v, want EXPIRED", e, ran)
	}
	if e, ran := wait("4"); !timedOut(e) || !ran {
		t.Errorf("with run a call ends with %v, ran %v, want TIMEOUT, and it to run", e, ran)
	}
}
