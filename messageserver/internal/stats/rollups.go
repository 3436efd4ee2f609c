package stats

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// rollups are the minutes that are over: those that are to be written, and the file of those that are. Without a file the last
// hour stays here.
type rollups struct {
	// Static after open.
	opts *Options
	run  [8]byte // marks what this process has written

	file *file // nil without a folder

	// Guarded by mu.
	mu      sync.Mutex
	pending []rollup // to be written, the oldest first
	lost    uint64   // minutes that were dropped
	failure error    // of the last attempt to write; nil: it worked
	since   time.Time
}

// rollup is a minute that is over.
type rollup struct {
	minute  time.Time
	number  uint64   // in the order of their ends: Books.minutes, from 1
	records []record // nil once it is packed
	packed  []byte
}

// visit calls visit for each record.
func (m *rollup) visit(visit func(record)) error {
	if m.packed != nil {
		return decode(m.packed, visit)
	}
	for _, r := range m.records {
		visit(r)
	}
	return nil
}

// maxPending is how many minutes wait for a disk.
const maxPending = 60

func (r *rollups) open(o *Options) error {
	r.opts = o
	if _, err := rand.Read(r.run[:]); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	if o.Dir == "" {
		return nil
	}
	r.file = &file{path: filepath.Join(o.Dir, "stats.db"), maxDisk: o.MaxDisk, log: o.Log}
	if err := r.file.open(); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	return nil
}

// push takes a minute that is over. One without calls is not kept.
func (r *rollups) push(over rollup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(over.records) > 0 {
		r.pending = append(r.pending, over)
	}
	if r.file == nil {
		oldest := over.minute.Add(-KeepMemory)
		r.pending = slices.DeleteFunc(r.pending, func(m rollup) bool { return !m.minute.After(oldest) })
	}
	if excess := len(r.pending) - maxPending; excess > 0 {
		r.pending = slices.Delete(r.pending, 0, excess)
		if r.file != nil {
			r.lost += uint64(excess)
		}
	}
}

// snapshot returns what waits.
func (r *rollups) snapshot() []rollup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.pending)
}

// pack makes the stored form of what waits: it takes less memory.
func (r *rollups) pack() []rollup {
	waiting := r.snapshot()
	for i := range waiting {
		if m := &waiting[i]; m.packed == nil {
			m.packed, m.records = encode(slices.Clone(m.records)), nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range waiting {
		if i := r.indexLocked(m.number); i >= 0 {
			r.pending[i] = m
		}
	}
	return slices.Clone(r.pending)
}

func (r *rollups) indexLocked(number uint64) int {
	return slices.IndexFunc(r.pending, func(m rollup) bool { return m.number == number })
}

// write writes what waits, and does what the file needs.
func (r *rollups) write(now time.Time) {
	waiting := r.pack()
	if r.file == nil {
		return
	}
	err := r.file.write(now, r.run, waiting)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.failure != nil:
		r.opts.Log.Info("stats_disk_works", slog.Int("minutes", len(waiting)), slog.Uint64("minutes_lost", r.lost))
		r.failure, r.since = nil, time.Time{}
	case err != nil && r.failure == nil:
		r.opts.Log.Warn("stats_disk_failed", "cause", err)
		r.since = now
	}
	r.failure = err
	if err == nil && len(waiting) > 0 {
		last := waiting[len(waiting)-1].number
		r.pending = slices.DeleteFunc(r.pending, func(m rollup) bool { return m.number <= last })
	}
}

// trouble returns what is wrong with the disk, if something is.
func (r *rollups) trouble() (Trouble, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		return Trouble{}, false
	}
	return Trouble{
		Kind: StatsDisk, Subject: r.file.path, Since: r.since,
		Cause: fmt.Sprintf("%v; %d minutes wait in memory, %d were dropped", r.failure, len(r.pending), r.lost),
	}, true
}

// close gives the file back.
func (r *rollups) close() {
	if r.file != nil {
		r.file.close()
	}
}
