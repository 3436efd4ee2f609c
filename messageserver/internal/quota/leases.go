package quota

import (
	"cmp"
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

	// Limits returns the limits in use here that hold for the whole mesh, each key once.
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
	members []string // of the last look
	held    map[string]*held
	owned   map[string]*quota.Owner
	asking  map[string]bool // owners with a question on its way
	silent  map[string]bool // owners whose last question failed
	swept   time.Duration
}

// held is one limit in use here.
type held struct {
	limit    Limit
	owner    string
	holder   quota.Holder
	asked    uint64 // the bucket's count at the last look
	total    uint64 // over all buckets that the limit has had
	linked   bool   // there is a link to the owner
	rate     float64
	fallback bool
}

// New returns a Leases that holds nothing.
func New(o Options) *Leases {
	return &Leases{
		opts: o, held: make(map[string]*held), owned: make(map[string]*quota.Owner),
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

// look measures the demand of all limits, sets the rates that hold now, and returns the questions that are due. What this node
// owns itself is granted here. limits is how many there are.
func (l *Leases) look() (due []question, limits int) {
	members, reached, inUse := l.opts.Members(), l.opts.Reached(), l.opts.Limits()
	now := l.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked(members, inUse)
	l.sweepLocked(now)

	byOwner := make(map[string]*question)
	for key, h := range l.held {
		count := h.limit.Bucket.Asked()
		h.total += count - h.asked
		h.asked = count
		h.holder.Look(now, h.total)
		h.linked = h.owner == l.opts.Node || slices.Contains(reached, h.owner)
		if len(members) > 1 && h.linked && !l.asking[h.owner] && h.holder.Due(now) {
			h.holder.Asks(now)
			if h.owner == l.opts.Node {
				h.holder.Granted(l.ownerLocked(key, h.limit.PerSecond).Grant(now, l.opts.Node, h.holder.Demand(), countReached(members, reached), len(members)))
			} else {
				q := byOwner[h.owner]
				if q == nil {
					q = &question{owner: h.owner}
					byOwner[h.owner] = q
				}
				q.limits = append(q.limits, h)
				q.asked = append(q.asked, asked{Key: key, Limit: h.limit.PerSecond, Demand: h.holder.Demand()})
			}
		}
		l.setLocked(now, h)
	}
	for owner, q := range byOwner {
		l.asking[owner] = true
		due = append(due, *q)
	}
	return due, len(l.held)
}

// takeLocked takes over which limits there are and who owns them.
func (l *Leases) takeLocked(members []string, limits []Limit) {
	moved := !slices.Equal(members, l.members)
	if moved {
		l.members = slices.Clone(members)
	}
	inUse := make(map[string]bool, len(limits))
	for _, limit := range limits {
		if inUse[limit.Key] {
			continue
		}
		inUse[limit.Key] = true
		h := l.held[limit.Key]
		switch {
		case h == nil:
			h = &held{limit: limit, owner: quota.OwnerOf(limit.Key, members), asked: limit.Bucket.Asked()}
			l.held[limit.Key] = h
			continue
		case h.limit.Bucket != limit.Bucket:
			h.asked = 0
		}
		h.limit = limit
		if moved {
			if owner := quota.OwnerOf(limit.Key, members); owner != h.owner {
				h.owner = owner
				h.holder.Failed() // the new one does not know what the old one has granted
			}
		}
	}
	for key := range l.held {
		if !inUse[key] {
			delete(l.held, key)
		}
	}
}

// setLocked puts the rate of a limit in force. A bucket to which nothing is new does nothing.
func (l *Leases) setLocked(now time.Duration, h *held) {
	rate, fallback := h.holder.Rate(now, h.limit.PerSecond, len(l.members), h.linked)
	h.rate, h.fallback = rate, fallback
	part := 0.0
	if h.limit.PerSecond > 0 {
		part = rate / h.limit.PerSecond
	}
	h.limit.Bucket.Set(now, rate, h.limit.Burst*part)
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

// LeaseView is what this node holds of one limit, for operators.
type LeaseView struct {
	Key      string  `json:"key"`
	Owner    string  `json:"owner"`
	Limit    float64 `json:"limit"`    // calls per second, over the mesh
	Rate     float64 `json:"rate"`     // of them, here
	Demand   float64 `json:"demand"`   // asked for here
	Fallback bool    `json:"fallback"` // there is no word of the owner
}

// View returns what this node holds, by key.
func (l *Leases) View() []LeaseView {
	l.mu.Lock()
	defer l.mu.Unlock()
	view := make([]LeaseView, 0, len(l.held))
	for key, h := range l.held {
		view = append(view, LeaseView{
			Key: key, Owner: h.owner, Limit: h.limit.PerSecond,
			Rate: h.rate, Demand: h.holder.Demand(), Fallback: h.fallback,
		})
	}
	slices.SortFunc(view, func(a, b LeaseView) int { return cmp.Compare(a.Key, b.Key) })
	return view
}
