package ratelimit

import (
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
)

func ruleOf(id string) governance.Rule {
	return governance.Rule{ID: id, Version: 4, Tally: &governance.Tally{}, Calendar: &governance.Calendar{}}
}

// counts are those of a Tally.
type counts struct{ refused, shadowed, alarmed, paced uint64 }

func countsOf(t *governance.Tally) counts {
	return counts{t.Refused.Load(), t.Shadowed.Load(), t.Alarmed.Load(), t.Paced.Load()}
}

// TestWhatBecomesOfCallsOverTheLimit sends one call after the bucket, of 10/s, is empty.
func TestWhatBecomesOfCallsOverTheLimit(t *testing.T) {
	const ms = time.Millisecond
	pace := Options{Over: Pace, MaxWait: time.Second}
	for _, c := range []struct {
		name   string
		o      Options
		shadow bool
		call   governance.Call
		owed   int // reserved before
		want   governance.Verdict
		counts counts
	}{
		{"reject", Options{}, false, governance.Call{Budget: time.Second}, 0, governance.Verdict{Code: 21, RetryAfter: 100 * ms}, counts{refused: 1}},
		{"reject in shadow", Options{}, true, governance.Call{Budget: time.Second}, 0, governance.Verdict{}, counts{shadowed: 1}},
		{"alarm", Options{Over: Alarm}, false, governance.Call{}, 0, governance.Verdict{}, counts{alarmed: 1}},
		{"alarm in shadow", Options{Over: Alarm}, true, governance.Call{}, 0, governance.Verdict{}, counts{shadowed: 1}},
		{"alarm does not hold", Options{Over: Alarm, MaxWait: time.Second}, false, governance.Call{Budget: time.Second}, 0, governance.Verdict{}, counts{alarmed: 1}},
		{"pace", pace, false, governance.Call{Budget: time.Second}, 0, governance.Verdict{Wait: 100 * ms}, counts{paced: 1}},
		{"pace in shadow", pace, true, governance.Call{Budget: time.Second}, 0, governance.Verdict{}, counts{shadowed: 1}},
		{"pace, without a budget", pace, false, governance.Call{}, 0, governance.Verdict{Wait: 100 * ms}, counts{paced: 1}},
		{"pace, one-way", pace, false, governance.Call{Budget: time.Second, OneWay: true}, 0, governance.Verdict{Code: 21, RetryAfter: 100 * ms}, counts{refused: 1}},
		{"pace, the budget is too short", pace, false, governance.Call{Budget: 99 * ms}, 0, governance.Verdict{Code: 21, RetryAfter: 100 * ms}, counts{refused: 1}},
		{"pace, the budget is just enough", pace, false, governance.Call{Budget: 100 * ms}, 0, governance.Verdict{Wait: 100 * ms}, counts{paced: 1}},
		{"pace, the queue is just short enough", pace, false, governance.Call{Budget: time.Hour}, 9, governance.Verdict{Wait: time.Second}, counts{paced: 1}},
		{"pace, the queue is too long", pace, false, governance.Call{Budget: time.Hour}, 10, governance.Verdict{Code: 21, RetryAfter: 1100 * ms}, counts{refused: 1}},
		{"pace, the queue is too long, in shadow", pace, true, governance.Call{Budget: time.Hour}, 10, governance.Verdict{}, counts{shadowed: 1}},
		{"pace without a wait rejects", Options{Over: Pace}, false, governance.Call{Budget: time.Second}, 0, governance.Verdict{Code: 21, RetryAfter: 100 * ms}, counts{refused: 1}},
	} {
		rule, b := ruleOf("r"), NewBucket(10, 1)
		rule.Shadow = c.shadow
		p := New(rule, c.o, b)
		if v := p.Admit(0, &c.call); !v.Admitted() || v.Wait != 0 || v.RuleID != "" {
			t.Fatalf("%s: %+v while there is a token", c.name, v)
		}
		for range c.owed {
			b.Reserve(0, time.Hour)
		}
		v := p.Admit(0, &c.call)
		if v.Code != c.want.Code || v.Wait != c.want.Wait || v.RetryAfter != c.want.RetryAfter {
			t.Errorf("%s: %+v, want %+v", c.name, v, c.want)
		}
		if named := v.RuleID == "r" && v.RuleVersion == 4; named != (v.Code != 0 || v.Wait != 0) {
			t.Errorf("%s: the rule's name in %+v", c.name, v)
		}
		if got := countsOf(rule.Tally); got != c.counts {
			t.Errorf("%s: counted %+v, want %+v", c.name, got, c.counts)
		}
		p.Settle(0, &c.call, governance.Succeeded)
	}
}

func TestARuleThatHasEndedAsksForNothing(t *testing.T) {
	rule, b := ruleOf("r"), NewBucket(1, 1)
	rule.Until = int64(time.Minute)
	p, call := New(rule, Options{}, b), &governance.Call{}
	for range 10 {
		if !p.Admit(time.Minute, call).Admitted() {
			t.Fatal("refused after the end of the rule")
		}
	}
	if b.Asked() != 0 {
		t.Errorf("%d tokens were asked for", b.Asked())
	}
	p.Admit(time.Minute-1, call)
	if p.Admit(time.Minute-1, call).Admitted() {
		t.Error("admitted before the end of the rule")
	}
}

func TestNamesOfOver(t *testing.T) {
	for over, want := range map[Over]string{Reject: "reject", Alarm: "alarm", Pace: "pace", 9: "unknown"} {
		if over.String() != want {
			t.Errorf("%d is called %q, want %q", over, over, want)
		}
	}
}

func TestAdmitDoesNotAllocate(t *testing.T) {
	for _, over := range []Over{Reject, Alarm, Pace} {
		p, call := New(ruleOf("r"), Options{Over: over, MaxWait: time.Second}, NewBucket(10, 1)), &governance.Call{Budget: time.Second}
		if n := testing.AllocsPerRun(100, func() { p.Admit(0, call); p.Settle(0, call, governance.Succeeded) }); n != 0 {
			t.Errorf("%v: %v allocations, want 0", over, n)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	call := &governance.Call{Budget: time.Second}
	for _, c := range []struct {
		name string
		o    Options
		rate float64
	}{{"passes", Options{}, 1e8}, {"rejects", Options{}, 1}, {"paces", Options{Over: Pace, MaxWait: time.Second}, 1e7}} {
		p := New(ruleOf("r"), c.o, NewBucket(c.rate, 100))
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for now := time.Duration(0); b.Loop(); now += 20 {
				p.Admit(now, call)
			}
		})
		b.Run(c.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(each *testing.PB) {
				for now := time.Duration(0); each.Next(); now += 20 {
					p.Admit(now, call)
				}
			})
		})
	}
}
