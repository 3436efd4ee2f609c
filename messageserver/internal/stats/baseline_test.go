package stats

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func defaults() *Baseline {
	o := &Baseline{}
	if err := o.fill(); err != nil {
		panic(err)
	}
	return o
}

// steady judges minutes of about the same facts, and fails if one of them deviates.
func steady(t *testing.T, tr *trend, minutes int, f facts, o *Baseline) {
	t.Helper()
	for i := range minutes {
		wave := 1 + 0.05*math.Sin(float64(i))
		tr.judge(facts{f.calls * wave, f.failures * wave, f.p99 * wave}, nil, o)
		for what := range judged {
			if tr.courses[what].deviates {
				t.Fatalf("minute %d: %s deviate: %s", i, judgedNames[what], tr.courses[what].why)
			}
		}
	}
}

func (t *trend) deviating() (found string) {
	for what := range judged {
		if t.courses[what].deviates {
			found += judgedNames[what] + " "
		}
	}
	return found
}

func TestWhatDeviates(t *testing.T) {
	usual := facts{calls: 600, failures: 0.02, p99: 20000}
	for _, c := range []struct {
		name      string
		now       facts
		yesterday *facts
		want      string
	}{
		{"as always", usual, nil, ""},
		{"a little more", facts{800, 0.03, 30000}, nil, ""},
		{"twice as many", facts{1200, 0.02, 20000}, nil, "calls "},
		{"few", facts{250, 0.02, 20000}, nil, "calls "},
		{"none", facts{}, nil, "calls "},
		{"many fail", facts{600, 0.1, 20000}, nil, "failures "},
		{"none fails", facts{600, 0, 20000}, nil, ""},
		{"slow", facts{600, 0.02, 50000}, nil, "p99 "},
		{"fast", facts{600, 0.02, 500}, nil, ""},
		{"everything", facts{3000, 0.9, 1e6}, nil, "calls failures p99 "},
		{"as many as yesterday", facts{1200, 0.02, 20000}, &facts{1250, 0.02, 20000}, ""},
		{"unlike yesterday", facts{1200, 0.02, 20000}, &usual, "calls "},
		{"as slow as yesterday", facts{600, 0.02, 50000}, &facts{600, 0.02, 45000}, ""},
		{"too few yesterday to tell", facts{600, 0.02, 50000}, &facts{20, 0.02, 45000}, "p99 "},
		{"few calls say nothing of failures", facts{50, 1, 1e6}, nil, "calls "},
	} {
		o, tr := defaults(), new(trend)
		steady(t, tr, 60, usual, o)
		tr.judge(c.now, c.yesterday, o)
		if got := tr.deviating(); got != "" {
			t.Errorf("%s: after one minute: %s", c.name, got)
		}
		tr.judge(c.now, c.yesterday, o)
		if got := tr.deviating(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDeviationsBeginAndEndWithTwoMinutes(t *testing.T) {
	usual, much := facts{600, 0.02, 20000}, facts{3000, 0.02, 20000}
	for _, c := range []struct {
		minutes, want string // u: as usual, m: too many; -: nothing is said, !: it deviates
	}{
		{"mumumu", "------"},
		{"mmu", "-!!"},
		{"mmuu", "-!!-"},
		{"mmumuu", "-!!!!-"},
		{"mmuumm", "-!!--!"},
	} {
		o, tr := defaults(), new(trend)
		steady(t, tr, 60, usual, o)
		got := ""
		for _, m := range c.minutes {
			now := usual
			if m == 'm' {
				now = much
			}
			tr.judge(now, nil, o)
			if tr.deviating() == "" {
				got += "-"
			} else {
				got += "!"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.minutes, got, c.want)
		}
	}
}

func TestNothingIsJudgedBeforeItIsKnown(t *testing.T) {
	o, tr := defaults(), new(trend)
	for range o.Warmup {
		tr.judge(facts{1000, 0, 1000}, nil, o)
	}
	if tr.courses[judgedCalls].minutes != o.Warmup || math.Abs(tr.courses[judgedCalls].mean-1000) > 1e-6 || tr.courses[judgedCalls].variance > 1e-6 {
		t.Errorf("learned %+v", tr.courses[judgedCalls].average)
	}
	early := new(trend)
	for range o.Warmup - 2 {
		early.judge(facts{1000, 0, 1000}, nil, o)
	}
	early.judge(facts{9000, 1, 1e6}, nil, o)
	early.judge(facts{9000, 1, 1e6}, nil, o)
	if got := early.deviating(); got != "" {
		t.Errorf("while it warms up: %s", got)
	}
}

// TestWhatStaysBecomesNormal: a load that has doubled for good is an alarm for a while.
func TestWhatStaysBecomesNormal(t *testing.T) {
	o, tr := defaults(), new(trend)
	steady(t, tr, 60, facts{600, 0, 1000}, o)
	minutes := 0
	for tr.judge(facts{1500, 0, 1000}, nil, o); minutes < 200; minutes++ {
		tr.judge(facts{1500, 0, 1000}, nil, o)
		if minutes > 2 && tr.deviating() == "" {
			break
		}
	}
	if minutes < 5 || minutes > 60 {
		t.Errorf("it was an alarm for %d minutes", minutes)
	}
}

func TestAveragesOfNoise(t *testing.T) {
	var a average
	for i := range 10000 {
		a.learn(100+10*math.Sqrt2*math.Sin(float64(i)*1.7), 0.01)
	}
	if math.Abs(a.mean-100) > 2 || math.Abs(math.Sqrt(a.variance)-10) > 1 {
		t.Errorf("mean %v, deviation %v, want 100 and 10", a.mean, math.Sqrt(a.variance))
	}
}

// TestADeviationIsTold, with what was yesterday read from the file, and forgotten when nobody calls any more.
func TestADeviationIsTold(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	minute := func(calls int, code wire.Code) {
		n.call("web", "pay", "Charge", calls, code, time.Millisecond)
		n.jump(time.Minute)
	}
	for range 30 {
		minute(120, wire.OK)
	}
	minute(120, wire.AppError)
	if d := n.Deviations(); len(d) != 0 {
		t.Errorf("after one minute: %+v", d)
	}
	minute(120, wire.AppError)
	d := n.Deviations()
	if len(d) != 1 || d[0].Module != "pay" || d[0].Method != "Charge" || d[0].What != "failures" || d[0].Is != 1 ||
		!d[0].Since.Equal(noon.Add(31*time.Minute)) || !contains(d[0].Why, "failures: 100.0 %, on average") {
		t.Errorf("deviations: %+v", d)
	}
	if troubles := n.Troubles(); len(troubles) != 1 || troubles[0].Kind != BaselineDeviation || troubles[0].Subject != "pay.Charge" || !troubles[0].Since.Equal(d[0].Since) {
		t.Errorf("troubles: %+v", troubles)
	}
	minute(120, wire.OK)
	minute(120, wire.OK)
	if d := n.Deviations(); len(d) != 0 {
		t.Errorf("after it: %+v", d)
	}
	// The next day the same happens at the same time, and is nothing new.
	n.to(noon.Add(24*time.Hour - time.Minute))
	for range 31 {
		minute(120, wire.OK)
	}
	minute(120, wire.AppError)
	minute(120, wire.AppError)
	if d := n.Deviations(); len(d) != 0 {
		t.Errorf("as it was yesterday: %+v", d)
	}
	for i := 0; len(n.judge.trends) > 0; i++ {
		if n.jump(time.Minute); i > 200 {
			t.Fatal("a method that nobody calls is judged for ever")
		}
	}
	if d := n.Deviations(); len(d) != 0 {
		t.Errorf("of a method that is forgotten: %+v", d)
	}
}

func ExampleBaseline() {
	o := Baseline{Sigmas: -1, Failures: 2}
	fmt.Println(o.fill())
	// Output:
	// option Baseline.Sigmas is -1, must be above 0 and at most +Inf
	// option Baseline.Failures is 2, must be above 0 and at most 1
}
