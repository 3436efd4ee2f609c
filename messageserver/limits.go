package messageserver

import (
	"sync"

	"github.com/twohop/twohop/messageserver/internal/quota"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// sharedLimits returns what lists the limits that all nodes share, many times a second: it returns the same slice until there
// are others.
func sharedLimits(of *rulestore.Rules) func() []quota.Limit {
	var mu sync.Mutex
	var limits []quota.Limit
	before := of.Set().Shared()[:0:0]
	return func() []quota.Limit {
		now := of.Set().Shared()
		mu.Lock()
		defer mu.Unlock()
		if len(now) == len(before) && (len(now) == 0 || &now[0] == &before[0]) {
			return limits
		}
		before, limits = now, make([]quota.Limit, 0, len(now))
		for _, l := range now {
			limits = append(limits, quota.Limit{Key: l.Key, PerSecond: l.PerSecond, Burst: l.Burst, Bucket: l.Bucket})
		}
		return limits
	}
}
