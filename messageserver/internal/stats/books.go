package stats

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
)

// Other is the name of the callers, modules and methods that share a row because there are too many. No module can have it.
const Other = "_other"

// Options configure Books. Now and Wall are needed; every other zero value is the default.
type Options struct {
	// Node is the name of the node.
	Node string
	// Dir is the folder of the file stats.db. Empty keeps the last hour, in memory.
	Dir string
	// MaxCallers is how many subjects (caller, module and method) are kept apart. Default 10,000. One caller has at most a quarter of
	// them. Calls of others are counted in a bucket of their method; a tenth more are kept for such buckets, then there is
	// one for all.
	MaxCallers int
	// MaxDisk bounds what the rollups take, in bytes: the oldest minutes go first. Default 4 GiB.
	MaxDisk int64
	// MaxRead bounds what one question about the past reads, in bytes of rollups as they are stored. Default 64 MiB.
	MaxRead int64
	// Baseline says what deviates. The zero value is the default.
	Baseline Baseline
	// Now is the node's monotonic clock, Wall the time of day.
	Now  func() time.Duration
	Wall func() time.Time
	// Handlers returns what the instances that are logged in at this node say of their handlers. It is called once a minute. nil:
	// nothing is known.
	Handlers func() []HandlerCounts
	// Log hears of what fails and of what works again. Default: discarded.
	Log *slog.Logger
}

// The defaults of Options, and what is kept for how long.
const (
	DefaultMaxCallers = 10000
	DefaultMaxDisk    = 4 << 30
	DefaultMaxRead    = 64 << 20

	KeepMinutes = 8 * 24 * time.Hour
	KeepHours   = 90 * 24 * time.Hour
	KeepMemory  = ring * time.Minute // of a node without Dir

	keepIdle = time.Hour // a subject without calls
)

// Books is what a node has counted. Safe for concurrent use. It implements governance.Meters.
type Books struct {
	// Static after construction.
	opts      Options
	maxOther  int // subjects that stand for names without room
	maxCaller int // subjects of one caller

	overflowed atomic.Uint64 // meters that were asked for and had no room
	rollups    rollups       // minutes that are over
	judge      judge         // of deviations
	wake       chan struct{} // a minute is to be written

	// Guarded by naming.
	naming   sync.Mutex
	subjects map[name]*subject
	others   int            // of them
	ofCaller map[string]int // of them, without others
	fresh    []*subject     // that list does not have yet

	// Guarded by mu.
	mu       sync.Mutex
	list     []*subject // subjects, as the last sample has found them
	callers  map[string]*callerBook
	methods  map[[2]string]*methodBook
	shown    struct{ callers, methods int } // in metrics, by their names
	unshown  uint64                         // calls of callers that were not shown
	hidden   *sums                          // what methods that are gone have counted as Other's
	closed   *sums                          // everything that minutes have taken,
	ended    *sums                          // and the part of it that is of methods that are gone
	second   int64                          // samples so far: where in subject.seconds the last one is
	sampled  time.Duration                  // when it was
	minute   time.Time                      // the one that is running
	minutes  int64                          // that are over: where in subject.minutes the last one is, and the number of its rollup
	whole    time.Time                      // memory has all of this process's minutes from here on, and no other has counted in them
	began    [ring]time.Time                // when they began, by the wall clock
	closedAt time.Duration                  // when the last one was over
	lastSpan time.Duration                  // how long it was
	started  time.Duration
	full     time.Time // since when calls are counted as Other's; zero: they are not
	lastFull int64     // the last minute that had such calls
	handlers handlerBook
}

var _ governance.Meters = (*Books)(nil)

// New returns empty Books, with the past that its file has. It fails if the file is in use, is broken, or cannot be written.
func New(o Options) (*Books, error) {
	if o.Now == nil || o.Wall == nil {
		return nil, errors.New("stats: Now and Wall are needed")
	}
	o.MaxCallers = cmp.Or(o.MaxCallers, DefaultMaxCallers)
	o.MaxDisk = cmp.Or(o.MaxDisk, DefaultMaxDisk)
	o.MaxRead = cmp.Or(o.MaxRead, DefaultMaxRead)
	if o.MaxCallers < 1 || o.MaxDisk < 0 || o.MaxRead < 0 {
		return nil, fmt.Errorf("stats: MaxCallers, MaxDisk and MaxRead must be above 0, are %d, %d and %d", o.MaxCallers, o.MaxDisk, o.MaxRead)
	}
	if err := o.Baseline.fill(); err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Books{
		opts: o, maxOther: max(o.MaxCallers/10, 1), maxCaller: max(o.MaxCallers/4, 1), wake: make(chan struct{}, 1),
		subjects: make(map[name]*subject), ofCaller: make(map[string]int),
		callers: make(map[string]*callerBook), methods: make(map[[2]string]*methodBook),
	}
	now := o.Now()
	b.sampled, b.closedAt, b.started = now, now, now
	b.minute = minuteOf(o.Wall())
	b.whole = b.minute.Add(time.Minute)
	b.judge.options = o.Baseline
	if err := b.rollups.open(&b.opts); err != nil {
		return nil, err
	}
	return b, nil
}

