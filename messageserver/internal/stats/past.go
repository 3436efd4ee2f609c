package stats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// maxRows bounds what one question about the past is answered with.
const maxRows = 100000

// Past returns what was counted at this node in minutes that are over, from q.From on and before q.To: one row for each group and
// step that had calls. It reads minutes while they are kept, hours where they give the same answer, and hours alone for what is
// older; there the time is rounded out to full hours, and Row.Time and Row.Over say so. The error says what is wrong with the
// question, or, as ErrUnavailable, with the file.
func (b *Books) Past(ctx context.Context, q Query) ([]Row, error) {
	from, to, err := b.span(q)
	if err != nil {
		return nil, err
	}
	read, err := b.rollups.read(from, to, q.Step%time.Hour == 0, b.opts.Wall(), b.opts.MaxRead)
	if err != nil {
		return nil, err
	}
	type group struct {
		at time.Time
		name
	}
	groups := make(map[group]*tally)
	for _, one := range read {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if one.begins.Before(from) {
			from = one.begins
		}
		if one.ends.After(to) {
			to = one.ends
		}
		var at time.Time
		if q.Step > 0 {
			at = one.begins.Truncate(q.Step)
		}
		err := one.visit(func(r record) {
			if !q.matches(r.name) {
				return
			}
			g := group{at, q.group(r.name)}
			t := groups[g]
			if t == nil {
				t = new(tally)
				groups[g] = t
			}
			t.add(r.sums)
		})
		if err != nil {
			return nil, one.broken(err)
		}
		if len(groups) > maxRows {
			return nil, fmt.Errorf("there are more than %d rows: ask for fewer groups, a longer step, or a shorter time", maxRows)
		}
	}
	rows := make([]Row, 0, len(groups))
	for g, t := range groups {
		row := Row{Time: from}
		over := to.Sub(from)
		if q.Step > 0 {
			row.Time, over = g.at, q.Step
		}
		row.fill(g.name, t, over)
		rows = append(rows, row)
	}
	return q.Arrange(rows), nil
}

var errStep = errors.New("must be full hours for a time before")

// span returns the time that a query is about, or what is wrong with it.
func (b *Books) span(q Query) (from, to time.Time, err error) {
	now := b.opts.Wall().UTC()
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() {
		return from, to, errors.New("from: is missing")
	}
	if err := q.Validate(); err != nil {
		return from, to, err
	}
	from, to = minuteOf(q.From), minuteOf(q.To.Add(time.Minute-1))
	if to.After(now) {
		to = minuteOf(now) // the running minute is not over
	}
	keep, what := KeepHours, "hours are kept for 90 days"
	if b.opts.Dir == "" {
		keep, what = KeepMemory, "without a data folder the last hour is kept, in memory"
	}
	if oldest := now.Add(-keep); from.Before(minuteOf(oldest)) {
		return from, to, fmt.Errorf("from: is %s, must be %s or later: %s", from.Format(time.RFC3339), minuteOf(oldest).Format(time.RFC3339), what)
	}
	if !from.Before(to) {
		return from, to, fmt.Errorf("from: is %s, which is not past: it is %s", from.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	if from.Before(now.Add(-KeepMinutes)) && q.Step%time.Hour != 0 {
		return from, to, fmt.Errorf("step: is %v, %w %s: minutes are kept for 8 days",
			q.Step, errStep, minuteOf(now.Add(-KeepMinutes)).Format(time.RFC3339))
	}
	return from, to, nil
}

// stored is a minute or an hour that was read.
type stored struct {
	begins, ends time.Time
	rollup
}

// broken says which rollup an error of visit is about.
func (s *stored) broken(err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, s.begins.Format(time.RFC3339), err)
}

// read returns the rollups from a time on, before another one: hours where they may be and are, and minutes else. It fails
// if they are more than limit bytes.
func (r *rollups) read(from, to time.Time, hours bool, now time.Time, limit int64) ([]stored, error) {
	waiting := r.snapshot() // before the file: what is written meanwhile is found twice, and the file says so
	var all []stored
	var done uint64
	if r.file != nil {
		var size int64
		err := r.file.view(func(tx *bbolt.Tx) error {
			done = written(tx, r.run)
			g := gathering{minutes: tx.Bucket(bucketMinutes), hours: tx.Bucket(bucketHours)}
			for hour := from.Truncate(time.Hour); hour.Before(to); hour = hour.Add(time.Hour) {
				end := hour.Add(time.Hour)
				whole := !hour.Before(from) && !end.After(to)
				if hours && (whole || hour.Before(now.Add(-KeepMinutes))) && g.hour(hour) {
					continue
				}
				g.between(later(hour, from), earlier(end, to))
			}
			if size = g.size; size <= limit {
				all = g.take()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if size > limit {
			return nil, fmt.Errorf("would read %d MiB of rollups, at most %d MiB are read for one question: ask for a shorter time, or for "+
				"full hours, by time and step", size>>20+1, limit>>20)
		}
	}
	for _, m := range waiting {
		if m.number > done && !m.minute.Before(from) && m.minute.Before(to) {
			all = append(all, stored{m.minute, m.minute.Add(time.Minute), m})
		}
	}
	return all, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// minute visits what a minute has counted, if it is kept.
func (r *rollups) minute(t time.Time, visit func(record)) error {
	all, err := r.read(t, t.Add(time.Minute), false, t, r.opts.MaxRead)
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := one.visit(visit); err != nil {
			return err
		}
	}
	return nil
}

// gathering looks up what is to be read, in one transaction; take copies it.
type gathering struct {
	minutes, hours *bbolt.Bucket
	size           int64
	found          []stored
}

func (g *gathering) add(begins time.Time, length time.Duration, value []byte) {
	g.size += int64(len(value))
	g.found = append(g.found, stored{begins, begins.Add(length), rollup{minute: begins, packed: value}})
}

// hour adds an hour, and reports whether there is one.
func (g *gathering) hour(t time.Time) bool {
	value := g.hours.Get(keyOf(t))
	if value != nil {
		g.add(t, time.Hour, value)
	}
	return value != nil
}

// between adds the minutes from a time on, before another one.
func (g *gathering) between(from, to time.Time) {
	c, end := g.minutes.Cursor(), keyOf(to)
	for key, value := c.Seek(keyOf(from)); key != nil && bytes.Compare(key, end) < 0; key, value = c.Next() {
		g.add(timeOf(key), time.Minute, value)
	}
}

func (g *gathering) take() []stored {
	for i := range g.found {
		g.found[i].packed = bytes.Clone(g.found[i].packed)
	}
	return g.found
}
