package peer

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/proto/wire"
)

// Why links end.
var (
	errStopped    = errors.New("peer: this node stops")
	errSuperseded = errors.New("peer: another connection of the same node took its place")
	errRemoved    = errors.New("peer: removed from the members")
	errHandshake  = errors.New("peer: the handshake took too long")
	errGoodbye    = errors.New("peer: it said goodbye")
	errCrowded    = errors.New("peer: too many connections are in their handshake")
)

// Why members are not up.
var (
	errUnheard = errors.New("peer: not heard of yet")
	errSyncing = errors.New("peer: its registry is not in yet")
)

// errRefused ends a connection whose other side has sent REFUSE; link.refused says why.
var errRefused = errors.New("peer: refused")

// ownCauses are those that mean the same wherever they come from.
var ownCauses = []error{
	errStopped, errSuperseded, errRemoved, errHandshake, errGoodbye, errCrowded, errRefused, registry.ErrSilent, registry.ErrOneWay,
	frameconn.ErrClosed, frameconn.ErrPreface, frameconn.ErrSlow, frameconn.ErrStalled, frameconn.ErrEntrance,
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

// text is an error in words, without the name of this package.
func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "peer: ")
}

// said is what the other side gave as a reason, fit for a line of a log: it may be anybody's.
func said(reason string) string {
	const longest = 300
	reason = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, reason)
	return reason[:min(len(reason), longest)]
}

// log writes an event of a link, unless one of the same peer and cause has been written within this second.
func (p *Peers) log(event string, err error, peer string, args ...any) {
	p.events.Event(event, peer+": "+causeOf(err), err, append([]any{"peer", peer}, args...)...)
}

// logRefusal writes why a connection from or to somebody did not become a link: once, although who is refused tries again
// every few seconds.
func (p *Peers) logRefusal(err error, who string, args ...any) {
	why := causeOf(err) + text(err)
	if p.refused.isNew(who, why, p.now()) && !p.events.Event("link refused", who+": "+causeOf(err), err, args...) {
		p.refused.unsaid(who, why) // another reason was written just now: this one is with the next try
	}
}

// refusals remembers what was said of whom. Safe for concurrent use.
type refusals struct {
	// Guarded by mu.
	mu   sync.Mutex
	last map[refused]time.Duration // when it came up last
}

type refused struct{ who, why string }

const (
	refusalMemory = time.Minute // a refusal that comes up again within it is no news
	maxRefusals   = 256
)

// isNew reports whether a refusal has not come up of late. What there is no room to remember is new.
func (r *refusals) isNew(who, why string, now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refused{who, why}
	last, known := r.last[key]
	if !known && len(r.last) >= maxRefusals {
		for k, at := range r.last {
			if now-at >= refusalMemory {
				delete(r.last, k)
			}
		}
	}
	if known || len(r.last) < maxRefusals {
		if r.last == nil {
			r.last = make(map[refused]time.Duration)
		}
		r.last[key] = now
	}
	return !known || now-last >= refusalMemory
}

// unsaid makes one reason news again.
func (r *refusals) unsaid(who, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, refused{who, why})
}

// forget makes everything that somebody is refused for news again.
func (r *refusals) forget(who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.last {
		if k.who == who {
			delete(r.last, k)
		}
	}
}
