package quota

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twohop/twohop/governance/quota"
	"github.com/twohop/twohop/governance/ratelimit"
)

const (
	idleEvery  = 100 * time.Millisecond // how often Run looks where there are no limits
	manyLimits = 1_000                  // of them make it look half as often
	askTimeout = 250 * time.Millisecond
	forget     = time.Minute // what an owner knows, without questions
)

// Options are what a Leases works with. All are needed. The functions are called without locks held, are safe for concurrent
// use, and do not block, but for Ask.
type Options struct {
	// Node is this node's name.
	Node string

	// Members returns the names of all members, this node among them; Reached those to which there are links now, and this node.
	Members func() []string
	Reached func() []string

	// Ask makes the call Quota of the module _node at another node.
	Ask func(ctx context.Context, node string, body []byte) ([]byte, error)

	// Limits returns the limits in use here that hold for the whole mesh, each key once. As long as there are no others it is the
	// same slice, which is not changed: then a look does not compare them.
	Limits func() []Limit

	// Now is the process's monotonic clock, the one that the buckets are asked with.
	Now func() time.Duration

	Log *slog.Logger
}

// Limit is one limit in use here.
type Limit struct {
	Key       string  // the same on all nodes, ≤ 512 bytes
	PerSecond float64 // over the whole mesh
	Burst     float64 // over the whole mesh, in calls

	// Bucket is what calls draw from here. Leases sets its rate to this node's share, and its burst to the same part of Burst.
	Bucket *ratelimit.Bucket
}

// Leases holds and grants leases. Use New. Safe for concurrent use.
type Leases struct {
	// Static after construction.
	opts Options

	// Guarded by mu.
	mu      sync.Mutex
	members []string      // nil before the first look
	since   time.Duration // when they last changed, or this node began
	reached []string      // of the last look
	looked  time.Duration // when that was
	limits  []Limit       // of the last look
	held    map[string]*held
	list    []*held // all of them
	owned   map[string]*quota.Owner
	asking  map[string]bool // owners with a question on its way
	silent  map[string]bool // owners whose last question failed
	swept   time.Duration
}

// New returns a Leases that holds nothing.
func New(o Options) *Leases {
	return &Leases{
		opts: o, since: o.Now(), held: make(map[string]*held), owned: make(map[string]*quota.Owner),
		asking: make(map[string]bool), silent: make(map[string]bool),
	}
}

// Run keeps leases until ctx is done, and returns when its last question has ended. Buckets keep the rates that they have then.
func (l *Leases) Run(ctx context.Context) {
	var questions sync.WaitGroup
	defer questions.Wait()
	every := quota.Every
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		due, limits := l.look()
		for _, q := range due {
			questions.Go(func() { l.ask(ctx, q) })
		}
		next := idleEvery
		if limits > 0 {
			next = min(quota.Every*time.Duration(1+limits/manyLimits), idleEvery)
		}
		if next != every {
			every = next
			ticker.Reset(every)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// question is what is due at one owner.
type question struct {
	owner  string
	limits []*held
	asked  []asked
}

// look measures the demand of the limits in use, sets the rates that hold now, and returns the questions that are due. What this
// node owns itself is granted here. limits is how many there are.
func (l *Leases) look() (due []question, limits int) {
	members, reached, inUse := l.opts.Members(), l.opts.Reached(), l.opts.Limits()
	now := l.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.membersLocked(now, members)
	if !slices.Equal(reached, l.reached) {
		l.reached = slices.Clone(reached)
		l.rouseLocked()
	}
	l.takeLocked(inUse)
	l.sweepLocked(now)

	byOwner := make(map[string]*question)
	for _, h := range l.list {
		count := h.limit.Bucket.Asked()
		if h.rests {
			if count == h.asked {
				continue
			}
			h.holder.Wake(l.looked)
		}
		h.total += count - h.asked
		h.asked = count
		h.holder.Look(now, h.total)
		h.linked = h.owner == l.opts.Node || slices.Contains(reached, h.owner)
		if len(members) > 1 && h.linked && !l.asking[h.owner] && h.holder.Due(now) {
			l.askLocked(now, h, byOwner)
		}
		l.setLocked(now, h)
		h.rests = h.holder.Rests(now, len(members))
	}
	l.looked = now
	for owner, q := range byOwner {
		l.asking[owner] = true
		due = append(due, *q)
	}
	return due, len(l.list)
}

// askLocked grants a limit that this node owns, and puts another one into the question to its owner.
func (l *Leases) askLocked(now time.Duration, h *held, byOwner map[string]*question) {
	h.holder.Asks(now)
	key, demand := h.limit.Key, h.holder.Demand()
	if h.owner == l.opts.Node {
		owner := l.ownerLocked(key, h.limit.PerSecond)
		h.holder.Granted(owner.Grant(now, l.opts.Node, demand, countReached(l.members, l.reached), len(l.members)))
		return
	}
	q := byOwner[h.owner]
	if q == nil {
		q = &question{owner: h.owner}
		byOwner[h.owner] = q
	}
	q.limits = append(q.limits, h)
	q.asked = append(q.asked, asked{Key: key, Limit: h.limit.PerSecond, Demand: demand})
}

// sweepLocked forgets the limits that nobody asks for, once a second.
func (l *Leases) sweepLocked(now time.Duration) {
	if now-l.swept < time.Second {
		return
	}
	l.swept = now
	for key, o := range l.owned {
		if now-o.Asked() >= forget {
			delete(l.owned, key)
		}
	}
}

// countReached returns how many of the members are reached.
func countReached(members, reached []string) (n int) {
	for _, member := range members {
		if slices.Contains(reached, member) {
			n++
		}
	}
	return n
}
