package governance

import (
	"testing"
	"time"
)

func TestRefuse(t *testing.T) {
	r := Rule{ID: "r", Version: 7, Tally: &Tally{}}
	v := r.Refuse(Verdict{Code: 21, RetryAfter: time.Second})
	if v.Code != 21 || v.RuleID != "r" || v.RuleVersion != 7 || v.RetryAfter != time.Second {
		t.Errorf("%+v, want the verdict with the rule's name", v)
	}
	if r.Tally.Refused.Load() != 1 || r.Tally.Shadowed.Load() != 0 {
		t.Errorf("counted %d refused and %d shadowed, want 1 and 0", r.Tally.Refused.Load(), r.Tally.Shadowed.Load())
	}
}

func TestRefuseInShadowAdmits(t *testing.T) {
	r := Rule{ID: "r", Version: 7, Shadow: true, Tally: &Tally{}}
	v := r.Refuse(Verdict{Code: 21, RetryAfter: time.Second, Fallback: []byte("f")})
	if !v.Admitted() || v.RuleID != "" || v.RetryAfter != 0 || v.Fallback != nil {
		t.Errorf("%+v, want the zero verdict", v)
	}
	if r.Tally.Refused.Load() != 0 || r.Tally.Shadowed.Load() != 1 {
		t.Errorf("counted %d refused and %d shadowed, want 0 and 1", r.Tally.Refused.Load(), r.Tally.Shadowed.Load())
	}
}

func TestARuleEndsByTheCalendar(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	calendar := &Calendar{}
	calendar.Set(time.Minute, noon) // the process has run for a minute at noon
	end := noon + int64(10*time.Second)
	r := Rule{Until: end, Calendar: calendar}
	for _, c := range []struct {
		now  time.Duration
		over bool
	}{{0, false}, {time.Minute, false}, {70*time.Second - 1, false}, {70 * time.Second, true}, {time.Hour, true}} {
		if got := r.Over(c.now); got != c.over {
			t.Errorf("at %v, with the end at 1m10s: over is %v", c.now, got)
		}
	}
	calendar.Set(62*time.Second, noon-int64(time.Hour)) // the wall clock was set back
	if r.Over(70 * time.Second) {
		t.Error("over by the clock as it was before it was set back")
	}
	calendar.Set(62*time.Second, end)
	if !r.Over(62 * time.Second) {
		t.Error("not over though the clock was set to the end")
	}
	if got := calendar.At(63 * time.Second); got != end+int64(time.Second) {
		t.Errorf("a second later it is %d, want %d", got, end+int64(time.Second))
	}
}

func TestARuleWithoutAnEndNeedsNoCalendar(t *testing.T) {
	if r := (&Rule{}); r.Over(0) || r.Over(1<<62) {
		t.Error("a rule without an end has ended")
	}
}

func TestMarksAreOrdered(t *testing.T) {
	for _, c := range []struct {
		a, b Mark
		less bool
	}{
		{Mark{1, 2}, Mark{1, 3}, true}, {Mark{1, 3}, Mark{1, 2}, false}, {Mark{1, 9}, Mark{2, 1}, true},
		{Mark{2, 1}, Mark{1, 9}, false}, {Mark{1, 1}, Mark{1, 1}, false},
	} {
		if got := c.a.Less(c.b); got != c.less {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}
