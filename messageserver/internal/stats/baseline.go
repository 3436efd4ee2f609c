package stats

import (
	"errors"
	"fmt"
	"math"
)

// Baseline says what deviates. A method's minute is compared with an exponentially weighted moving average of its minutes and with
// the same minute yesterday; it deviates if it is far from both, or from the average where yesterday is not kept. Calls may be too
// many or too few; failures and p99 only too high.
//
// Far is more than Sigmas deviations of the average, and more than the least that matters: Calls, Failures, Latency. Every zero
// is the default.
type Baseline struct {
	MinCalls float64 // calls a minute, now or on average, below which nothing is judged. Default 60
	Warmup   int     // minutes that are learned before the first is judged. Default 15
	Weight   float64 // of the newest minute in the average, above 0 and at most 1. Default 0.05: some twenty minutes
	Sigmas   float64 // Default 4
	Calls    float64 // share of the average. Default 0.5: half as many or half as many again
	Failures float64 // share of all calls. Default 0.05
	Latency  float64 // share of the average. Default 1: twice as long
	Begin    int     // minutes in a row that deviate before it is said. Default 2
	End      int     // minutes in a row that do not before it is over. Default 2
}

// fill sets what is not set, and reports what is wrong, all at once.
func (o *Baseline) fill() error {
	var found []error
	for _, one := range []struct {
		name       string
		value      *float64
		ifZero, to float64
	}{
		{"MinCalls", &o.MinCalls, 60, math.Inf(1)}, {"Weight", &o.Weight, 0.05, 1}, {"Sigmas", &o.Sigmas, 4, math.Inf(1)},
		{"Calls", &o.Calls, 0.5, math.Inf(1)}, {"Failures", &o.Failures, 0.05, 1}, {"Latency", &o.Latency, 1, math.Inf(1)},
	} {
		if *one.value == 0 {
			*one.value = one.ifZero
		}
		if !(*one.value > 0 && *one.value <= one.to) {
			found = append(found, fmt.Errorf("option Baseline.%s is %v, must be above 0 and at most %v", one.name, *one.value, one.to))
		}
	}
	for _, one := range []struct {
		name   string
		value  *int
		ifZero int
	}{{"Warmup", &o.Warmup, 15}, {"Begin", &o.Begin, 2}, {"End", &o.End, 2}} {
		if *one.value == 0 {
			*one.value = one.ifZero
		}
		if *one.value < 0 {
			found = append(found, fmt.Errorf("option Baseline.%s is %d, must be above 0", one.name, *one.value))
		}
	}
	return errors.Join(found...)
}

// facts are one minute of a method, as it is judged.
type facts struct {
	calls    float64
	failures float64 // share of what has finished
	p99      float64 // µs
}

// of returns a number by its place in a course.
func (f facts) of(what int) float64 { return [...]float64{f.calls, f.failures, f.p99}[what] }

// What is judged, and how it is called.
const (
	judgedCalls = iota
	judgedFailures
	judgedP99
	judged
)

var judgedNames = [judged]string{"calls", "failures", "p99"}

// average is an exponentially weighted mean with its variance (West's incremental form).
type average struct {
	mean, variance float64
	minutes        int
}

// learn adds a minute. While there are few it is their plain mean.
func (a *average) learn(x, weight float64) {
	a.minutes++
	weight = max(weight, 1/float64(a.minutes))
	d := x - a.mean
	a.mean += weight * d
	a.variance = (1 - weight) * (a.variance + weight*d*d)
}

// course is how one number of a method goes on.
type course struct {
	average
	outside, inside int  // minutes in a row that deviated, and that did not
	deviates        bool // and was said
	is, expected    float64
	why             string
}

// judge says whether x is far from what was before, and from yesterday's; nil: not kept. enough says that there are enough
// calls to tell; else nothing begins. Then it learns x, cut to what is not far, so that one minute does not make everything after it
// look normal, and what stays as it is becomes normal.
func (c *course) judge(what int, x float64, yesterday *float64, enough bool, o *Baseline) {
	margin := o.margin(what, c.mean, math.Sqrt(c.variance))
	far := func(from float64) bool {
		if what == judgedCalls {
			return math.Abs(x-from) > margin
		}
		return x > from+margin
	}
	out := enough && c.minutes >= o.Warmup && far(c.mean) && (yesterday == nil || far(*yesterday))
	if out {
		c.outside, c.inside = c.outside+1, 0
	} else {
		c.outside, c.inside = 0, c.inside+1
	}
	switch {
	case !c.deviates && c.outside >= o.Begin:
		c.deviates = true
	case c.deviates && c.inside >= o.End:
		c.deviates = false
	}
	if out {
		c.is, c.expected, c.why = x, c.mean, why(what, x, c.mean, margin, yesterday)
	}
	if c.minutes >= o.Warmup {
		x = min(max(x, c.mean-margin), c.mean+margin)
	}
	c.learn(x, o.Weight)
}

// margin returns how far from the mean is far.
func (o *Baseline) margin(what int, mean, deviation float64) float64 {
	least := o.Failures
	switch what {
	case judgedCalls:
		least = o.Calls * mean
	case judgedP99:
		least = o.Latency * mean
	}
	return max(o.Sigmas*deviation, least)
}

// why says it in words.
func why(what int, is, expected, margin float64, yesterday *float64) string {
	show := func(x float64) string {
		switch what {
		case judgedFailures:
			return fmt.Sprintf("%.1f %%", 100*x)
		case judgedP99:
			return fmt.Sprintf("%.3g ms", x/1000)
		}
		return fmt.Sprintf("%.0f a minute", x)
	}
	text := fmt.Sprintf("%s: %s, on average %s ± %s", judgedNames[what], show(is), show(expected), show(margin))
	if yesterday != nil {
		text += ", in the same minute yesterday " + show(*yesterday)
	}
	return text
}

// trend is what is known of one method.
type trend struct{ courses [judged]course }

// judge judges a minute. Failures and p99 of a minute with few calls are not judged and not learned.
func (t *trend) judge(now facts, yesterday *facts, o *Baseline) {
	for what := range judged {
		c := &t.courses[what]
		enough := now.calls >= o.MinCalls
		if what == judgedCalls {
			enough = enough || c.mean >= o.MinCalls
		} else if !enough {
			c.pass(o)
			continue
		}
		var then *float64
		if yesterday != nil && (what == judgedCalls || yesterday.calls >= o.MinCalls) {
			x := yesterday.of(what)
			then = &x
		}
		c.judge(what, now.of(what), then, enough, o)
	}
}

// pass lets a minute go by that says nothing: it is none of those in a row that a deviation begins with, and one of those it ends
// with.
func (c *course) pass(o *Baseline) {
	c.outside, c.inside = 0, c.inside+1
	if c.inside >= o.End {
		c.deviates = false
	}
}

// quiet reports whether there are so few calls that nothing is worth remembering.
func (t *trend) quiet(o *Baseline) bool {
	c := &t.courses[judgedCalls]
	return c.mean < o.MinCalls/10 && !c.deviates
}
