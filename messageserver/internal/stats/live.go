package stats

import "fmt"

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
