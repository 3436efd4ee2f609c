package cluster

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// load is calls that are offered at a steady rate, whatever becomes of them.
type load struct {
	a       *caller
	method  string
	opts    []rpcclient.CallOption
	every   time.Duration // calls come in batches of so much time
	rate    atomic.Int64  // calls per second
	stop    chan struct{}
	stopped sync.WaitGroup

	offered, ok, limited, other atomic.Int64
	retryAfter                  atomic.Int64 // ns, the shortest that was advised
	noAdvice                    atomic.Int64 // refusals without
	last                        atomic.Pointer[rpcclient.Error]
	failed                      atomic.Pointer[rpcclient.Error]
}

// load begins to offer calls, as evenly as the machine lets it.
func (a *caller) load(rate int64, method string, opts ...rpcclient.CallOption) *load {
	return a.loadInBatches(2*time.Millisecond, rate, method, opts...)
}

// loadInBatches is load of a caller that makes the calls of so much time at once.
func (a *caller) loadInBatches(every time.Duration, rate int64, method string, opts ...rpcclient.CallOption) *load {
	l := &load{every: every, a: a, method: method, opts: append([]rpcclient.CallOption{rpcclient.Timeout(long)}, opts...), stop: make(chan struct{})}
	l.rate.Store(rate)
	l.retryAfter.Store(int64(time.Hour))
	l.stopped.Go(l.offer)
	a.m.ends = append(a.m.ends, l.end)
	return l
}

// offer makes as many calls as the rate says.
func (l *load) offer() {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	var owed float64
	var under []*rpcclient.Pending
	for before := time.Now(); ; {
		select {
		case <-l.stop:
			for _, p := range under {
				l.count(p.Wait())
			}
			return
		case now := <-ticker.C:
			// What a busy machine did not let it make is not made up for: it would be a burst.
			rate := float64(l.rate.Load())
			owed = min(owed+rate*now.Sub(before).Seconds(), 1+rate*max(2*l.every, 50*time.Millisecond).Seconds())
			before = now
		}
		rest := under[:0]
		for _, p := range under {
			select {
			case <-p.Done():
				l.count(p.Wait())
			default:
				rest = append(rest, p)
			}
		}
		under = rest
		for ; owed >= 1 && len(under) < 512; owed-- {
			l.offered.Add(1)
			under = append(under, l.a.via.Go(l.a.m.ctx, l.method, []byte{}, nil, l.opts...))
		}
	}
}

func (l *load) count(err error) {
	if err == nil {
		l.ok.Add(1)
		return
	}
	e := rpcclient.AsError(err)
	if e == nil || e.Code != rpcclient.CodeRateLimited {
		l.other.Add(1)
		l.failed.Store(e)
		return
	}
	l.limited.Add(1)
	l.last.Store(e)
	if e.RetryAfter <= 0 {
		l.noAdvice.Add(1)
	} else {
		l.retryAfter.Store(min(l.retryAfter.Load(), int64(e.RetryAfter)))
	}
}

// end stops offering, and waits for what is under way.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.stopped.Wait()
}

