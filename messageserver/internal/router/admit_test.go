package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/proto/wire"
)

// ruler is a Governor, Meters and Refusals whose rules a test changes by hand. It is the Policy of all its regimes.
type ruler struct {
	mu         sync.Mutex
	generation uint64
	settings   governance.Settings
	verdict    func(c *governance.Call) governance.Verdict
	asked      []governance.Subject
	admitted   []governance.Call
	settled    []governance.Outcome
	noted      []string

	entered, started int
	finished         []wire.Code
	took             []time.Duration
	metered          []governance.Subject
}

// govern changes the rules.
func (r *ruler) govern(s governance.Settings, verdict func(c *governance.Call) governance.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	r.settings, r.verdict = s, verdict
}

func (r *ruler) Generation() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation
}

func (r *ruler) Regime(s governance.Subject) *governance.Regime {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, s)
	regime := &governance.Regime{Settings: r.settings}
	if r.verdict != nil {
		regime.Policy = &ruled{r, r.verdict}
	}
	return regime
}

func (r *ruler) Restrictions(string) (governance.Mark, []governance.Restriction) {
	return governance.Mark{}, nil
}

type ruled struct {
	*ruler
	verdict func(c *governance.Call) governance.Verdict
}

func (p *ruled) Admit(_ time.Duration, c *governance.Call) governance.Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.verdict(c)
	if v.Admitted() {
		p.admitted = append(p.admitted, *c)
	}
	return v
}

func (p *ruled) Settle(_ time.Duration, _ *governance.Call, o governance.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = append(p.settled, o)
}

func (r *ruler) Note(_ time.Duration, rpcID uint64, c *governance.Call, v governance.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted = append(r.noted, fmt.Sprintf("%d %s %s.%s %s", rpcID, c.Caller, c.Module, c.Method, v.RuleID))
}

func (r *ruler) NoteServer(now time.Duration, rpcID uint64, c *governance.Call, v governance.Verdict) {
	v.RuleID = fmt.Sprintf("%s of %d with %d at a server", v.RuleID, v.RuleVersion, v.Code)
	r.Note(now, rpcID, c, v)
}

func (r *ruler) Meter(s governance.Subject) governance.Meter {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metered = append(r.metered, s)
	return r
}
func (r *ruler) Entered() { r.mu.Lock(); defer r.mu.Unlock(); r.entered++ }
func (r *ruler) Started() { r.mu.Lock(); defer r.mu.Unlock(); r.started++ }
func (r *ruler) Finished(code uint16, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished, r.took = append(r.finished, wire.Code(code)), append(r.took, took)
}

func ruledHouse(t *testing.T) (*house, *ruler) {
	r := &ruler{}
	h := newHouse(t, Options{Governor: r, Meters: r, Refusals: r})
	t.Cleanup(func() {
		h.check()
		if len(r.settled) != len(r.admitted) {
			t.Errorf("%d calls were admitted, and %d settled", len(r.admitted), len(r.settled))
		}
		if len(r.finished) != r.entered {
			t.Errorf("%d calls entered, and %d finished", r.entered, len(r.finished))
		}
	})
	return h, r
}

func admitAll(*governance.Call) governance.Verdict { return governance.Verdict{} }

func TestARuleRefusesWithItsIDAndFallback(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict {
		return governance.Verdict{
			Code: uint16(wire.Degraded), RuleID: "rocket-off", RuleVersion: 7, RetryAfter: 1500*time.Millisecond + 1,
			Fallback: []byte(`{"ok":false}`), FallbackType: "application/json",
		}
	})
	o, _, _ := h.submit(callSpec{method: "Move"})
	a := o.want(t, wire.Degraded)
	head := header(t, a)
	if head.GetRuleId() != "rocket-off" || head.GetRuleVersion() != 7 || head.GetRetryAfterMs() != 1501 || head.GetNode() != "a" {
		t.Errorf("header %v", head)
	}
	if string(a.Body) != `{"ok":false}` || head.GetContentType() != "application/json" {
		t.Errorf("fallback %q of type %q", a.Body, head.GetContentType())
	}
	if pay.got() != 0 || r.started != 0 || len(r.settled) != 0 {
		t.Errorf("%d requests were sent, %d counted as started, %d settled: a refused call is none of them", pay.got(), r.started, len(r.settled))
	}
	if want := "4711 web pay.Move rocket-off"; len(r.noted) != 1 || r.noted[0] != want {
		t.Errorf("noted %q, want %q", r.noted, want)
	}
}

