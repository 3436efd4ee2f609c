package messageserver

import (
	"sync"

	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/messageserver/internal/quota"
)

// sharedLimits are those that all nodes share, as quota wants them: the same slice until there are others. Safe for concurrent use.
type sharedLimits struct {
	mu     sync.Mutex
	of     []rules.Shared
	limits []quota.Limit
}

// limits are those that all nodes share. It is called up to a hundred times a second.
func (g *government) limits() []quota.Limit {
	of, l := g.rules.Set().Shared(), &g.shared
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(of) == len(l.of) && (len(of) == 0 || &of[0] == &l.of[0]) {
		return l.limits
	}
	l.of, l.limits = of, make([]quota.Limit, 0, len(of))
	for _, one := range of {
		l.limits = append(l.limits, quota.Limit{Key: one.Key, PerSecond: one.PerSecond, Burst: one.Burst, Bucket: one.Bucket})
	}
	return l.limits
}