// minuteOf returns the minute that a time is in.
func minuteOf(t time.Time) time.Time { return t.UTC().Truncate(time.Minute) }

// Meter implements governance.Meters. Subjects that differ in nothing but their group have one meter. It is the caller's
// for as long as it keeps it.
func (b *Books) Meter(s governance.Subject) governance.Meter {
	n := name{s.Caller, s.Module, s.Method}
	if n.module == "" {
		n.module, n.method = Other, Other // the router's, for a caller that names too many
	}
	b.naming.Lock()
	defer b.naming.Unlock()
	if known := b.subjects[n]; known != nil {
		return known.meter()
	}
	if len(b.subjects)-b.others < b.opts.MaxCallers && b.ofCaller[n.caller] < b.maxCaller {
		b.ofCaller[n.caller]++
		return b.openLocked(n, false).meter()
	}
	b.overflowed.Add(1)
	bucket := name{Other, n.module, n.method}
	if b.ofCaller[n.caller] >= b.maxCaller {
		bucket = name{n.caller, Other, Other}
	}
	if b.subjects[bucket] == nil && b.others >= b.maxOther {
		bucket = name{Other, Other, Other} // the last one is always there
	}
	known := b.subjects[bucket]
	if known == nil {
		known = b.openLocked(bucket, true)
	}
	return known.meter()
}

// openLocked makes a subject.
func (b *Books) openLocked(n name, other bool) *subject {
	s := &subject{name: n, other: other, counters: new(counters), quiet: window}
	if other {
		b.others++
	}
	b.subjects[n] = s
	b.fresh = append(b.fresh, s)
	return s
}

// adoptLocked puts new subjects into the list, so that they are sampled.
func (b *Books) adoptLocked(fresh []*subject, now time.Duration) {
	for _, s := range fresh {
		s.called = now
		if s.caller = b.callers[s.name.caller]; s.caller == nil {
			s.caller = &callerBook{name: s.name.caller}
			b.callers[s.name.caller] = s.caller
		}
		key := [2]string{s.name.module, s.name.method}
		if s.method = b.methods[key]; s.method == nil {
			s.method = &methodBook{module: key[0], method: key[1]}
			b.methods[key] = s.method
		}
		s.caller.live++
		s.method.live++
	}
	b.list = append(b.list, fresh...)
}

// takeFresh returns the subjects that are new.
func (b *Books) takeFresh() []*subject {
	b.naming.Lock()
	defer b.naming.Unlock()
	fresh := b.fresh
	b.fresh = nil
	return fresh
}

// lock returns with mu held, and the subjects that are new in the list.
func (b *Books) lock(now time.Duration) {
	fresh := b.takeFresh()
	b.mu.Lock()
	b.adoptLocked(fresh, now)
}

// idleLocked returns the subjects that had no call for an hour.
func (b *Books) idleLocked(now time.Duration) (idle []*subject) {
	for _, s := range b.list {
		if now-s.called >= keepIdle {
			idle = append(idle, s)
		}
	}
	return idle
}

// forget takes the names from those of the subjects that nobody holds, and returns them: nobody can count there any more.
func (b *Books) forget(idle []*subject) (gone []*subject) {
	b.naming.Lock()
	defer b.naming.Unlock()
	for _, s := range idle {
		if s.held() {
			continue
		}
		gone = append(gone, s)
		delete(b.subjects, s.name)
		if s.other {
			b.others--
		} else if b.ofCaller[s.name.caller]--; b.ofCaller[s.name.caller] == 0 {
			delete(b.ofCaller, s.name.caller)
		}
	}
	return gone
}

// dropLocked drops subjects without a name. A last call may have come since the minute was taken: it is in the totals.
func (b *Books) dropLocked(gone []*subject) {
	if len(gone) == 0 {
		return
	}
	drop := make(map[*subject]bool, len(gone))
	for _, s := range gone {
		drop[s] = true
		if rest := s.take(new(tally)); rest != nil {
			b.closed = b.closed.plus(rest)
		}
		s.method.gone = s.method.gone.plus(s.total)
		if s.caller.live--; s.caller.live == 0 {
			delete(b.callers, s.name.caller)
			if s.caller.shown {
				b.shown.callers--
			}
		}
		if s.method.live--; s.method.live == 0 {
			b.endLocked(s.method)
		}
	}
	b.list = slices.Clip(slices.DeleteFunc(b.list, func(s *subject) bool { return drop[s] }))
}

// endLocked drops a method without subjects. What was counted as Other's stays Other's.
func (b *Books) endLocked(m *methodBook) {
	delete(b.methods, [2]string{m.module, m.method})
	b.ended = b.ended.plus(m.gone)
	if m.shown {
		b.shown.methods--
		b.hidden = b.hidden.plus(m.told)
	} else {
		b.hidden = b.hidden.plus(m.gone)
	}
}
