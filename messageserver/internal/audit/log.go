package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Options configure a Log. The zero value of a field is its default.
type Options struct {
	// MaxBytes is how large a file may grow before the next one begins. Default 64 MiB.
	MaxBytes int64
	// Wall is the clock of records that bring no time. Default time.Now.
	Wall func() time.Time
	// Log hears of a line that was cut off, of a file that is renamed, and of records that cannot be written. Default: nobody.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Log keeps records. Safe for concurrent use.
type Log struct {
	// Static after construction.
	opts  Options
	store store
	turn  chan struct{} // holds one: who has taken it appends

	// Guarded by mu. Only who has the turn changes end.
	mu      sync.Mutex
	end     end
	closed  bool
	failure error
	failed  time.Time // since when
}

// end is the last line.
type end struct {
	seq  uint64 // 0: there is none
	hash string
}

// store is where lines are.
type store interface {
	// put appends a line, and returns when it is safe. After an error the line is not there.
	put(text []byte) error
	// read calls visit with each line and its place, from the first one on or from the last one back, until it returns false.
	// Lines that are put meanwhile may be among them.
	read(ctx context.Context, back bool, visit func(where place, text []byte) bool) error
	// view says where the lines are.
	view(v *View)
	close() error
}

// Append keeps a record. A nil error says that it is on disk. Any other one says that the change must be refused. ctx ends
// the wait for other appends, not the write.
func (l *Log) Append(ctx context.Context, r Record) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.turn:
	}
	defer func() { l.turn <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	last, closed := l.end, l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	r.Seq = last.seq + 1
	if r.At.IsZero() {
		r.At = l.opts.Wall()
	}
	r.At = r.At.Round(0).UTC()
	text, err := format(r, last.hash)
	if err != nil {
		return err
	}
	err = l.store.put(text)
	l.settle(end{r.Seq, hash(text)}, err)
	return err
}

// settle notes how a put ended.
func (l *Log) settle(after end, err error) {
	l.mu.Lock()
	was := l.failure
	l.failure = err
	switch {
	case err == nil:
		l.end = after
	case was == nil:
		l.failed = l.opts.Wall().Round(0).UTC()
	}
	l.mu.Unlock()
	switch {
	case err != nil && was == nil:
		l.opts.Log.Error("changes cannot be recorded, and are refused", "cause", err)
	case err == nil && was != nil:
		l.opts.Log.Info("changes are recorded again")
	}
}

// Failing returns since when appends have failed, and why; nil if the last one did not.
func (l *Log) Failing() (since time.Time, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		return time.Time{}, nil
	}
	return l.failed, l.failure
}

// slack is how far a wall clock may have been set back for List to find all records that Filter.Since asks for.
const slack = time.Hour

// List returns records, the newest first.
func (l *Log) List(ctx context.Context, f Filter) ([]Record, error) {
	last := l.last()
	var found []Record
	var wrong error
	err := l.store.read(ctx, true, func(where place, text []byte) bool {
		one, err := parse(text)
		switch {
		case err != nil:
			wrong = &BrokenError{where.file, where.line, err.Error()}
			return false
		case one.Seq > last.seq: // not yet safe
			return true
		case !f.Since.IsZero() && one.At.Before(f.Since.Add(-slack)):
			return false
		}
		if f.fits(&one.Record) {
			found = append(found, one.Record)
		}
		return len(found) < f.limit()
	})
	if err == nil {
		err = wrong
	}
	return found, err
}

func (l *Log) last() end {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// View is what is to be seen of a Log.
type View struct {
	Where   string    `json:"where"`          // the file, or "memory: lost when the process ends"
	Keeps   int       `json:"keeps,omitzero"` // how many of the last records memory has room for; 0: all
	Files   int       `json:"files,omitzero"`
	Bytes   int64     `json:"bytes,omitzero"` // of the newest file
	Seq     uint64    `json:"seq"`            // of the last record
	Hash    string    `json:"hash"`           // of the last line
	Failing string    `json:"failing,omitempty"`
	Since   time.Time `json:"failing_since,omitzero"`
}

// View returns where records are kept, the last one, and whether appends fail.
func (l *Log) View() View {
	var v View
	l.store.view(&v)
	l.mu.Lock()
	defer l.mu.Unlock()
	v.Seq, v.Hash = l.end.seq, l.end.hash
	if l.failure != nil {
		v.Failing, v.Since = l.failure.Error(), l.failed
	}
	return v
}

// Close waits for an append that is under way. Appends fail with ErrClosed afterwards. It may be called twice.
func (l *Log) Close() error {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	return l.store.close()
}

func newLog(o Options, s store, last end) *Log {
	l := &Log{opts: o, store: s, end: last, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}
