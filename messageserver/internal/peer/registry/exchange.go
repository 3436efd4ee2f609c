package registry

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Options configure an Exchange. The zero value is the default.
type Options struct {
	Heartbeat time.Duration // between two heartbeats; default 1 s
	Dead      time.Duration // after so long without hearing, or without being heard, a link is dead; default 3.5 s
	Resync    time.Duration // between two RESYNC, both ways, or the round trip where that is longer; default 200 ms
	Doubt     time.Duration // between two RESYNC for stale routes; default 1 s

	partEntries int // tests make parts small; 0 is maxPuts
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Heartbeat, time.Second}, {&o.Dead, 3500 * time.Millisecond}, {&o.Resync, 200 * time.Millisecond}, {&o.Doubt, time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.partEntries == 0 {
		o.partEntries = maxPuts
	}
	return o
}

// State is what a link is good for.
type State uint8

// The states. A link that is not closed when it is Dead or OneWay comes back by itself when it is heard both ways.
const (
	Syncing State = iota // their registry is not in yet
	Up                   // their registry is in, and both sides hear each other
	OneWay               // they are heard, and do not hear us
	Dead                 // they are not heard
)

// String is a word for people.
func (s State) String() string { return [...]string{"syncing", "up", "one-way", "dead"}[s] }

// Why a link is to be given up.
var (
	ErrSilent = errors.New("registry: nothing was heard of the other node")
	ErrOneWay = errors.New("registry: the other node does not hear this one")
)

// Info is what a node says of itself with every heartbeat.
type Info struct {
	Reaches        []uint32 // the numbers of the nodes that it reaches
	MembershipHash uint64
	RulesEpoch     uint64
	RulesVersion   uint64
	RulesHash      []byte // ≤ 64 bytes
	LateMS         uint32 // how late it runs
}

// Result is what a frame led to.
type Result struct {
	Changes  []router.Change // of the view, in order: what is gone first
	Mismatch error           // count or digest differ; it is being repaired, and somebody should hear of it
}

// Exchange is the conversation about two registries over one link: it says what is in Own and fills the View.
type Exchange struct {
	// Static after construction.
	own  *Own
	view *View
	opts Options

	// What we say.
	cursor   Mark // what they have when all that was sent has arrived
	transfer *transfer
	rewind   *Mark         // what they asked for, and is not granted yet
	rewindAt time.Duration // not before
	beatAt   time.Duration // the next heartbeat
	info     Info

	// What they say.
	assembly  *assembly
	in        bool // their registry is in
	announced Mark // by their last heartbeat
	moved     bool // parts came since that
	heard     Info
	ask       bool          // a RESYNC is wanted
	scratch   bool          // from the beginning
	askAt     time.Duration // not before
	doubtAt   time.Duration // not before

	pulse    pulse
	patience int
	counters Counters
}

// NewExchange begins a conversation over a new link at now. known is what the other side's HELLO says that it holds of own.
// The view has met the other side's incarnation (View.Meet). An exchange over an earlier link to the same node must not be
// used any more.
func NewExchange(own *Own, view *View, o Options, known Known, now time.Duration) *Exchange {
	x := &Exchange{own: own, view: view, opts: o.withDefaults(), beatAt: now, patience: 1}
	x.pulse.anythingAt, x.pulse.heardAt, x.pulse.confirmedAt = now, now, now
	x.moveCursor(known.Mark)
	if known.Mark == own.mark && known.Digest != own.digest {
		x.counters.Mismatches++
		x.cursor = Mark{}
	}
	return x
}

// moveCursor takes what the other side holds. A state that this node does not have is as good as none.
func (x *Exchange) moveCursor(have Mark) {
	x.transfer = nil
	x.cursor = Mark{}
	switch {
	case have.Incarnation != x.own.mark.Incarnation:
	case have.Version > x.own.mark.Version:
		x.counters.Ahead++
	default:
		x.cursor = have
	}
}

// Tick notes what heartbeats are to say, and by what to multiply Options.Dead (Health.Patience). That other rules are in force is
// said at once.
func (x *Exchange) Tick(now time.Duration, info Info, patience int) {
	if info.RulesEpoch != x.info.RulesEpoch || info.RulesVersion != x.info.RulesVersion {
		x.beatAt = min(x.beatAt, now)
	}
	x.info, x.patience = info, max(patience, 1)
	if x.rewind != nil && now >= x.rewindAt {
		x.grant(now)
	}
}

