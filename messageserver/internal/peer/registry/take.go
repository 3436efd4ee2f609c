package registry

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Take takes a SNAPSHOT, DELTA, HEARTBEAT or RESYNC of the other side. The error is a *wire.Error: the frame cannot be true,
// nothing has changed, and the link is to be closed.
func (x *Exchange) Take(kind wire.Kind, header []byte, now time.Duration) (Result, error) {
	var result Result
	var err error
	switch kind {
	case wire.KindSnapshot:
		m := &pb.Snapshot{}
		var p part
		if err = decode(header, m); err == nil {
			p, err = readSnapshot(m)
		}
		if err == nil {
			result, err = x.takePart(&p, now)
		}
	case wire.KindDelta:
		m := &pb.Delta{}
		var p part
		if err = decode(header, m); err == nil {
			p, err = readDelta(m)
		}
		if err == nil {
			result, err = x.takePart(&p, now)
		}
	case wire.KindHeartbeat:
		m := &pb.Heartbeat{}
		if err = decode(header, m); err == nil {
			result, err = x.takeHeartbeat(m, now)
		}
	case wire.KindResync:
		m := &pb.Resync{}
		if err = decode(header, m); err == nil {
			x.takeResync(Mark{m.GetHaveIncarnation(), m.GetHaveVersion()}, now)
		}
	default:
		err = breach("not of the registry")
	}
	if err != nil {
		return Result{}, breach("%s of node %s: %s", kind, x.view.node, reason(err))
	}
	x.pulse.anythingAt = now
	return result, nil
}

