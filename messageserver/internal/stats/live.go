package stats

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

func overflowText(subjects, ofOne int, refused uint64) string {
	return fmt.Sprintf("calls are counted as %s: there are more than %d subjects (caller, module, method), or more than %d of one caller; "+
		"%d times there was no room for one", Other, subjects, ofOne, refused)
}

// matches reports whether a query is about calls of that name.
func (q Query) matches(n name) bool {
	return (q.Module == "" || q.Module == n.module) && (q.Method == "" || q.Method == n.method) &&
		(q.Caller == "" || q.Caller == n.caller)
}

// group returns what a name is grouped by.
func (q Query) group(n name) name {
	switch q.By {
	case ByModule:
		return name{module: n.module}
	case ByCaller:
		return name{caller: n.caller}
	case ByCallerMethod:
		return n
	case ByNothing:
		return name{}
	}
	return name{module: n.module, method: n.method}
}

// Now returns what is counted at this node. The rows of a query that Validate finds wrong are none.
func (b *Books) Now(q Query) []Row {
	if q.Validate() != nil {
		return nil
	}
	now := b.opts.Now()
	b.lock(now)
	defer b.mu.Unlock()
	groups := make(map[name][]*subject)
	for _, s := range b.list {
		if q.matches(s.name) {
			g := q.group(s.name)
			groups[g] = append(groups[g], s)
		}
	}
	over := now - b.closedAt + b.lastSpan
	if q.Total {
		over = now - b.started
	}
	rows := make([]Row, 0, len(groups))
	var t tally
	for g, subjects := range groups {
		t.reset()
		var row Row
		var seconds [window]uint64
		var peak uint64
		for _, s := range subjects {
			if q.Total {
				t.add(s.total)
			} else {
				t.add(s.last)
			}
			s.running(&t)
			row.InFlight += s.inFlight()
			if s.quiet >= window {
				continue
			}
			for i, n := range s.seconds {
				seconds[i] += uint64(n)
			}
		}
		var sum, ten uint64
		for i := range int64(window) {
			n := seconds[(b.second+window-i)%window]
			if i < 10 {
				ten += n
			}
			sum += n
			peak = max(peak, n)
		}
		row.Rate1, row.Rate10, row.Rate60 = float64(seconds[b.second%window]), float64(ten)/10, float64(sum)/window
		row.fill(g, &t, over)
		row.Peak = peak
		rows = append(rows, row)
	}
	return q.Arrange(rows)
}

// Callers returns who has called a method of a module, or any of them if it is empty, lately, and for at most an hour: what
// a switch would hit. Up to a minute is counted in full seconds; more in minutes of the wall clock, from the first one that lies in it
// whole, with the one that is running. The most active come first.
func (b *Books) Callers(module, method string, over time.Duration) []CallerRate {
	over = min(max(over, time.Second), ring*time.Minute)
	now, wall := b.opts.Now(), b.opts.Wall()
	b.lock(now)
	defer b.mu.Unlock()
	q := Query{Module: module, Method: method}
	inSeconds := over <= window*time.Second
	first, slots := b.minute, make([]int64, 0, ring)
	for i := range min(b.minutes, ring) {
		if slot := (b.minutes - i) % ring; !b.began[slot].Before(wall.Add(-over)) {
			slots = append(slots, slot)
			if b.began[slot].Before(first) {
				first = b.began[slot]
			}
		}
	}
	span := max(min(wall.Sub(first), now-b.started), time.Second)
	if inSeconds {
		span = over
	}
	all := make(map[string]*callerMinutes)
	for _, s := range b.list {
		if !q.matches(s.name) {
			continue
		}
		c := all[s.name.caller]
		if c == nil {
			c = new(callerMinutes)
			all[s.name.caller] = c
		}
		running := s.counters.entered() - s.taken.entered
		c.minutes[ring] += running
		c.calls += running
		for _, slot := range slots {
			c.minutes[slot] += uint64(s.minutes[slot])
			c.calls += uint64(s.minutes[slot])
		}
		c.seconds += s.recent(b.second, int((over+time.Second-1)/time.Second))
	}
	rates := make([]CallerRate, 0, len(all))
	for name, c := range all {
		r := CallerRate{Caller: name, Calls: c.calls}
		if inSeconds {
			r.Calls = c.seconds
		}
		if r.Calls == 0 {
			continue
		}
		r.PerSecond = float64(r.Calls) / span.Seconds()
		for i, n := range c.minutes {
			began := b.minute
			if i < ring {
				began = b.began[i]
			}
			r.PeakMinute = max(r.PeakMinute, n)
			if n > 0 && began.After(r.Last) {
				r.Last = began
			}
		}
		rates = append(rates, r)
	}
	slices.SortFunc(rates, func(a, b CallerRate) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Caller, b.Caller))
	})
	return rates
}

// callerMinutes is what one caller has called in the time that was asked about.
type callerMinutes struct {
	calls   uint64           // by minutes
	seconds uint64           // by seconds
	minutes [ring + 1]uint64 // the running one last
}
