package quota

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

// Valid is how long a lease lives.
const Valid = time.Second

// settle is how long an owner waits before it uses what it cannot be sure of: what nodes want of which it has not heard, that a
// node which it reaches again has left its fallback. By then each node has asked twice.
const settle = 200 * time.Millisecond

// reserved is the part of the limit that is not leased.
const reserved = 0.01

// Owner divides one limit among the nodes that ask. Not for concurrent use.
type Owner struct {
	limit  float64
	since  time.Duration // when its node became the owner
	leases map[string]*lease

	started bool
	first   time.Duration // when it was asked first
	asked   time.Duration // when it was asked last

	// What it reaches counts when it has been so for settle.
	reached int
	more    time.Duration // since when it has been more
	rising  bool
}

// lease is what one node holds above its reserve.
type lease struct {
	rate   float64
	demand float64 // above the reserve
	until  time.Duration
}

// NewOwner returns the owner of a limit, in calls per second, of which it has leased nothing. Its node is the owner since then: what
// another one, or this node before it was started anew, has leased may live for Valid. Meanwhile nobody gets more than
// an equal part.
func NewOwner(limit float64, since time.Duration) *Owner {
	return &Owner{limit: max(limit, 0), since: since, leases: make(map[string]*lease)}
}

// SetLimit changes the limit. What is held shrinks when its holders ask again.
func (o *Owner) SetLimit(limit float64) { o.limit = max(limit, 0) }

// Limit returns the limit that is divided.
func (o *Owner) Limit() float64 { return o.limit }

// Asked returns when the owner was asked last.
func (o *Owner) Asked() time.Duration { return o.asked }

// Reserve is the rate that each node has without a lease while it reaches the owner: its part of a hundredth of the limit.
func Reserve(limit float64, members int) float64 { return Fallback(limit, members) * reserved }

// Fallback is the rate of a node that does not reach the owner: its equal part of the limit.
func Fallback(limit float64, members int) float64 { return max(limit, 0) / float64(max(members, 1)) }

// OwnerOf returns the owner of a limit: the member with the greatest hash of both names, "" if there are no members.
func OwnerOf(key string, members []string) string {
	var owner string
	var greatest uint64
	var d xxhash.Digest
	for _, member := range members {
		d.Reset()
		_, _ = d.WriteString(member)
		_, _ = d.Write([]byte{0}) // is in no name
		_, _ = d.WriteString(key)
		if h := d.Sum64(); owner == "" || h > greatest || h == greatest && member < owner {
			owner, greatest = member, h
		}
	}
	return owner
}

// Grant gives node a share, in place of the one that it has, by its demand: the calls per second that it is asked for. Of the
// members, itself among them, the owner reaches so many. The rate contains the node's reserve; it is valid from when the
// node asked.
func (o *Owner) Grant(now time.Duration, node string, demand float64, reached, members int) (rate float64, valid time.Duration) {
	members = max(members, 1)
	reached = o.reach(now, min(max(reached, 1), members))
	if !o.started {
		o.started, o.first = true, now
	}
	o.asked = max(o.asked, now)

	reserve := Reserve(o.limit, members)
	mine := o.leases[node]
	if mine == nil {
		mine = &lease{}
		o.leases[node] = mine
	}
	holds := mine.rate
	if mine.until <= now {
		holds = 0
	}
	mine.demand, mine.until = max(demand-reserve, 0), now+Valid
	pool := max(Fallback(o.limit, members)-reserve, 0) * float64(reached)
	free := pool
	for name, l := range o.leases {
		switch {
		case l == mine:
		case l.until <= now:
			delete(o.leases, name)
		default:
			free -= l.rate
		}
	}
	// Those that were cut off since they asked have a reserve, too.
	free -= reserve * float64(max(len(o.leases)-reached, 0))
	share := o.fair(mine.demand, pool, reached)
	if now-o.first < settle || now-o.since < Valid {
		share = min(share, pool/float64(reached))
	}
	// Where the pool has shrunk because a node is not reached any more, its lease still lives. Those who are reached do not make room
	// for it: what they hold already, and is their share, they keep.
	mine.rate = min(share, max(free, holds, 0))
	return reserve + mine.rate, Valid
}

// reach returns how many nodes count as reached: fewer at once, more after settle.
func (o *Owner) reach(now time.Duration, reached int) int {
	switch {
	case !o.started || reached <= o.reached:
		o.reached, o.rising = reached, false
	case !o.rising:
		o.rising, o.more = true, now
	case now-o.more >= settle:
		o.reached, o.rising = reached, false
	}
	return o.reached
}

// fair returns the max-min fair share of a demand out of the pool, beside all other demands: nobody gets more than demanded
// until everybody has it or as much as anybody. What is left is divided among all nodes that are reached.
func (o *Owner) fair(demand, pool float64, reached int) float64 {
	// The water rises to the level at which the pool is used up. Each round finds all demands below the level of the one before, which
	// only rises: at most a round for each node, and two or three as a rule.
	level, below := 0.0, 0
	for {
		left, n := pool, 0
		for _, l := range o.leases {
			if l.demand <= level {
				left -= l.demand
				n++
			}
		}
		if n == len(o.leases) {
			return demand + max(left, 0)/float64(max(reached, n))
		}
		next := left / float64(len(o.leases)-n)
		if n == below && level > 0 || next <= level {
			return min(demand, max(next, level))
		}
		level, below = next, n
	}
}