func TestWhatAServerRefusesByARuleIsNoted(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	o, _, _ := h.submit(callSpec{method: "Move"})
	pay.end(pay.last().CallID, End{Code: wire.RateLimited, Hops: 1, Header: wire.AppendRefusal(nil, &wire.Refusal{
		Message: "5/s", RuleID: "of-an-instance", RuleVersion: 7,
	})})
	o.want(t, wire.RateLimited)
	o, _, _ = h.submit(callSpec{method: "Move"})
	pay.end(pay.last().CallID, End{Code: wire.BadRequest, Hops: 1, Header: wire.AppendRefusal(nil, &wire.Refusal{Message: "no rule"})})
	o.want(t, wire.BadRequest)
	if want := "4711 web pay.Move of-an-instance of 7 with 21 at a server"; len(r.noted) != 1 || r.noted[0] != want {
		t.Errorf("noted %q, want %q", r.noted, want)
	}
}

func TestACallKeepsTheRulesThatAdmittedIt(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	r.govern(governance.Settings{}, admitAll)
	before, _, _ := h.submit(callSpec{method: "Move"})
	r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict {
		return governance.Verdict{Code: uint16(wire.Degraded), RuleID: "off"}
	})
	after, _, _ := h.submit(callSpec{method: "Move"})
	after.want(t, wire.Degraded)
	h.pass(5 * time.Millisecond)
	pay.end(pay.last().CallID, End{Code: wire.AppError})
	before.want(t, wire.AppError)
	if len(r.settled) != 1 || r.settled[0] != governance.Failed {
		t.Errorf("settled %v, want one failure", r.settled)
	}
	if r.entered != 2 || r.started != 1 || r.took[1] != 5*time.Millisecond {
		t.Errorf("entered %d, started %d, took %v", r.entered, r.started, r.took)
	}
	if len(r.asked) != 2 || len(r.metered) != 1 {
		t.Errorf("rules were asked %d times and meters %d times, want once per generation and once", len(r.asked), len(r.metered))
	}
}

func TestFactsOfACall(t *testing.T) {
	h, r := ruledHouse(t)
	h.serve("pay-1", func(reg *Registration) { reg.Group = "g1" })
	r.govern(governance.Settings{}, admitAll)
	h.r.OneWay(&h.b, h.fill(nil, callSpec{
		method: "Move", flags: wire.FlagOneWay | wire.FlagHigh, budget: time.Second, body: "abc",
		edit: func(q *wire.Request) { q.Group = []byte("g1") },
	}), 1)
	if len(r.admitted) != 1 {
		t.Fatalf("admitted %v", r.admitted)
	}
	c := r.admitted[0]
	want := governance.Call{
		Caller: "web", Module: "pay", Method: "Move", Group: "g1", OneWay: true, Critical: governance.High,
		Budget: time.Second, Size: c.Size,
	}
	if c != want || c.Size <= 3 {
		t.Errorf("facts %+v, want %+v", c, want)
	}
	if r.started != 1 || len(r.settled) != 1 {
		t.Errorf("started %d, settled %v", r.started, r.settled)
	}
}

func TestSettings(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	budget := func(s callSpec) uint32 {
		t.Helper()
		o, _, _ := h.submit(s)
		f := pay.last()
		pay.end(f.CallID, End{Code: wire.OK})
		o.want(t, wire.OK)
		return f.BudgetMS
	}
	r.govern(governance.Settings{DefaultTimeout: 700 * time.Millisecond}, nil)
	if got := budget(callSpec{method: "Move"}); got != 700 {
		t.Errorf("budget %d ms, want the rule's 700 and not the contract's", got)
	}
	r.govern(governance.Settings{MaxTimeout: 200 * time.Millisecond}, nil)
	if got := budget(callSpec{method: "Move"}); got != 200 {
		t.Errorf("budget %d ms, want the contract's cut to 200", got)
	}
	if got := budget(callSpec{method: "Move", budget: time.Second}); got != 200 {
		t.Errorf("budget %d ms, want the caller's cut to 200", got)
	}
	if got := budget(callSpec{method: "Move", budget: 50 * time.Millisecond}); got != 50 {
		t.Errorf("budget %d ms, want the caller's 50", got)
	}
}

