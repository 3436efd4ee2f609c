package governance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// DefaultWeight is the weight of an instance that names none.
const DefaultWeight = 100

// A new instance starts with slowStartFloor of its weight and has all of it after SlowStart.
const (
	SlowStart      = 30 * time.Second
	slowStartFloor = 0.1
)

// The share of failures is an exponentially weighted mean over outcomes. An instance that is avoided because of it has no
// outcomes which could lower it, so without any it fades, and the instance is asked again. It does not fade before: the share of
// instances that all fail alike would depend on how often each is called.
const (
	failureWeight = 1.0 / 16         // of the newest outcome
	failureQuiet  = time.Second      // without outcomes before it fades
	failureFade   = 10 * time.Second // from then on, to 1/e
	failureOne    = math.MaxUint16   // a share of 1 in the packed word
)

// Instance is one process that serves calls, as balancing sees it. There is one value per process and node: pointers stay
// the same when sets and pickers are rebuilt, and are what identifies an instance. Use NewInstance. Safe for concurrent use.
type Instance struct {
	// Static after construction.
	Name   string
	UUID   string
	Weight uint32 // never 0
	hash   uint64

	since atomic.Int64 // when the instance logged in, on this node's clock; moved back by LoggedIn

	// Updated by Begin and End.
	outstanding atomic.Int64
	failing     atomic.Uint64 // 48 bit: milliseconds of the last outcome that changed it | 16 bit: share of failures then
}

// NewInstance returns an instance with nothing outstanding. A weight of 0 is DefaultWeight. The name places the instance for
// the hash balancer, so a restarted process of the same name gets its keys back; an instance without a name goes by uuid.
func NewInstance(name, uuid string, weight uint32, since time.Duration) *Instance {
	if weight == 0 {
		weight = DefaultWeight
	}
	identity := name
	if identity == "" {
		identity = uuid
	}
	i := &Instance{Name: name, UUID: uuid, Weight: weight, hash: xxhash.Sum64String(identity)}
	i.since.Store(int64(since))
	return i
}

// String names the instance for logs.
func (i *Instance) String() string { return i.Name + "/" + i.UUID }

// Hash returns the instance's place for hashing; it depends on nothing but the name, so all nodes agree on it.
func (i *Instance) Hash() uint64 { return i.hash }

// Since returns when the instance logged in, on this node's clock; it is negative if that was before this process started.
func (i *Instance) Since() time.Duration { return time.Duration(i.since.Load()) }

// LoggedIn says that the instance was there at the given time: one that has several sessions is as old as the oldest that
// is known. A later time changes nothing.
func (i *Instance) LoggedIn(at time.Duration) {
	for {
		since := i.since.Load()
		if since <= int64(at) || i.since.CompareAndSwap(since, int64(at)) {
			return
		}
	}
}

// Outstanding returns the attempts of this node that were picked and are not done.
func (i *Instance) Outstanding() int { return int(i.outstanding.Load()) }

// Ramp returns the share of its weight that the instance has at now: 0.1 when it has just logged in, 1 from SlowStart on.
func (i *Instance) Ramp(now time.Duration) float64 {
	age := now - i.Since()
	if age >= SlowStart {
		return 1
	}
	if age <= 0 {
		return slowStartFloor
	}
	return slowStartFloor + (1-slowStartFloor)*float64(age)/float64(SlowStart)
}

// Failing returns the share of attempts that ended badly of late, 0 to 1: of the last sixteen or so, fading over some 10 s once
// there was none for a second.
func (i *Instance) Failing(now time.Duration) float64 {
	return failingAt(i.failing.Load(), now.Milliseconds())
}

// Begin counts an attempt as outstanding: called by Pick, and by who sends to a named instance without a Picker.
func (i *Instance) Begin() { i.outstanding.Add(1) }

// End takes back one Begin and remembers how the attempt ended: called by Done, or by who called Begin.
func (i *Instance) End(now time.Duration, o Outcome) {
	i.outstanding.Add(-1)
	if o == Local {
		return
	}
	ms := max(now.Milliseconds(), 0)
	for {
		before := i.failing.Load()
		if o == Succeeded && before&failureOne == 0 {
			return // the common case: nothing to forgive, nothing to write
		}
		share := failingAt(before, ms) * (1 - failureWeight)
		if o != Succeeded {
			share += failureWeight
		}
		stamp := max(uint64(ms), before>>16)
		// Rounded down, so that successes reach 0.
		if i.failing.CompareAndSwap(before, stamp<<16|uint64(share*failureOne)) {
			return
		}
	}
}

// failingAt returns the packed share as it is at ms.
func failingAt(packed uint64, ms int64) float64 {
	share := float64(packed&failureOne) / failureOne
	if idle := ms - int64(packed>>16) - failureQuiet.Milliseconds(); share > 0 && idle > 0 {
		share *= math.Exp(-float64(idle) / float64(failureFade.Milliseconds()))
	}
	return share
}
