package rules

import (
	"sync"

	"github.com/twohop/twohop/governance/ratelimit"
)

// Shared is a limit of the whole mesh that has a bucket at this node.
type Shared struct {
	Key       string // RuleID, or RuleID/Caller where each caller has a bucket
	RuleID    string
	Caller    string  // empty where all share it; * for those that have none of their own
	PerSecond float64 // of the mesh
	Burst     float64 // of the mesh
	Bucket    *ratelimit.Bucket
}

// shared are the limits of the whole mesh of one set. Safe for concurrent use.
type shared struct {
	// Static after construction.
	rules []*compiled // in the order of the document

	mu sync.Mutex
	// Guarded by mu.
	made    bool
	buckets int // of callers, when list was made; buckets only become more
	list    []Shared
}

// Shared returns the limits of the whole mesh that have a bucket now, in the order of the document. What a node may let through of
// them is for its caller to say, with Bucket.Set; until then a new bucket has all of it.
//
// It is the same slice as before, as long as there are no other limits: it costs no more than a look at each rule. The receiver
// must not change it.
func (s *Set) Shared() []Shared {
	l := &s.shared
	l.mu.Lock()
	defer l.mu.Unlock()
	buckets := 0
	for _, c := range l.rules {
		if c.counts.buckets != nil {
			buckets += c.counts.buckets.size()
		}
	}
	if l.made && buckets == l.buckets {
		return l.list
	}
	// Buckets may come meanwhile: then there are more of them at the next look.
	l.made, l.buckets, l.list = true, buckets, make([]Shared, 0, len(l.rules)+buckets)
	for _, c := range l.rules {
		one := Shared{Key: c.ID, RuleID: c.ID, PerSecond: c.Rate.PerSecond, Burst: c.Rate.burst(), Bucket: c.counts.bucket}
		if c.counts.buckets == nil {
			l.list = append(l.list, one)
			continue
		}
		for _, n := range c.counts.buckets.all() {
			one.Key, one.Caller, one.Bucket = c.ID+"/"+n.caller, n.caller, n.t
			l.list = append(l.list, one)
		}
	}
	return l.list
}