// Next returns the next frame to send, if one is due; the link asks while it has room. What repairs and what proves life
// goes before parts of the registry. The message may share memory with the registry: it is to be encoded at once.
func (x *Exchange) Next(now time.Duration) (kind wire.Kind, m proto.Message, ok bool) {
	switch {
	case x.ask && now >= x.askAt:
		return wire.KindResync, x.nextResync(now), true
	case now >= x.beatAt:
		return wire.KindHeartbeat, x.nextHeartbeat(now), true
	case x.rewind != nil && now >= x.rewindAt:
		x.grant(now)
	}
	if x.transfer == nil {
		if x.cursor == x.own.mark {
			return 0, nil, false
		}
		x.transfer = x.own.transfer(x.cursor, x.opts.partEntries)
	}
	kind, m = x.transfer.next(now)
	x.counters.PartsSent++
	if x.transfer.done {
		if x.transfer.snapshot {
			x.counters.SnapshotsSent++
		} else {
			x.counters.DeltasSent++
		}
		x.cursor, x.transfer = x.transfer.to, nil
	}
	return kind, m, true
}

// Pending reports whether parts of the registry are to be sent.
func (x *Exchange) Pending() bool {
	return x.transfer != nil || x.rewind != nil || x.cursor != x.own.mark
}

// Due returns when Next has something to say that it has not yet, if nothing comes and nothing changes.
func (x *Exchange) Due() time.Duration {
	due := x.beatAt
	if x.ask {
		due = min(due, x.askAt)
	}
	if x.rewind != nil {
		due = min(due, x.rewindAt)
	}
	return due
}

func (x *Exchange) nextResync(now time.Duration) *pb.Resync {
	m := &pb.Resync{}
	if !x.scratch {
		m.HaveIncarnation, m.HaveVersion = x.view.mark.Incarnation, x.view.mark.Version
	}
	x.ask, x.scratch = false, false
	x.askAt = now + max(x.opts.Resync, x.pulse.rtt)
	x.counters.ResyncsSent++
	return m
}

func (x *Exchange) nextHeartbeat(now time.Duration) *pb.Heartbeat {
	x.beatAt += x.opts.Heartbeat
	if x.beatAt <= now {
		x.beatAt = now + x.opts.Heartbeat
	}
	x.counters.HeartbeatsSent++
	h := &pb.Heartbeat{
		Incarnation: x.own.mark.Incarnation, Version: x.own.mark.Version, Digest: x.own.digest[:], Count: uint32(len(x.own.entries)),
		Sequence: x.pulse.beat(now), HeardSequence: x.pulse.heard, Reaches: x.info.Reaches, MembershipHash: x.info.MembershipHash,
		RulesEpoch: x.info.RulesEpoch, RulesVersion: x.info.RulesVersion, RulesHash: x.info.RulesHash, LateMs: x.info.LateMS,
	}
	if x.pulse.heard > 0 {
		h.HeardAgoUs = uint64((now - x.pulse.heardAt).Microseconds())
	}
	return h
}

// Doubt says that a route of the other node was stale: it is asked for what is new, unless that is coming.
func (x *Exchange) Doubt(now time.Duration) {
	if !x.in || x.assembly != nil || now < x.doubtAt {
		return
	}
	x.doubtAt = now + x.opts.Doubt
	x.counters.Doubts++
	x.ask = true
}

// Hear notes that something else came of the other side, as calls and answers do: it is not silent. It says nothing of whether
// the other side hears us.
func (x *Exchange) Hear(now time.Duration) { x.pulse.anythingAt = max(x.pulse.anythingAt, now) }

// State returns what the link is good for.
func (x *Exchange) State(now time.Duration) State {
	dead := x.opts.Dead*time.Duration(x.patience) + min(time.Duration(x.heard.LateMS)*time.Millisecond, x.opts.Dead)
	switch silence := now - x.pulse.anythingAt; {
	case silence > dead:
		return Dead
	case x.pulse.unheard(now) > dead:
		if silence > 2*x.opts.Heartbeat {
			return Dead // who says nothing confirms nothing
		}
		return OneWay
	case x.in:
		return Up
	}
	return Syncing
}

// Err returns why the link is to be given up, or nil.
func (x *Exchange) Err(now time.Duration) error {
	switch x.State(now) {
	case Dead:
		return ErrSilent
	case OneWay:
		return ErrOneWay
	}
	return nil
}

// RTT returns the last round trip that heartbeats measured, 0 before there is one.
func (x *Exchange) RTT() time.Duration { return x.pulse.rtt }

// OldestUnanswered returns for how long the oldest of our heartbeats that the other side has not confirmed is on its way.
func (x *Exchange) OldestUnanswered(now time.Duration) time.Duration {
	return x.pulse.oldestUnanswered(now)
}

// Silence returns for how long nothing has been heard.
func (x *Exchange) Silence(now time.Duration) time.Duration { return now - x.pulse.anythingAt }

// Heard returns what the other side's last heartbeat said of it.
func (x *Exchange) Heard() Info {
	heard := x.heard
	heard.Reaches, heard.RulesHash = slices.Clone(heard.Reaches), slices.Clone(heard.RulesHash)
	return heard
}

// Sent returns up to where the other side is told, when all that was sent arrives.
func (x *Exchange) Sent() Mark { return x.cursor }

// Counters returns what was done so far.
func (x *Exchange) Counters() Counters { return x.counters }
