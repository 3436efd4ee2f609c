package stats

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twohop/twohop/proto/wire"
)

func TestRates(t *testing.T) {
	n := at(t, noon.Add(5*time.Second), Options{})
	want := func(when string, one_, ten, sixty float64, peak uint64) {
		t.Helper()
		r := one(t, n.Now(Query{}))
		if diff := cmp.Diff([]float64{one_, ten, sixty}, []float64{r.Rate1, r.Rate10, r.Rate60}); diff != "" || r.Peak != peak {
			t.Errorf("%s: peak %d, want %d; rates:\n%s", when, r.Peak, peak, diff)
		}
	}
	n.call("web", "pay", "Charge", 30, wire.OK, time.Millisecond)
	want("before the second is over", 0, 0, 0, 0)
	n.wait(1)
	want("after it", 30, 3, 0.5, 30)
	n.call("web", "pay", "Charge", 60, wire.OK, time.Millisecond)
	n.call("app", "pay", "Charge", 60, wire.OK, time.Millisecond)
	n.wait(1)
	want("of two callers", 120, 15, 2.5, 120)
	n.wait(8)
	want("in the tenth second", 0, 15, 2.5, 120)
	n.wait(1)
	want("in the eleventh", 0, 12, 2.5, 120)
	n.wait(1)
	want("in the twelfth", 0, 0, 2.5, 120)
	n.wait(48)
	want("in the sixtieth", 0, 0, 2.5, 120)
	n.wait(1)
	want("in the one after it", 0, 0, 2, 120)
	n.wait(1)
	want("when all is over", 0, 0, 0, 0)
	n.check()
}

func TestASamplerThatComesLate(t *testing.T) {
	n := at(t, noon, Options{})
	n.call("web", "pay", "Charge", 100, wire.OK, time.Millisecond)
	n.jump(4 * time.Second)
	if r := one(t, n.Now(Query{})); r.Rate1 != 25 || r.Rate10 != 10 || r.Peak != 25 {
		t.Errorf("got %v, %v, peak %d: want the calls spread over the seconds that have passed", r.Rate1, r.Rate10, r.Peak)
	}
	n.call("web", "pay", "Charge", 240, wire.OK, time.Millisecond)
	n.jump(2 * time.Minute)
	if r := one(t, n.Now(Query{})); r.Rate1 != 2 || r.Rate60 != 2 {
		t.Errorf("after a longer time: %v, %v, want 2 and 2", r.Rate1, r.Rate60)
	}
	n.jump(400 * time.Millisecond)
	n.call("web", "pay", "Charge", 3, wire.OK, time.Millisecond)
	n.jump(200 * time.Millisecond)
	if r := one(t, n.Now(Query{})); r.Rate1 != 3 {
		t.Errorf("after most of a second: %v, want 3", r.Rate1)
	}
	n.check()
}

func TestNowIsGroupedAndFiltered(t *testing.T) {
	n := at(t, noon, Options{})
	n.call("web", "pay", "Charge", 5, wire.OK, time.Millisecond)
	n.call("web", "pay", "Refund", 3, wire.AppError, 100*time.Millisecond)
	n.call("app", "pay", "Charge", 2, wire.RateLimited, 20*time.Microsecond)
	n.call("app", "mail", "Send", 1, wire.Timeout, time.Second)
	n.wait(1)
	for _, c := range []struct {
		q    Query
		want []string
	}{
		{Query{}, []string{" pay Charge", " pay Refund", " mail Send"}},
		{Query{By: ByModule}, []string{" pay ", " mail "}},
		{Query{By: ByCaller}, []string{"web  ", "app  "}},
		{Query{By: ByCallerMethod}, []string{"web pay Charge", "web pay Refund", "app pay Charge", "app mail Send"}},
		{Query{By: ByNothing}, []string{"  "}},
		{Query{By: ByCaller, Module: "pay", Method: "Refund"}, []string{"web  "}},
		{Query{Caller: "app"}, []string{" pay Charge", " mail Send"}},
		{Query{Sort: SortName}, []string{" mail Send", " pay Charge", " pay Refund"}},
		{Query{Sort: SortFailures}, []string{" pay Refund", " pay Charge", " mail Send"}},
		{Query{Sort: SortTime, Limit: 1}, []string{" mail Send"}},
		{Query{Sort: SortP99, Limit: 2}, []string{" mail Send", " pay Refund"}},
		{Query{Sort: SortRate, Limit: 1}, []string{" pay Charge"}},
		{Query{Module: "none"}, nil},
		{Query{By: "x"}, nil},
	} {
		var got []string
		for _, r := range n.Now(c.q) {
			got = append(got, r.Caller+" "+r.Module+" "+r.Method)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v:\n%s", c.q, diff)
		}
	}
	r := one(t, n.Now(Query{By: ByModule, Module: "pay"}))
	if diff := cmp.Diff(map[string]uint64{"OK": 5, "APP_ERROR": 3, "RATE_LIMITED": 2}, r.Codes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]uint64{"success": 5, "executed": 3, "not_executed": 2}, r.Classes); diff != "" {
		t.Error(diff)
	}
	if r.Failures() != 5 || r.SumUS != 5*1000+3*100000+2*20 || r.P50US < 875 || r.P50US > 1125 {
		t.Errorf("got %d failures, %d µs, p50 %d", r.Failures(), r.SumUS, r.P50US)
	}
}

// TestNowIsOfTheLastMinutes: what is long ago is in the total alone.
func TestNowIsOfTheLastMinutes(t *testing.T) {
	n := at(t, noon, Options{})
	n.call("web", "pay", "Charge", 5, wire.OK, time.Millisecond)
	m := n.meterOf("web", "pay", "Charge")
	m.Entered()
	want := func(when string, over float64, recent, total uint64) {
		t.Helper()
		r, all := one(t, n.Now(Query{})), one(t, n.Now(Query{Total: true}))
		if r.Entered != recent || r.Over != over || all.Entered != total || r.InFlight != 1 || all.InFlight != 1 {
			t.Errorf("%s: %d in %v s, %d in all, %d in flight; want %d in %v s, %d in all, 1", when, r.Entered, r.Over, all.Entered, r.InFlight, recent, over, total)
		}
	}
	n.wait(59)
	want("in the first minute", 59, 6, 6)
	n.wait(1)
	want("at its end", 60, 6, 6)
	n.call("web", "pay", "Charge", 3, wire.OK, time.Millisecond)
	n.wait(59)
	want("in the second minute", 119, 9, 9)
	n.wait(1)
	want("at its end", 60, 3, 9)
	n.wait(60)
	want("a minute later", 60, 0, 9)
	n.check()
	runtime.KeepAlive(m)
}