// One caller makes a hundred times the calls of its quota: it is refused, and the others do not notice.
func oneCallerFarAboveItsQuota(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "a", "b")
	kim := g.operatorAt("kim", "a")
	made := kim.puts("id: quota, module: pay, rate: {per_second: 20, burst: 20, each: caller}")
	var quiet []*stream // each at a quarter of its quota
	for name, node := range map[string]string{"app": "a", "shop": "b", "desk": "c"} {
		quiet = append(quiet, g.clientAt(name, node).streamEvery(200*time.Millisecond, 1, "pay.Do", 0))
	}
	began := time.Now()
	noisy := g.clientAt("web", "b").load(2000, "pay.Do")
	g.within(healed, "2,000 calls are refused", func() bool { return noisy.limited.Load() >= 2000 })
	found := kim.wantAlarm("limit_exceeded", "quota")
	if !strings.Contains(found.Text, "refused") {
		t.Errorf("the alarm says %q", found.Text)
	}
	g.wantFlow(10, quiet...)
	noisy.end()
	took := time.Since(began)
	for _, l := range quiet {
		if y := l.ends(); y.ok != y.total {
			t.Errorf("%s: %v: want all to succeed: web is above its quota, and nobody else", l.caller.name, y)
		}
	}
	if most := 20*took.Seconds()*1.1 + 20; float64(noisy.ok.Load()) > most || noisy.ok.Load() == 0 || noisy.other.Load() > 0 {
		t.Errorf("web: of %d calls in %v %d succeed, %d fail (%v), want at most %.0f to", noisy.offered.Load(), took, noisy.ok.Load(),
			noisy.other.Load(), noisy.failed.Load(), most)
	}
	if e := noisy.last.Load(); e.RuleID != "quota" || e.RuleVersion != made.Mark.Version || e.Class != rpcclient.NotExecuted {
		t.Errorf("web is refused with %v, want the rule quota to do it", e)
	}
	if n, least := noisy.noAdvice.Load(), time.Duration(noisy.retryAfter.Load()); n > 0 || least > time.Second {
		t.Errorf("%d refusals do not say when to come back; the shortest that is said is %v", n, least)
	}
	t.Logf("web offers %.0f/s and gets %.1f/s of 20", float64(noisy.offered.Load())/took.Seconds(), float64(noisy.ok.Load())/took.Seconds())
}

// A limit that paces holds calls until their turn, and refuses those whose turn is too far away.
func aPacedLimitDelays(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b")
	web := g.clientAt("web", "c")
	kim := g.operatorAt("kim", "a")
	kim.puts("id: pace, module: pay, rate: {per_second: 50, burst: 1, per: node, over: pace, max_wait: 5s}")
	began := time.Now()
	web.crowd(41, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
	if took := time.Since(began); took < 780*time.Millisecond {
		t.Errorf("41 calls take %v at 50/s, want 800 ms", took)
	}
	at := g.operatorAt("lee", "c")
	if r := at.rule("pace"); r.Refused != 0 || r.Paced < 35 || r.Paced > 40 {
		t.Errorf("the rule has done %+v at c, want 40 calls paced, and none refused", r)
	}

	made := kim.puts("id: pace, module: pay, rate: {per_second: 10, burst: 1, per: node, over: pace, max_wait: 500ms}")
	y := web.crowd(40, "pay.Do", 0).wantEnds(5 * time.Second)
	if n := y.codes[rpcclient.CodeRateLimited]; n+y.ok != 40 || y.ok < 5 || y.ok > 7 {
		t.Errorf("40 calls at once, of which 5 may wait: %v", y)
	}
	if e := rpcclient.AsError(y.some[rpcclient.CodeRateLimited]); e != nil && (e.RuleID != "pace" || e.RuleVersion != made.Mark.Version || e.RetryAfter <= 0) {
		t.Errorf("%v: want the rule pace, and when to come back", e)
	}
}

// Rules in shadow refuse nothing, and count what they would.
func shadowRefusesNothing(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b")
	web := g.clientAt("web", "c")
	g.operatorAt("kim", "a").puts(
		"id: off-later, module: pay, shadow: true, off: {}",
		"id: deny-later, module: pay, caller: web, shadow: true, callers: {deny: [web]}",
		"id: limit-later, module: pay, shadow: true, rate: {per_second: 1, burst: 1, per: node}",
	)
	web.crowd(60, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
	at := g.operatorAt("lee", "c")
	for id, least := range map[string]uint64{"off-later": 60, "deny-later": 60, "limit-later": 50} {
		if r := at.rule(id); r.Refused != 0 || r.Shadowed < least || r.Shadowed > 60 {
			t.Errorf("%+v: want %d to 60 calls shadowed, and none refused", r, least)
		}
	}
	if found := at.alarms("limit_exceeded"); len(found) > 0 {
		t.Errorf("alarms of a limit in shadow: %+v", found)
	}
}
