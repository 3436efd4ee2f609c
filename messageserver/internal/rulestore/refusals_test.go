package rulestore

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

// refusing is a node without a Run whose clock is set by hand.
func refusing(t testing.TB) (r *Rules, now *time.Duration) {
	t.Helper()
	now = new(time.Duration)
	r, err := New(Options{Now: func() time.Duration { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return r, now
}

func callOf(caller, method string) *governance.Call {
	return &governance.Call{
		Caller: caller, CallerInstance: caller + "-1", CallerIP: netip.MustParseAddr("10.0.0.1"), Module: "m", Method: method, Budget: time.Second, Size: 100,
	}
}

func (f RefusedFilter) ids(r *Rules) (ids []uint64) {
	for _, one := range r.Refused(f) {
		ids = append(ids, one.RPCID)
	}
	return ids
}

func TestRefusedCallsAreKeptAndFound(t *testing.T) {
	r, now := refusing(t)
	if err := r.Adopt(told(version(7), offs("Pay"))); err != nil {
		t.Fatal(err)
	}
	if got := r.Refused(RefusedFilter{}); len(got) != 0 {
		t.Errorf("before any: %v", got)
	}
	*now = time.Hour
	r.Note(*now, 1, callOf("web", "Pay"), governance.Verdict{Code: 17, RuleID: "Pay-off", RuleVersion: 7, RetryAfter: time.Second})
	*now += time.Minute
	r.Note(*now, 2, callOf("shop", "Pay"), governance.Verdict{Code: 18, RuleID: "limit", RuleVersion: 7})
	r.Note(*now, 3, callOf("web", "Ask"), governance.Verdict{Code: 18, RuleID: "limit", RuleVersion: 7})
	for _, c := range []struct {
		f    RefusedFilter
		want []uint64
	}{
		{RefusedFilter{}, []uint64{3, 2, 1}},
		{RefusedFilter{Limit: 2}, []uint64{3, 2}},
		{RefusedFilter{RPCID: 2}, []uint64{2}},
		{RefusedFilter{RuleID: "limit"}, []uint64{3, 2}},
		{RefusedFilter{Caller: "web"}, []uint64{3, 1}},
		{RefusedFilter{Module: "m", Method: "Pay"}, []uint64{2, 1}},
		{RefusedFilter{Module: "n"}, nil},
		{RefusedFilter{Caller: "web", RuleID: "limit", Limit: 1}, []uint64{3}},
	} {
		if got := c.f.ids(r); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.f, got, c.want)
		}
	}
	one := r.Refused(RefusedFilter{RPCID: 1})[0]
	if one.Call != *callOf("web", "Pay") || one.Code != 17 || one.RuleID != "Pay-off" || one.RuleVersion != 7 || one.RuleEpoch != version(7).Epoch || one.RetryAfter != time.Second {
		t.Errorf("kept %+v", one)
	}
	if want := time.Unix(0, r.o.Calendar.At(time.Hour)); !one.At.Equal(want) {
		t.Errorf("at %v, want %v", one.At, want)
	}
	if one.Explanation.Decided != "Pay-off" {
		t.Errorf("explained as %+v", one.Explanation)
	}
	*now = time.Hour + refusalsAge + time.Second
	if got := (RefusedFilter{}).ids(r); !slices.Equal(got, []uint64{3, 2}) {
		t.Errorf("after ten minutes: %v, want 3 and 2", got)
	}
}

// TestWhatServersRefuseIsCounted at the rule that they name; of one that is gone it is only kept.
func TestWhatServersRefuseIsCounted(t *testing.T) {
	r, now := refusing(t)
	if err := r.Adopt(told(version(7), "format: 1\nrules:\n  - {id: five, module: m, rate: {per_second: 5, per: instance}}\n")); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"five", "five", "gone"} {
		r.NoteServer(*now, uint64(i+1), callOf("web", "Pay"), governance.Verdict{Code: 21, RuleID: id, RuleVersion: 7})
	}
	if got := (RefusedFilter{RuleID: "five"}).ids(r); !slices.Equal(got, []uint64{2, 1}) {
		t.Errorf("kept %v, want 2 and 1", got)
	}
	if d := r.Set().Describe(*now); len(d) != 1 || d[0].Refused != 2 {
		t.Errorf("%+v, want 2 refused", d)
	}
}

func TestOnlyTheLastRefusedCallsAreKept(t *testing.T) {
	r, _ := refusing(t)
	c := callOf("web", "Pay")
	const all = 2*refusalsKept + 100
	for id := range uint64(all) {
		r.Note(0, id+1, c, governance.Verdict{Code: 17})
	}
	got := RefusedFilter{Limit: all}.ids(r)
	if len(got) != refusalsKept || got[0] != all || got[refusalsKept-1] != all-refusalsKept+1 {
		t.Errorf("%d are kept, from %d to %d", len(got), got[0], got[len(got)-1])
	}
	if got := (RefusedFilter{}).ids(r); len(got) != refusalsShow {
		t.Errorf("%d are shown without a limit", len(got))
	}
	r.refusals.next.Store(1 << 60) // after many years it does not look for each
	r.Note(0, 1, c, governance.Verdict{Code: 17})
	if got := (RefusedFilter{Limit: all}).ids(r); len(got) != 1 {
		t.Errorf("%d are kept", len(got))
	}
}

// TestRefusedCallsOfManyAtOnce: each is whole, none is lost while there is room.
func TestRefusedCallsOfManyAtOnce(t *testing.T) {
	r, _ := refusing(t)
	callers := []string{"a", "b", "c", "d"}
	const each = refusalsKept / 4
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	for i, caller := range callers {
		writers.Go(func() {
			c := callOf(caller, "Pay-"+caller)
			for n := range uint64(each) {
				r.Note(0, n*4+uint64(i)+1, c, governance.Verdict{Code: uint16(i), RuleID: caller})
			}
		})
	}
	check := func(limit int) int {
		found := r.Refused(RefusedFilter{Limit: limit})
		for _, one := range found {
			i := int(one.RPCID-1) % 4
			if one.Call.Caller != callers[i] || one.Call.Method != "Pay-"+callers[i] || one.RuleID != callers[i] || one.Code != uint16(i) {
				t.Errorf("mixed: %+v", one)
			}
		}
		return len(found)
	}
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				check(50)
				runtime.Gosched()
			}
		}
	})
	writers.Wait()
	close(done)
	reader.Wait()
	if got := check(refusalsKept); got != refusalsKept {
		t.Errorf("%d of %d are there", got, refusalsKept)
	}
}

func TestAllocNote(t *testing.T) {
	r, _ := refusing(t)
	c, v := callOf("web", "Pay"), governance.Verdict{Code: 17, RuleID: "Pay-off", RuleVersion: 7}
	for range refusalsKept {
		r.Note(0, 1, c, v)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Note(0, 1, c, v) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkNote(b *testing.B) {
	r, _ := refusing(b)
	c, v := callOf("web", "Pay"), governance.Verdict{Code: 17, RuleID: "Pay-off", RuleVersion: 7}
	b.ReportAllocs()
	for b.Loop() {
		r.Note(0, 1, c, v)
	}
}

func BenchmarkNoteOfAllProcessors(b *testing.B) {
	r, _ := refusing(b)
	v := governance.Verdict{Code: 17, RuleID: "Pay-off", RuleVersion: 7}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		c := callOf("web", "Pay")
		for p.Next() {
			r.Note(0, 1, c, v)
		}
	})
}