func decode(header []byte, m proto.Message) error {
	if len(header) > 1<<16 {
		return breach("%d bytes, must be fewer than 64 KiB", len(header))
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(header, m)
}

// takePart builds aside. The view changes with the last part only, and only to what was verified.
func (x *Exchange) takePart(p *part, now time.Duration) (Result, error) {
	v := x.view
	x.counters.PartsTaken++
	switch {
	case p.to.before(v.mark), p.to == v.mark && !p.snapshot:
		x.counters.Stale++
		return Result{}, nil
	case p.index == 0 && !p.snapshot && (p.to.Incarnation != v.mark.Incarnation || p.from != v.mark.Version):
		x.assembly = nil
		x.missing()
		return Result{}, nil
	case p.index == 0:
		if x.assembly != nil {
			x.counters.Stale++
		}
		x.assembly = newAssembly(p)
		if p.snapshot || !x.scratch {
			x.ask, x.scratch = false, false // here it comes
		}
	case x.assembly.ofSame(p) && p.index < x.assembly.next:
		x.counters.Stale++
		return Result{}, nil
	case !x.assembly.ofSame(p) || p.index != x.assembly.next:
		x.mixed()
		return Result{}, nil
	}
	x.moved = true
	err := x.assembly.add(v, p, now)
	switch {
	case errors.Is(err, errMixed):
		x.mixed()
		return Result{}, nil
	case err != nil:
		x.assembly = nil
		return Result{}, err
	case !p.last:
		return Result{}, nil
	}
	return x.finish(), nil
}

// mixed throws away what was built of parts that do not belong together.
func (x *Exchange) mixed() {
	x.assembly = nil
	x.counters.Mixed++
	x.ask = true
}

// missing asks for what did not come.
func (x *Exchange) missing() {
	x.counters.Gaps++
	x.ask = true
}

// differs asks for everything: what this node holds is not what the owner has.
func (x *Exchange) differs(what string, at Mark, count int, digest Digest, theirCount uint32, theirs Digest) Result {
	x.counters.Mismatches++
	x.ask, x.scratch = true, true
	return Result{Mismatch: fmt.Errorf("registry: node %s at %v: the %s has %d entries with digest %v, it says %d with %v",
		x.view.node, at, what, count, digest, theirCount, theirs)}
}

// finish verifies what was built and puts it into force.
func (x *Exchange) finish() Result {
	a, v := x.assembly, x.view
	x.assembly = nil
	what, digest, count := "snapshot", a.sum, len(a.puts)
	if !a.head.snapshot {
		what = "state after the delta"
		digest, count = v.weigh(a.puts, a.dels)
	}
	if digest != a.head.digest || uint64(count) != uint64(a.head.count) {
		return x.differs(what, a.head.to, count, digest, a.head.count, a.head.digest)
	}
	x.in = true
	var changes []router.Change
	if a.head.snapshot {
		x.counters.SnapshotsTaken++
		changes = v.swap(a.head.to, digest, a.puts)
		x.ask, x.scratch = false, false
	} else {
		x.counters.DeltasTaken++
		changes = v.edit(a.head.to, digest, a.puts, a.dels)
		x.ask = x.scratch
	}
	return Result{Changes: changes}
}

// takeHeartbeat hears that the other side lives, and compares.
func (x *Exchange) takeHeartbeat(h *pb.Heartbeat, now time.Duration) (Result, error) {
	at := Mark{h.GetIncarnation(), h.GetVersion()}
	digest, err := readDigest(h.GetDigest())
	if err != nil {
		return Result{}, err
	}
	switch err := checkMark(at); {
	case err != nil:
		return Result{}, err
	case h.GetSequence() == 0:
		return Result{}, breach("sequence is 0, must begin at 1")
	case h.GetHeardSequence() > x.pulse.sent:
		return Result{}, breach("heard_sequence is %d, and the last one sent is %d", h.GetHeardSequence(), x.pulse.sent)
	case len(h.GetReaches()) > maxReaches || len(h.GetRulesHash()) > maxRulesHash:
		return Result{}, breach("reaches has %d nodes and rules_hash %d bytes, must have at most %d and %d",
			len(h.GetReaches()), len(h.GetRulesHash()), maxReaches, maxRulesHash)
	}
	x.counters.HeartbeatsTaken++
	ago := time.Duration(min(h.GetHeardAgoUs(), uint64(time.Hour/time.Microsecond))) * time.Microsecond
	if !x.pulse.hear(h.GetSequence(), h.GetHeardSequence(), ago, now) {
		x.counters.Stale++
		return Result{}, nil
	}
	x.heard = Info{
		Reaches: h.GetReaches(), MembershipHash: h.GetMembershipHash(), RulesEpoch: h.GetRulesEpoch(), RulesVersion: h.GetRulesVersion(),
		RulesHash: h.GetRulesHash(), LateMS: h.GetLateMs(),
	}
	return x.compare(at, digest, h.GetCount()), nil
}

// compare looks at what the other side says that it has. Digests are compared at equal versions only. It may be ahead for as
// long as parts travel: a gap is what one heartbeat announced and the next one still finds missing, while nothing comes.
func (x *Exchange) compare(at Mark, digest Digest, count uint32) Result {
	v := x.view
	before, moved := x.announced, x.moved
	x.announced, x.moved = at, false
	switch {
	case at.before(v.mark):
		x.counters.Stale++
	case at == v.mark && (digest != v.digest || uint64(count) != uint64(len(v.entries))):
		if moved && x.assembly != nil && x.assembly.head.snapshot {
			break // it is being repaired, and that takes longer than a heartbeat
		}
		x.assembly = nil
		return x.differs("view", at, len(v.entries), v.digest, count, digest)
	case at == v.mark:
		x.in = true
		x.ask, x.scratch = false, false
	case v.mark.before(before) && !moved:
		x.assembly = nil
		x.missing()
	}
	return Result{}
}

// takeResync puts the cursor back. Asked too often, it does so later, to what was asked last.
func (x *Exchange) takeResync(have Mark, now time.Duration) {
	x.counters.ResyncsTaken++
	x.rewind = &have
	if now >= x.rewindAt {
		x.grant(now)
	}
}

// grant goes back to what was asked for. Who has everything gets a heartbeat, whose digest proves it.
func (x *Exchange) grant(now time.Duration) {
	x.moveCursor(*x.rewind)
	x.rewind, x.rewindAt = nil, now+x.opts.Resync
	if x.cursor == x.own.mark {
		x.beatAt = min(x.beatAt, now)
	}
}
