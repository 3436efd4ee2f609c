package quota

import (
	"slices"
	"time"

	"github.com/twohop/twohop/governance/quota"
)

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
	rests    bool // it is not looked at before calls come
}

// membersLocked takes over who the members are, and with it who owns the limits. What is no longer owned here is forgotten: if it
// comes back, another owner may have leased of it meanwhile.
func (l *Leases) membersLocked(now time.Duration, members []string) {
	if l.members != nil && slices.Equal(members, l.members) {
		return
	}
	l.members, l.since = append([]string{}, members...), now
	for key := range l.owned {
		if quota.OwnerOf(key, members) != l.opts.Node {
			delete(l.owned, key)
		}
	}
	for key, h := range l.held {
		if owner := quota.OwnerOf(key, members); owner != h.owner {
			h.owner = owner
			h.holder.Failed() // the new one does not know what the old one has granted
		}
	}
	l.rouseLocked()
}

// rouseLocked has all limits looked at.
func (l *Leases) rouseLocked() {
	for _, h := range l.list {
		h.rests = false
	}
}

// takeLocked takes over which limits there are.
func (l *Leases) takeLocked(limits []Limit) {
	if len(limits) == len(l.limits) && (len(limits) == 0 || &limits[0] == &l.limits[0]) {
		return
	}
	l.limits, l.list = limits, make([]*held, 0, len(limits))
	before := l.held
	l.held = make(map[string]*held, len(limits))
	for _, limit := range limits {
		if l.held[limit.Key] != nil {
			continue
		}
		h := before[limit.Key]
		switch {
		case h == nil:
			h = &held{limit: limit, owner: quota.OwnerOf(limit.Key, l.members), asked: limit.Bucket.Asked()}
		case h.limit.Bucket != limit.Bucket:
			h.asked = 0
		}
		h.rests = h.rests && h.limit == limit
		h.limit = limit
		l.held[limit.Key] = h
		l.list = append(l.list, h)
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