func TestARuleCapsAttempts(t *testing.T) {
	h, r := ruledHouse(t)
	one, two := h.serve("pay-1"), h.serve("pay-2")
	r.govern(governance.Settings{MaxAttempts: 1}, nil)
	o, _, _ := h.submit(callSpec{method: "Charge", edit: func(q *wire.Request) { q.Options, q.MaxAttempts = wire.Idempotent, 3 }})
	first := one
	if two.got() > 0 {
		first = two
	}
	first.end(first.last().CallID, End{Code: wire.ConnectionLost})
	o.want(t, wire.ConnectionLost)
	if one.got()+two.got() != 1 {
		t.Errorf("%d attempts, want the one that the rule allows", one.got()+two.got())
	}
}

// TestLateCallsByRule sends a call whose time is up, here and over a link: what a rule has decided travels with it.
func TestLateCallsByRule(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	late := func(options wire.Options) *answers {
		o := &answers{}
		c := h.fill(o, callSpec{method: "Move", budget: 10 * time.Millisecond, edit: func(q *wire.Request) { q.Options = options }})
		c.Arrived -= time.Second
		h.r.Submit(&h.b, c, 1)
		return o
	}
	r.govern(governance.Settings{Late: governance.LateDiscard}, nil)
	late(wire.RunLate).want(t, wire.Expired)
	r.govern(governance.Settings{Late: governance.LateRun}, nil)
	o := late(0)
	o.wantNone(t)

	far := newHouse(t, Options{Node: "b"})
	there := far.serve("pay-1")
	f := pay.last()
	var q wire.Request
	if err := q.Walk(f.Header, wire.ByNode); err != nil || q.Stamp.Late != wire.LateRun {
		t.Fatalf("the header says late %d (%v), want run", q.Stamp.Late, err)
	}
	wire.SetTarget(f.Header, there.session)
	c := far.borrow(&answers{}, &f)
	c.Arrived -= time.Second
	far.r.Local().Submit(&far.b, c)
	if there.got() != 1 {
		t.Fatal("the second node has not sent it on, although the rule says that it runs")
	}
	far.pass(grace + 10*time.Millisecond) // nobody cancels it
	far.check()

	pay.end(f.CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
}

func TestARuleBalancesByHashOnlyWithAKey(t *testing.T) {
	h, r := ruledHouse(t)
	instances := []*fakeTarget{h.serve("pay-1"), h.serve("pay-2"), h.serve("pay-3")}
	r.govern(governance.Settings{Balance: governance.BalanceHash}, nil)
	spread := func(key string) (used int) {
		for _, i := range instances {
			i.frames = nil
		}
		for range 12 {
			o, _, _ := h.submit(callSpec{method: "Move", edit: func(q *wire.Request) { q.HashKey = []byte(key) }})
			for _, i := range instances {
				if i.got() > 0 && o.count() == 0 {
					i.end(i.last().CallID, End{Code: wire.OK})
				}
			}
			o.want(t, wire.OK)
		}
		for _, i := range instances {
			if i.got() > 0 {
				used++
			}
		}
		return used
	}
	if used := spread("user-1"); used != 1 {
		t.Errorf("calls of one key went to %d instances, want 1", used)
	}
	if used := spread(""); used != 3 {
		t.Errorf("calls without a key went to %d instances, want all 3", used)
	}
}

func TestAPacedCallStartsLater(t *testing.T) {
	for name, body := range map[string]string{"kept": "abc", "too large to be kept": strings.Repeat("x", keepLimit)} {
		t.Run(name, func(t *testing.T) {
			h, r := ruledHouse(t)
			pay := h.serve("pay-1")
			r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict {
				return governance.Verdict{Wait: 20 * time.Millisecond}
			})
			o := &answers{}
			c := h.fill(o, callSpec{method: "Move", body: body, budget: time.Second})
			readers := c.body
			h.r.Submit(&h.b, c, 1)
			clear(readers) // the reader goes on with its buffer
			if pay.got() != 0 {
				t.Fatal("a call that is held was sent")
			}
			h.pass(30 * time.Millisecond)
			f := pay.last()
			if string(f.Body) != body || f.BudgetMS > 980 {
				t.Errorf("%d bytes with %d ms left, want %d and what is left after the wait", len(f.Body), f.BudgetMS, len(body))
			}
			pay.end(f.CallID, End{Code: wire.OK})
			o.want(t, wire.OK)
		})
	}
}

