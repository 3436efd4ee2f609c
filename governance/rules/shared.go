package rules

import (
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

// Shared returns the limits of the whole mesh that have a bucket now, in the order of the document. What a node may let through of
// them is for its caller to say, with Bucket.Set; until then a new bucket has all of it.
func (s *Set) Shared() []Shared {
	var all []Shared
	for _, c := range s.rules {
		if c.Rate == nil || c.Rate.Per != PerCluster && c.Rate.Per != "" {
			continue
		}
		one := Shared{Key: c.ID, RuleID: c.ID, PerSecond: c.Rate.PerSecond, Burst: c.Rate.burst(), Bucket: c.counts.bucket}
		if c.counts.buckets == nil {
			all = append(all, one)
			continue
		}
		for _, n := range c.counts.buckets.all() {
			one.Key, one.Caller, one.Bucket = c.ID+"/"+n.caller, n.caller, n.t
			all = append(all, one)
		}
	}
	return all
}
