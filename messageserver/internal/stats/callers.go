package stats

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// maxCallersRead bounds what Callers reads of the file, in bytes of rollups as they are stored: less than a second of work. An
// operator waits for it before a switch.
const maxCallersRead = 16 << 20

// Callers returns who has called a method of a module, or any of them if it is empty, lately, and for at most an hour: what
// a switch would hit. Up to a minute is counted in full seconds; more in minutes of the wall clock, from the first one that lies in it
// whole, with the one that is running. Minutes in which this process has not counted, or not alone, are read from the file. The most
// active come first. The error says what the rows lack, which are right without it: it is ErrUnavailable if the file is at fault.
func (b *Books) Callers(module, method string, over time.Duration) ([]CallerRate, error) {
	over = min(max(over, time.Second), KeepMemory)
	q := Query{Module: module, Method: method}
	wall := b.opts.Wall()
	c := callersCount{
		q: q, over: over, bySecond: over <= window*time.Second,
		to: minuteOf(wall), callers: make(map[string]*callerMinutes),
	}
	c.from = earlier(minuteOf(wall.Add(time.Minute-1-over)), c.to)
	// The file goes first: whatever is in it of this process is in memory then.
	lack := b.earlier(&c)
	now := b.opts.Now()
	b.lock(now)
	defer b.mu.Unlock()
	first := b.countLocked(&c)
	return c.rates(b.spanLocked(&c, first, wall, now)), lack
}

// callersCount is what Callers has found.
type callersCount struct {
	// Static after construction.
	q        Query
	over     time.Duration
	bySecond bool
	from, to time.Time // the first minute and the last one

	callers map[string]*callerMinutes
	oldest  time.Time // of the minutes before this process that the file has; zero: none
	written uint64    // minutes of this process up to this number are in the file
}

// callerMinutes is what one caller has called, by minute from the first one on.
type callerMinutes struct {
	counted [ring + 1]uint64  // by this process
	others  *[ring + 1]uint64 // in the file, without that; nil: nothing
	seconds uint64            // in the last ones
}

func (c *callersCount) of(caller string) *callerMinutes {
	m := c.callers[caller]
	if m == nil {
		m = new(callerMinutes)
		c.callers[caller] = m
	}
	return m
}

// index returns where a minute is counted. One of the future, which a clock has seen that was ahead, is the last one.
func (c *callersCount) index(minute time.Time) int64 {
	return int64(min(max(minute.Sub(c.from), 0), c.to.Sub(c.from)) / time.Minute)
}

// earlier adds what the file has, and says what is not known of the time before memory.
func (b *Books) earlier(c *callersCount) error {
	b.mu.Lock()
	whole, began := b.whole, b.opts.Wall().Add(b.started-b.opts.Now()).UTC()
	b.mu.Unlock()
	switch young := began.After(b.opts.Wall().Add(-c.over)); {
	case young && c.bySecond:
		return fmt.Errorf("calls before its start at %s are not counted by seconds: ask for more than a minute", began.Format(clockTime))
	case young && b.rollups.file == nil:
		return fmt.Errorf("calls before its start at %s are not known: it has no data folder to keep what was counted", began.Format(clockTime))
	case c.bySecond || b.rollups.file == nil:
		return nil
	}
	found, written, left, err := b.rollups.before(c.from, c.to, whole, min(b.opts.MaxRead, maxCallersRead))
	if err != nil {
		return err
	}
	for i := range found {
		one := &found[i]
		at := c.index(one.begins)
		err := one.visit(func(r record) {
			if !c.q.matches(r.name) || r.entered == 0 {
				return
			}
			m := c.of(r.name.caller)
			if m.others == nil {
				m.others = new([ring + 1]uint64)
			}
			m.others[at] += r.entered
		})
		if err != nil {
			clear(c.callers) // memory alone: half of a minute would be wrong without a word
			return one.broken(err)
		}
	}
	c.written = written
	if n := len(found); n > 0 && found[n-1].begins.Before(minuteOf(began)) {
		c.oldest = found[n-1].begins
	}
	if !left.IsZero() {
		return fmt.Errorf("calls before %s are left out: more rollups would have to be read than the %d KiB that are read for this; "+
			"ask for a shorter time, or for the past by from", left.Format(clockTime), min(b.opts.MaxRead, maxCallersRead)>>10)
	}
	return nil
}

