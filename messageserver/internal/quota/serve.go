package quota

import (
	"fmt"
	"slices"

	"github.com/twohop/twohop/governance/quota"
)

// maxOwned is how many limits an owner knows at most. More are not granted to others: they have their equal part.
const maxOwned = 100_000

// Serve answers the call Quota of the module _node: it grants leases of the limits that this node owns. The error says what is
// wrong with the question; then nothing was granted.
func (l *Leases) Serve(body []byte) ([]byte, error) {
	q, err := decodeQuestion(body)
	if err != nil {
		return nil, err
	}
	members, reached := l.opts.Members(), l.opts.Reached()
	if !slices.Contains(members, q.Node) || q.Node == l.opts.Node {
		return nil, fmt.Errorf("quota: node %q is none of the other members", q.Node)
	}
	return encodeAnswer(l.grant(q, members, countReached(members, reached)))
}

func (l *Leases) grant(q asks, members []string, reached int) []granted {
	now := l.opts.Now()
	leases := make([]granted, 0, len(q.Limits))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.membersLocked(now, members)
	for _, a := range q.Limits {
		if quota.OwnerOf(a.Key, members) != l.opts.Node {
			continue
		}
		if l.owned[a.Key] == nil && len(l.owned) >= maxOwned {
			continue
		}
		rate, valid := l.ownerLocked(a.Key, a.Limit).Grant(now, q.Node, a.Demand, reached, len(members))
		leases = append(leases, granted{Key: a.Key, Rate: rate, ValidMS: valid.Milliseconds()})
	}
	return leases
}

// ownerLocked returns the owner of a limit. How much it is says the rule in force here; where there is none, who asks.
func (l *Leases) ownerLocked(key string, limit float64) *quota.Owner {
	if h := l.held[key]; h != nil {
		limit = h.limit.PerSecond
	}
	o := l.owned[key]
	if o == nil {
		o = quota.NewOwner(limit, l.since)
		l.owned[key] = o
	}
	o.SetLimit(limit)
	return o
}
