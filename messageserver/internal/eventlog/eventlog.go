package eventlog

import (
	"log/slog"
	"sync"
	"time"
)

// Log writes events. Safe for concurrent use.
type Log struct {
	// Static after construction.
	to  *slog.Logger
	now func() time.Duration

	// Guarded by mu.
	mu     sync.Mutex
	causes map[string]*lines
}

// lines are those of one cause.
type lines struct {
	at   time.Duration // of the last one that passed
	held int           // held back since then
}

// maxCauses bounds what is remembered.
const maxCauses = 64

// New returns a log that writes to a logger, with time from now.
func New(to *slog.Logger, now func() time.Duration) *Log {
	return &Log{to: to, now: now, causes: make(map[string]*lines)}
}

// Event writes an event, unless one of the same name and cause has been written within this second, and reports whether it has.
// The cause sorts events; it is not written, and must not hold what others have sent. err may be nil.
func (l *Log) Event(event, cause string, err error, args ...any) (written bool) {
	ok, held := l.pass(l.now(), event+": "+cause)
	if !ok {
		return false
	}
	if err != nil {
		args = append(args, "cause", err)
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	l.to.Info(event, args...)
	return true
}

// pass reports whether a line may be written, and how many of its cause were held back before.
func (l *Log) pass(now time.Duration, cause string) (ok bool, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.causes[cause] == nil && len(l.causes) >= maxCauses {
		l.forgetLocked(now)
		if len(l.causes) >= maxCauses {
			cause = ""
		}
	}
	last := l.causes[cause]
	if last == nil {
		l.causes[cause] = &lines{at: now}
		return true, 0
	}
	if now-last.at < time.Second {
		last.held++
		return false, 0
	}
	held = last.held
	*last = lines{at: now}
	return true, held
}

// forgetLocked makes room.
func (l *Log) forgetLocked(now time.Duration) {
	for cause, last := range l.causes {
		if now-last.at >= time.Second {
			delete(l.causes, cause)
		}
	}
}
