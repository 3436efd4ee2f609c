package session

import "time"

// quiet lets one log line pass per cause and second, so that whoever reaches the port cannot fill the disk. It is guarded
// by Sessions.mu.
type quiet struct {
	since  time.Duration
	causes map[string]int // lines held back since then
}

// maxCauses bounds what is remembered in one second; further causes count as one.
const maxCauses = 64

// pass reports whether a line may be written, and how many of its cause were held back before.
func (q *quiet) pass(now time.Duration, cause string) (ok bool, held int) {
	if q.causes == nil || now-q.since >= time.Second {
		held = q.causes[cause]
		q.since, q.causes = now, map[string]int{}
	}
	if len(q.causes) >= maxCauses {
		cause = ""
	}
	n, seen := q.causes[cause]
	if !seen {
		q.causes[cause] = 0
		return true, held
	}
	q.causes[cause] = n + 1
	return false, 0
}

// log writes an event with its cause, unless the cause has been written within this second.
func (s *Sessions) log(event, cause string, args ...any) {
	now := s.opts.Clock.Now()
	s.mu.Lock()
	ok, held := s.quiet.pass(now, event+cause)
	s.mu.Unlock()
	if !ok {
		return
	}
	if cause != "" {
		args = append(args, "cause", cause)
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	s.opts.Log.Info(event, args...)
}
