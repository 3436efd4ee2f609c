package stats

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// judge compares each method's minutes with what was before. Safe for concurrent use.
type judge struct {
	// Static after New.
	options Baseline

	// Guarded by mu.
	mu      sync.Mutex
	waiting []judgement
	trends  map[[2]string]*trend
	since   map[deviationKey]time.Time // of those that there are
}

type deviationKey struct {
	method [2]string
	what   int
}

// judgement is a minute that is to be judged, by module and method.
type judgement struct {
	minute time.Time
	counts map[[2]string]facts
}

const (
	maxJudgements = 10    // that wait; the file is read for each
	maxTrends     = 10000 // methods that are judged
)

// factsOf returns what is judged of a minute.
func factsOf(t *tally) facts {
	f := facts{calls: float64(t.entered)}
	if finished := t.codes.all(); finished > 0 {
		f.failures = float64(finished-t.codes.classes()[0]) / float64(finished)
	}
	f.p99 = float64(t.histogram().Quantile(0.99))
	return f
}

// push takes what methods have counted in a minute.
func (j *judge) push(minute time.Time, methods map[[2]string]*tally) {
	counts := make(map[[2]string]facts, len(methods))
	for key, t := range methods {
		counts[key] = factsOf(t)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(j.waiting, judgement{minute, counts})
	if over := len(j.waiting) - maxJudgements; over > 0 {
		j.waiting = slices.Delete(j.waiting, 0, over)
	}
}

// settle writes the minutes that are over, and judges them.
func (b *Books) settle() {
	b.rollups.write(b.opts.Wall().UTC())
	for {
		j, ok := b.judge.next()
		if !ok {
			return
		}
		yesterday := make(map[[2]string]*tally)
		err := b.rollups.minute(j.minute.Add(-24*time.Hour), func(r record) {
			key := [2]string{r.name.module, r.name.method}
			if yesterday[key] == nil {
				yesterday[key] = new(tally)
			}
			yesterday[key].add(r.sums)
		})
		if err != nil {
			yesterday = nil // Troubles says it if it stays so
		}
		b.judge.judge(j, yesterday)
	}
}

func (j *judge) next() (judgement, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == 0 {
		return judgement{}, false
	}
	first := j.waiting[0]
	j.waiting = slices.Delete(j.waiting, 0, 1)
	return first, true
}

// judge judges every method that has enough calls, or had.
func (j *judge) judge(m judgement, yesterday map[[2]string]*tally) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trends == nil {
		j.trends, j.since = make(map[[2]string]*trend), make(map[deviationKey]time.Time)
	}
	for key, f := range m.counts {
		if j.trends[key] == nil && f.calls >= j.options.MinCalls && key[0] != Other && len(j.trends) < maxTrends {
			j.trends[key] = new(trend)
		}
	}
	for key, t := range j.trends {
		var then *facts
		if y := yesterday[key]; y != nil {
			f := factsOf(y)
			then = &f
		}
		t.judge(m.counts[key], then, &j.options)
		for what := range judged {
			k := deviationKey{key, what}
			if !t.courses[what].deviates {
				delete(j.since, k)
			} else if j.since[k].IsZero() {
				j.since[k] = m.minute
			}
		}
		if t.quiet(&j.options) {
			delete(j.trends, key)
		}
	}
}

// Deviations returns what is not as it was, by module and method.
func (b *Books) Deviations() []Deviation {
	j := &b.judge
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]Deviation, 0, len(j.since))
	for k, since := range j.since {
		c := &j.trends[k.method].courses[k.what]
		all = append(all, Deviation{
			Module: k.method[0], Method: k.method[1], What: judgedNames[k.what],
			Is: c.is, Expected: c.expected, Why: c.why, Since: since,
		})
	}
	slices.SortFunc(all, func(a, b Deviation) int {
		return cmp.Or(strings.Compare(a.Module, b.Module), strings.Compare(a.Method, b.Method), strings.Compare(a.What, b.What))
	})
	return all
}

// Troubles returns what an operator must hear of.
func (b *Books) Troubles() []Trouble {
	var all []Trouble
	b.mu.Lock()
	full := b.full
	b.mu.Unlock()
	if !full.IsZero() {
		all = append(all, Trouble{
			Kind: StatsOverflow, Since: full, Subject: "subjects",
			Cause: overflowText(b.opts.MaxCallers, b.maxCaller, b.overflowed.Load()),
		})
	}
	if t, ok := b.rollups.trouble(); ok {
		all = append(all, t)
	}
	for _, d := range b.Deviations() {
		all = append(all, Trouble{Kind: BaselineDeviation, Subject: d.Module + "." + d.Method, Cause: d.Why, Since: d.Since})
	}
	return all
}
