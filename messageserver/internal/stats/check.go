package stats

import (
	"errors"
	"fmt"
	"runtime"
)

// ConsistencyCheck reports numbers that do not fit each other, a line each. It may be called at any time; what is counted meanwhile
// is not taken for wrong.
func (b *Books) ConsistencyCheck() error {
	var found []error
	wrong := func(text string, args ...any) {
		if len(found) < maxFound {
			found = append(found, fmt.Errorf("stats: "+text, args...))
		}
	}
	b.checkNames(wrong)
	b.lock(b.opts.Now())
	defer b.mu.Unlock()
	var all, shared tally
	callers, methods := make(map[*callerBook]int), make(map[*methodBook]int)
	all.add(b.ended)
	for _, s := range b.list {
		callers[s.caller]++
		methods[s.method]++
		all.add(s.total)
		if s.caller.name != s.name.caller || s.method.module != s.name.module || s.method.method != s.name.method {
			wrong("%v is counted for %s and %s.%s", s.name, s.caller.name, s.method.module, s.method.method)
		}
		checkSubject(s, wrong)
	}
	for m, live := range methods {
		all.add(m.gone)
		if m.live != live {
			wrong("%s.%s has %d subjects, and says %d", m.module, m.method, live, m.live)
		}
	}
	for c, live := range callers {
		if c.live != live {
			wrong("%s has %d subjects, and says %d", c.name, live, c.live)
		}
	}
	if len(callers) != len(b.callers) || len(methods) != len(b.methods) {
		wrong("subjects have %d callers and %d methods, there are %d and %d", len(callers), len(methods), len(b.callers), len(b.methods))
	}
	shared.add(b.closed)
	if all.entered != shared.entered || all.started != shared.started || all.sumUS != shared.sumUS ||
		all.codes.all() != shared.codes.all() || all.times != shared.times {
		wrong("subjects have %d entered, %d started, %d finished; in all there are %d, %d, %d",
			all.entered, all.started, all.codes.all(), shared.entered, shared.started, shared.codes.all())
	}
	return errors.Join(found...)
}

const maxFound = 20

// checkNames compares the subjects that have names with what is said of them.
func (b *Books) checkNames(wrong func(string, ...any)) {
	b.naming.Lock()
	defer b.naming.Unlock()
	others, ofCaller := 0, make(map[string]int)
	for n, s := range b.subjects {
		if n != s.name {
			wrong("%v is found as %v", s.name, n)
		}
		if s.other {
			others++
		} else {
			ofCaller[n.caller]++
		}
	}
	if others != b.others || others > b.maxOther+1 {
		wrong("there are %d shared subjects, said are %d, and at most %d are kept", others, b.others, b.maxOther)
	}
	if own := len(b.subjects) - others; own > b.opts.MaxCallers {
		wrong("there are %d subjects, at most %d are kept", own, b.opts.MaxCallers)
	}
	for caller, n := range ofCaller {
		if n != b.ofCaller[caller] || n > b.maxCaller {
			wrong("%s has %d subjects, said are %d, and at most %d are kept", caller, n, b.ofCaller[caller], b.maxCaller)
		}
	}
}

// checkSubject compares what a subject has finished with the times of it. A call that finishes now has counted its time and not
// yet its code: the goroutine that does it gets the time to.
func checkSubject(s *subject, wrong func(string, ...any)) {
	var t tally
	for range 1000 {
		t.reset()
		t.add(s.total)
		s.running(&t)
		if t.codes.all() == t.histogram().Count() {
			break
		}
		runtime.Gosched()
	}
	if codes, times := t.codes.all(), t.histogram().Count(); codes != times {
		wrong("%v has finished %d calls by code and %d by time", s.name, codes, times)
	}
	if t.codes.all() > t.entered {
		wrong("%v has finished %d calls, and %d have entered", s.name, t.codes.all(), t.entered)
	}
}