const clockTime = "15:04:05 UTC"

// before returns the minutes of the file, from one to another, that may have calls which memory does not have: those before whole,
// and those that the file had when it was opened. The newest come first, as many as limit bytes; left is where those begin that are left
// out, or zero. Done is the number of the last minute of this process that the file has.
func (r *rollups) before(from, to, whole time.Time, limit int64) (found []stored, done uint64, left time.Time, err error) {
	end := earlier(later(whole, r.file.had().Add(time.Minute)), to.Add(time.Minute))
	if !from.Before(end) {
		return nil, 0, left, nil
	}
	err = r.file.view(func(tx *bbolt.Tx) error {
		done = written(tx, r.run)
		var g gathering
		c := tx.Bucket(bucketMinutes).Cursor()
		last := c.Prev
		if key, _ := c.Seek(keyOf(end)); key == nil {
			last = c.Last
		}
		for key, value := last(); key != nil && !timeOf(key).Before(from); key, value = c.Prev() {
			if g.size+int64(len(value)) > limit {
				left = timeOf(key).Add(time.Minute)
				break
			}
			g.add(timeOf(key), time.Minute, value)
		}
		found = g.take()
		return nil
	})
	return found, done, left, err
}

// countLocked adds what memory has, and takes that from what the file has of the same minutes: it was counted by this process. It
// returns the first minute in memory that counts.
func (b *Books) countLocked(c *callersCount) (first time.Time) {
	type place struct {
		slot, at int64
		written  bool
	}
	first = b.minute
	places := make([]place, 0, ring)
	for number := b.minutes; number > max(b.minutes-ring, 0); number-- {
		slot := number % ring
		began := b.began[slot]
		if began.Before(c.from) {
			continue
		}
		first = earlier(first, began)
		places = append(places, place{slot, c.index(began), uint64(number) <= c.written && !began.After(c.to)})
	}
	running, seconds := c.index(b.minute), int((c.over+time.Second-1)/time.Second)
	for _, s := range b.list {
		if !c.q.matches(s.name) {
			continue
		}
		m := c.of(s.name.caller)
		m.counted[running] += s.counters.entered() - s.taken.entered
		for _, p := range places {
			n := uint64(s.minutes[p.slot])
			m.counted[p.at] += n
			if p.written && m.others != nil {
				m.others[p.at] -= min(m.others[p.at], n)
			}
		}
		m.seconds += s.recent(b.second, seconds)
	}
	return first
}

// spanLocked returns the time that the calls are spread over: since something was counted.
func (b *Books) spanLocked(c *callersCount, first, wall time.Time, now time.Duration) time.Duration {
	if c.bySecond {
		return c.over
	}
	oldest := c.oldest
	for _, m := range c.callers { // in the minute in which this process has started
		for i := 0; oldest.IsZero() && m.others != nil && i < len(m.others); i++ {
			if m.others[i] > 0 {
				oldest = c.from.Add(time.Duration(i) * time.Minute)
			}
		}
	}
	span := min(wall.Sub(first), now-b.started)
	if !oldest.IsZero() {
		span = max(wall.Sub(oldest), wall.Sub(first))
	}
	return max(span, time.Second)
}

// rates returns the rows of a time.
func (c *callersCount) rates(span time.Duration) []CallerRate {
	rates := make([]CallerRate, 0, len(c.callers))
	for name, m := range c.callers {
		r := CallerRate{Caller: name}
		for i, n := range m.counted {
			if m.others != nil {
				n += m.others[i]
			}
			r.Calls += n
			r.PeakMinute = max(r.PeakMinute, n)
			if n > 0 {
				r.Last = c.from.Add(time.Duration(i) * time.Minute)
			}
		}
		if c.bySecond {
			r.Calls = m.seconds
		}
		if r.Calls == 0 {
			continue
		}
		r.PerSecond = float64(r.Calls) / span.Seconds()
		rates = append(rates, r)
	}
	slices.SortFunc(rates, func(a, b CallerRate) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Caller, b.Caller))
	})
	return rates
}
