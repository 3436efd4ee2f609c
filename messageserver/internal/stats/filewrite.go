package stats

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// How much one write does beside what it is for: steps are small, so that a wall clock that is wrong for a moment does not remove
// everything.
const (
	hoursAtOnce = 48 // that are made
	pruneAtOnce = 60 // minutes, and hours, that are removed
)

// write writes minutes, makes the hours that are over, and removes what is too old or too much: all of it or nothing.
func (f *file) write(now time.Time, run [8]byte, waiting []rollup) error {
	if err := f.ready(); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.guard(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error {
			w := writing{tx.Bucket(bucketMinutes), tx.Bucket(bucketHours), f}
			for _, m := range waiting {
				if err := w.put(m); err != nil {
					return err
				}
			}
			if err := w.makeHours(now); err != nil {
				return err
			}
			if err := w.prune(tx, now); err != nil {
				return err
			}
			if len(waiting) == 0 {
				return nil
			}
			last := binary.BigEndian.AppendUint64(run[:], waiting[len(waiting)-1].number)
			return tx.Bucket(bucketMeta).Put(keyLast, last)
		})
	})
}

// written returns the number of the last minute that the process has written.
func written(tx *bbolt.Tx, run [8]byte) uint64 {
	last, mine := bytes.CutPrefix(tx.Bucket(bucketMeta).Get(keyLast), run[:])
	if !mine || len(last) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(last)
}

func keyOf(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.Unix())) }

func timeOf(key []byte) time.Time {
	if len(key) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(key)), 0).UTC()
}

// writing is one transaction.
type writing struct {
	minutes, hours *bbolt.Bucket
	file           *file
}

// put writes a minute. One that is there already, of before a restart or before the wall clock was set back, gets it added.
func (w writing) put(m rollup) error {
	key, value := keyOf(m.minute), m.packed
	if has := w.minutes.Get(key); has != nil {
		both, err := merge(has, value)
		if err == nil {
			value = both
		} else {
			w.file.log.Warn("stats_minute_replaced", "minute", m.minute, "cause", err)
		}
	}
	if err := w.minutes.Put(key, value); err != nil {
		return err
	}
	hour := m.minute.Truncate(time.Hour)
	if w.hours.Get(keyOf(hour)) == nil {
		return nil
	}
	return w.makeHour(hour)
}

// makeHours makes the hours that are over and not made.
func (w writing) makeHours(now time.Time) error {
	running := now.UTC().Truncate(time.Hour)
	var next []byte
	if last, _ := w.hours.Cursor().Last(); last != nil {
		next = keyOf(timeOf(last).Add(time.Hour))
	}
	for range hoursAtOnce {
		key, _ := w.minutes.Cursor().Seek(next)
		if key == nil {
			return nil
		}
		hour := timeOf(key).Truncate(time.Hour)
		if !hour.Before(running) {
			return nil
		}
		if err := w.makeHour(hour); err != nil {
			return err
		}
		next = keyOf(hour.Add(time.Hour))
	}
	return nil
}

// makeHour adds up the minutes of an hour.
func (w writing) makeHour(hour time.Time) error {
	var parts [][]byte
	c := w.minutes.Cursor()
	end := keyOf(hour.Add(time.Hour))
	for key, value := c.Seek(keyOf(hour)); key != nil && bytes.Compare(key, end) < 0; key, value = c.Next() {
		if err := decode(value, func(record) {}); err != nil {
			w.file.log.Warn("stats_minute_left_out", "minute", timeOf(key), "cause", err)
			continue
		}
		parts = append(parts, value)
	}
	sum, err := merge(parts...)
	if err != nil {
		return fmt.Errorf("the hour %s: %w", hour.Format(time.RFC3339), err)
	}
	return w.hours.Put(keyOf(hour), sum)
}

// prune removes what is too old, minutes once their hour is made, and the oldest minutes, then hours, if the file is too large.
func (w writing) prune(tx *bbolt.Tx, now time.Time) error {
	made, _ := w.hours.Cursor().Last()
	s := tx.DB().Stats()
	page := int64(tx.DB().Info().PageSize)
	over := tx.Size() - int64(s.FreePageN+s.PendingPageN)*page - w.file.maxDisk
	for _, one := range []struct {
		bucket *bbolt.Bucket
		oldest time.Time
	}{{w.minutes, now.Add(-KeepMinutes)}, {w.hours, now.Add(-KeepHours)}} {
		var old [][]byte
		c := one.bucket.Cursor()
		for key, value := c.First(); key != nil && len(old) < pruneAtOnce; key, value = c.Next() {
			t := timeOf(key)
			summed := made != nil && !t.Truncate(time.Hour).After(timeOf(made))
			if over <= 0 && (!t.Before(one.oldest) || !summed) {
				break
			}
			over -= int64(len(value)+int(page)-1) / page * page
			old = append(old, bytes.Clone(key))
		}
		for _, key := range old {
			if err := one.bucket.Delete(key); err != nil {
				return err
			}
		}
	}
	return nil
}