func TestAPacedCallIsCancelledOrExpires(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict { return governance.Verdict{Wait: 50 * time.Millisecond} })
	o, c, life := h.submit(callSpec{method: "Move", budget: time.Second})
	h.r.Cancel(&h.b, c, life, wire.Cancelled)
	o.want(t, wire.Cancelled)
	o, _, _ = h.submit(callSpec{method: "Move", budget: 10 * time.Millisecond})
	if head := header(t, o.want(t, wire.RateLimited)); head.GetRetryAfterMs() != 50 { // it would have no time left
		t.Errorf("retry after %d ms, want the wait", head.GetRetryAfterMs())
	}
	if pay.got() != 0 {
		t.Errorf("%d of them were sent", pay.got())
	}
	if len(r.settled) != 2 || r.settled[0] != governance.Local || r.settled[1] != governance.Local {
		t.Errorf("settled %v", r.settled)
	}
}

func TestUnknownNamesDoNotFillTheAccounts(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	for i := range 2*maxAccounts + 100 { // once they are forgotten, and then that was a moment ago
		o, _, _ := h.submit(callSpec{method: fmt.Sprintf("No%d", i)})
		o.want(t, wire.Unimplemented)
	}
	if n := len(h.caller.accounts.all); n > maxAccounts {
		t.Errorf("%d accounts, at most %d are wanted", n, maxAccounts)
	}
	if last := r.metered[len(r.metered)-1]; last != (governance.Subject{Caller: "web"}) {
		t.Errorf("what does not fit is counted as %+v", last)
	}
	h.pass(2 * forgetEvery)
	r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict {
		return governance.Verdict{Code: uint16(wire.Denied), RuleID: "all"}
	})
	for i := range maxAccounts {
		h.submit(callSpec{method: fmt.Sprintf("No%d", i)})
	}
	free, _, _ := h.submit(callSpec{method: "_ping"})
	pay.end(pay.last().CallID, End{Code: wire.OK})
	free.want(t, wire.OK) // also of a caller that has no room for more accounts
	r.govern(governance.Settings{}, nil)
	h.pass(2 * forgetEvery)
	o, _, _ := h.submit(callSpec{method: "Move"})
	pay.end(pay.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	if a := h.caller.accounts.all[accountKey{"pay", "Move", ""}]; a == nil || a.shared {
		t.Errorf("a method that is registered has account %v, want one of its own", a)
	}
}

func TestWhatIsTurnedAwayIsCounted(t *testing.T) {
	h, r := ruledHouse(t)
	h.serve("pay-1")
	r.govern(governance.Settings{}, admitAll)
	o := &answers{}
	h.r.TurnAway(&h.b, h.fill(o, callSpec{method: "Move"}), "no room")
	o.want(t, wire.Overloaded)
	if r.entered != 1 || len(r.finished) != 1 || r.finished[0] != wire.Overloaded || len(r.admitted) != 0 {
		t.Errorf("entered %d, finished %v, admitted %v", r.entered, r.finished, r.admitted)
	}
}

func TestWhatServersAnswerByThemselvesIsNotRuled(t *testing.T) {
	h, r := ruledHouse(t)
	pay := h.serve("pay-1")
	r.govern(governance.Settings{}, func(*governance.Call) governance.Verdict {
		return governance.Verdict{Code: uint16(wire.Degraded), RuleID: "all-off"}
	})
	o, _, _ := h.submit(callSpec{method: "_ping"})
	pay.end(pay.last().CallID, End{Code: wire.OK})
	o.want(t, wire.OK)
	if len(r.metered) != 0 || r.entered != 0 {
		t.Errorf("metered %v, entered %d", r.metered, r.entered)
	}
}

func TestAdmittingAllocatesNothing(t *testing.T) {
	h := newHouse(t, Options{Governor: fixedRules{&governance.Regime{Policy: governance.Chain{}}}})
	h.serve("pay-1")
	c := h.fill(&answers{}, callSpec{method: "Move"})
	c.account = h.r.account(0, h.caller, &c.Request)
	if n := testing.AllocsPerRun(1000, func() {
		c.account = h.r.account(0, h.caller, &c.Request)
		h.r.admit(&h.b, c)
		c.leave(h.now, wire.OK)
	}); n != 0 {
		t.Errorf("%v allocations per call, want none", n)
	}
	h.r.Drop(c)
}

// fixedRules are the same for all.
type fixedRules struct{ regime *governance.Regime }

func (f fixedRules) Generation() uint64                           { return 1 }
func (f fixedRules) Regime(governance.Subject) *governance.Regime { return f.regime }
func (f fixedRules) Restrictions(string) (governance.Mark, []governance.Restriction) {
	return governance.Mark{}, nil
}
