package session

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/wire"
)

// quiet lets one log line of a cause pass per second, so that whoever reaches the port cannot fill the disk. Safe for
// concurrent use.
type quiet struct {
	// Guarded by mu.
	mu     sync.Mutex
	causes map[string]*lines
}

// lines are those of one cause.
type lines struct {
	at   time.Duration // of the last one that passed
	held int           // held back since then
}

// maxCauses bounds what is remembered; beyond it, causes that are new in the same second count as one.
const maxCauses = 64

// pass reports whether a line may be written, and how many of its cause were held back before.
func (q *quiet) pass(now time.Duration, cause string) (ok bool, held int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.causes[cause]
	if l == nil {
		if len(q.causes) >= maxCauses {
			q.forgetLocked(now)
		}
		if len(q.causes) >= maxCauses {
			cause = ""
		}
	}
	if l = q.causes[cause]; l == nil {
		if q.causes == nil {
			q.causes = make(map[string]*lines)
		}
		q.causes[cause] = &lines{at: now}
		return true, 0
	}
	if now-l.at < time.Second {
		l.held++
		return false, 0
	}
	held = l.held
	*l = lines{at: now}
	return true, held
}

// forgetLocked makes room: what was held back of a cause that has gone quiet is lost to the log, not to the counters.
func (q *quiet) forgetLocked(now time.Duration) {
	for cause, l := range q.causes {
		if now-l.at >= time.Second {
			delete(q.causes, cause)
		}
	}
}

// log writes an event, unless one of the same cause has been written within this second. err may be nil.
func (s *Sessions) log(event string, err error, args ...any) {
	ok, held := s.quiet.pass(s.opts.Clock.Now(), event+": "+causeOf(err))
	if !ok {
		return
	}
	if err != nil {
		args = append(args, "cause", err)
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	s.opts.Log.Info(event, args...)
}

// ownCauses are those that mean the same wherever they come from.
var ownCauses = []error{
	errLoginTimeout, frameconn.ErrEntrance, errCrowded, errDraining, errReplaced,
	frameconn.ErrClosed, frameconn.ErrPreface, frameconn.ErrSlow, frameconn.ErrDead, frameconn.ErrStalled,
	io.EOF, net.ErrClosed, os.ErrDeadlineExceeded,
}

// causeOf sorts an end for counting. The text of an error will not do: it holds what the other side sent, or its port.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	if breach, ok := errors.AsType[*wire.Error](err); ok {
		return breach.Code.String()
	}
	for _, own := range ownCauses {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "network"
}
