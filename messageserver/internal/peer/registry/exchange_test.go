package registry

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestAChangeReachesTheOtherNode(t *testing.T) {
	p := newPair(t)
	one := login(1)
	one.Since = p.now - time.Minute
	p.a.own.Apply([]router.Change{put(one)})
	p.talk()
	p.wantSame()
	p.wantUp()
	p.b.own.Apply([]router.Change{put(p.login(7)), put(p.login(8))})
	p.b.own.Apply([]router.Change{gone(7)})
	p.talk()
	p.wantSame()
	if n := p.b.sent[wire.KindDelta]; n != 1 {
		t.Errorf("two versions that waited went in %d deltas", n)
	}
}

// TestNobodySaysTwiceWhatTheOtherHas: a link that comes back needs one heartbeat each.
func TestNobodySaysTwiceWhatTheOtherHas(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2))})
	p.talk()
	clear(p.a.sent)
	p.now += time.Minute
	p.connect()
	if s := p.b.x.State(p.now); s != Syncing {
		t.Errorf("before a word was said b is %v", s)
	}
	p.talk()
	p.wantUp()
	if len(p.a.sent) != 1 || p.a.sent[wire.KindHeartbeat] != 1 {
		t.Errorf("a said %v", p.a.sent)
	}

	p.a.own.Apply([]router.Change{put(login(3))}) // while they are apart: a delta, not everything
	p.a.own.entries[3].Since = p.now
	clear(p.a.sent)
	p.connect()
	p.talk()
	p.wantSame()
	if p.a.sent[wire.KindDelta] != 1 || p.a.sent[wire.KindSnapshot] != 0 {
		t.Errorf("a said %v", p.a.sent)
	}

	p.b.view.digest[0]++ // HELLO says that b holds something else
	p.connect()
	p.talk()
	p.wantSame()
	if c := p.a.x.Counters(); c.SnapshotsSent != 1 || c.Mismatches != 1 {
		t.Errorf("%+v", c)
	}
}

func TestWhatIsLostIsAskedFor(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.pass(3 * time.Second)

	// A lost delta that another one follows is missed at once.
	p.a.lost = func(k wire.Kind) bool { return k == wire.KindDelta }
	p.a.own.Apply([]router.Change{put(p.login(2))})
	p.talk()
	p.a.lost = nil
	p.a.own.Apply([]router.Change{gone(1)})
	p.talk()
	p.wantSame()

	// The last one is missed by two heartbeats.
	p.a.lost = func(k wire.Kind) bool { return k == wire.KindDelta }
	p.a.own.Apply([]router.Change{put(p.login(3))})
	p.talk()
	p.a.lost = nil
	p.pass(2 * time.Second)
	p.wantSame()

	// So is one part of many, and the RESYNC may be lost, too.
	for i := range uint64(1000) {
		p.a.own.Apply([]router.Change{put(p.login(10 + i))})
	}
	parts, asked := 0, 0
	p.a.lost = func(k wire.Kind) bool {
		if k == wire.KindDelta || k == wire.KindSnapshot {
			parts++
		}
		return parts == 2
	}
	p.b.lost = func(k wire.Kind) bool {
		if k == wire.KindResync {
			asked++
		}
		return k == wire.KindResync && asked == 1
	}
	p.pass(5 * time.Second)
	p.wantSame()
	c := p.b.x.Counters()
	if asked != 2 || c.Mixed == 0 || c.Gaps == 0 || c.Mismatches != 0 {
		t.Errorf("asked %d times, %+v", asked, c)
	}
}

// TestASlowRepairIsNotBegunAgain: a snapshot that takes longer than a heartbeat repairs a mismatch all the same.
func TestASlowRepairIsNotBegunAgain(t *testing.T) {
	p := newPair(t)
	p.a.x.opts.partEntries = 1
	var all []router.Change
	for i := range uint64(40) {
		all = append(all, put(p.login(1+i)))
	}
	p.a.own.Apply(all)
	p.talk()
	p.b.view.digest[0]++
	for range 100 { // a part or what goes before it every 100 ms
		p.now += 100 * time.Millisecond
		p.tell(p.a, p.b)
		p.tell(p.b, p.a)
	}
	p.wantSame()
	if c := p.a.x.Counters(); c.ResyncsTaken != 1 {
		t.Errorf("%d RESYNC", c.ResyncsTaken)
	}
}

// TestATransferIsOfOneVersion: what the owner does while parts are on their way is not mixed into them.
func TestATransferIsOfOneVersion(t *testing.T) {
	p := newPair(t)
	p.a.x.opts.partEntries = 2
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2)), put(p.login(3)), put(p.login(4))})
	p.tell(p.a, p.b) // heartbeat
	p.tell(p.a, p.b) // the first of two parts
	p.a.own.Apply([]router.Change{gone(1), gone(4), put(p.login(5))})
	if p.b.view.Count() != 0 || len(p.b.held) != 0 {
		t.Fatal("half a snapshot is in force")
	}
	p.tell(p.a, p.b)
	if p.b.view.Mark() != (Mark{100, 1}) || p.b.view.Count() != 4 {
		t.Fatalf("%v with %d entries", p.b.view.Mark(), p.b.view.Count())
	}
	p.talk()
	p.wantSame()

	for i := range uint64(9) {
		p.a.own.Apply([]router.Change{put(p.login(10 + i))})
	}
	p.tell(p.a, p.b)
	p.a.own.Apply([]router.Change{gone(18), gone(10), put(p.login(30))})
	if p.b.view.Mark() != (Mark{100, 2}) {
		t.Fatalf("half a delta leads to %v", p.b.view.Mark())
	}
	p.talk()
	p.wantSame()
}

func TestPartsHaveBounds(t *testing.T) {
	p := newPair(t)
	var all []router.Change
	for i := range uint64(2000) {
		r := p.login(1 + i)
		r.AppVersion = strings.Repeat("v", 127)
		r.Instance += strings.Repeat("i", 100)
		r.Methods = manyMethods(int(i%4)*2, "method")
		switch i {
		case 700:
			r.Methods = manyMethods(1024, "a") // some 14 KiB
		case 701:
			r.Methods = manyMethods(1024, strings.Repeat("b", 46)) // more than a part has otherwise
		}
		all = append(all, put(r))
	}
	p.a.own.Apply(all)
	if p.a.own.Unfit() > 0 {
		t.Fatal("left out")
	}
	p.connectAt(Mark{})
	large, most, fullest := 0, 0, 0
	for {
		kind, m, ok := p.a.x.Next(p.now)
		if !ok {
			break
		}
		header := encoded(t, m)
		if s, is := m.(*pb.Snapshot); is {
			n := len(s.GetEntries())
			brought := make(map[uint64]bool)
			for _, c := range s.GetContracts() {
				if brought[c.GetHash()] {
					t.Errorf("a part brings contract %016x twice", c.GetHash())
				}
				brought[c.GetHash()] = true
			}
			if n > maxPuts || len(header) > maxMessage || len(header) > partSize+256 && n != 1 || n == 0 {
				t.Errorf("a part of %d entries and %d bytes", n, len(header))
			}
			if len(header) > partSize {
				large++
			}
			most, fullest = max(most, n), max(fullest, len(header))
		}
		if _, err := p.b.x.Take(kind, header, p.now); err != nil {
			t.Fatal(err)
		}
	}
	if p.b.view.Digest() != p.a.own.Digest() || p.b.view.Count() != 2000 || large != 1 || most < 100 || fullest < partSize-1024 {
		t.Errorf("%d entries, %d large parts, at most %d in one, which has at most %d bytes", p.b.view.Count(), large, most, fullest)
	}

	for i := range uint64(1999) { // what is gone has a part of its own
		all[i] = gone(1 + i)
	}
	p.a.own.Apply(append(all[:1999], put(p.login(1<<40))))
	x := p.a.own.transfer(Mark{100, 1}, 5000)
	for parts := 0; !x.done; parts++ {
		_, m := x.next(p.now)
		if d := m.(*pb.Delta); len(d.GetDel()) > maxDels || parts > 3 {
			t.Fatalf("part %d removes %d", parts, len(d.GetDel()))
		}
	}
}

func TestAStaleRouteMakesANodeAsk(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.b.x.Doubt(p.now)
	if c := p.b.x.Counters(); c.Doubts != 0 {
		t.Error("asked for a registry that is not in")
	}
	p.pass(3 * time.Second)

	p.a.lost = func(k wire.Kind) bool { return k == wire.KindDelta }
	p.a.own.Apply([]router.Change{gone(1)})
	p.talk()
	p.a.lost = nil
	p.b.x.Doubt(p.now) // a call went to session 1
	p.talk()
	p.wantSame()

	before := p.b.x.Counters().ResyncsSent
	for range 100 {
		p.b.x.Doubt(p.now)
		p.talk()
		p.now += 10 * time.Millisecond
	}
	if asked := p.b.x.Counters().ResyncsSent - before; asked != 0 {
		t.Errorf("asked %d times within a second", asked)
	}
	p.talk()
	beats := p.a.sent[wire.KindHeartbeat]
	p.b.x.Doubt(p.now)
	p.talk()
	if asked := p.b.x.Counters().ResyncsSent - before; asked != 1 {
		t.Errorf("asked %d times after a second", asked)
	}
	if n := p.a.sent[wire.KindHeartbeat] - beats; n != 1 {
		t.Errorf("who has everything got %d heartbeats that prove it", n)
	}
}

// TestGapsAreAskedForOnce: however many deltas come that do not fit, one RESYNC leaves in 200 ms, or in a round trip.
func TestGapsAreAskedForOnce(t *testing.T) {
	p := newPair(t)
	p.talk()
	flood := func(d time.Duration) (asked int) {
		for end := p.now + d; p.now < end; p.now += 10 * time.Millisecond {
			delta := &pb.Delta{Incarnation: 100, FromVersion: 7, ToVersion: 8, Last: true, Digest: make([]byte, 16)}
			if _, err := p.b.x.Take(wire.KindDelta, encoded(t, delta), p.now); err != nil {
				t.Fatal(err)
			}
			for kind, _, ok := p.b.x.Next(p.now); ok; kind, _, ok = p.b.x.Next(p.now) {
				if kind == wire.KindResync {
					asked++
				}
			}
		}
		return asked
	}
	if asked := flood(time.Second); asked != 5 {
		t.Errorf("asked %d times in a second", asked)
	}
	p.b.x.pulse.rtt = 500 * time.Millisecond
	flood(time.Second)
	if asked := flood(2 * time.Second); asked != 4 {
		t.Errorf("asked %d times in four round trips", asked)
	}
}

// TestWhatBeginsToComeIsNotAskedForAgain: what was on its way before the RESYNC arrived makes a node ask again, unless the answer
// begins first.
func TestWhatBeginsToComeIsNotAskedForAgain(t *testing.T) {
	p := newPair(t)
	p.talk()
	p.a.x.opts.partEntries = 1
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2)), put(p.login(3))})
	leftover := encoded(t, &pb.Delta{Incarnation: 100, FromVersion: 7, ToVersion: 8, Last: true, Digest: make([]byte, 16)})
	for range 2 {
		if _, err := p.b.x.Take(wire.KindDelta, leftover, p.now); err != nil {
			t.Fatal(err)
		}
		p.tell(p.b, p.a) // the first time a RESYNC; the second waits
	}
	for range 3 {
		p.tell(p.a, p.b)
		p.now += 250 * time.Millisecond
		p.tell(p.b, p.a)
	}
	if c := p.b.x.Counters(); c.ResyncsSent != 1 || p.b.view.Count() != 3 {
		t.Errorf("%d entries, %+v", p.b.view.Count(), c)
	}
}

// TestPartsThatDoNotBelongTogether are thrown away, also where their number would fit.
func TestPartsThatDoNotBelongTogether(t *testing.T) {
	for name, c := range map[string]struct {
		edit         func(parts []*pb.Snapshot)
		mixed, stale uint64
		in           bool
	}{
		"all of one":              {func([]*pb.Snapshot) {}, 0, 0, true},
		"one twice":               {func(s []*pb.Snapshot) { s[3] = s[1] }, 0, 1, false},
		"the first twice":         {func(s []*pb.Snapshot) { s[1] = s[0] }, 2, 1, false},
		"one of another version":  {func(s []*pb.Snapshot) { s[2].Version++ }, 2, 0, false},
		"one with another digest": {func(s []*pb.Snapshot) { s[2].Digest = make([]byte, 16) }, 2, 0, false},
		"one with another count":  {func(s []*pb.Snapshot) { s[2].Count++ }, 2, 0, false},
		"a session in two":        {func(s []*pb.Snapshot) { s[2].Entries = s[0].GetEntries() }, 2, 0, false},
		"more than were announced": {func(s []*pb.Snapshot) {
			for _, p := range s {
				p.Count = 3
			}
		}, 1, 0, false},
	} {
		p := newPair(t)
		p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2)), put(p.login(3)), put(p.login(4))})
		x := p.a.own.transfer(Mark{}, 1)
		var parts []*pb.Snapshot
		for !x.done {
			_, m := x.next(p.now)
			parts = append(parts, proto.CloneOf(m.(*pb.Snapshot)))
		}
		c.edit(parts)
		for _, s := range parts {
			if result, err := p.b.x.Take(wire.KindSnapshot, encoded(t, s), p.now); err != nil || result.Mismatch != nil {
				t.Errorf("%s: %v, %v", name, err, result.Mismatch)
			}
		}
		got := p.b.x.Counters()
		if got.Mixed != c.mixed || got.Stale != c.stale || p.b.x.in != c.in || p.b.x.ask != (c.mixed > 0) || (p.b.view.Count() == 4) != c.in {
			t.Errorf("%s: %+v, in %v", name, got, p.b.x.in)
		}
	}
}

// TestTheWholeIsVerified: a transfer that does not lead to what it says is thrown away, and everything is asked for.
func TestTheWholeIsVerified(t *testing.T) {
	for name, edit := range map[string]func(s *pb.Snapshot, d *pb.Delta){
		"digest": func(s *pb.Snapshot, d *pb.Delta) { s.Digest[0]++; d.Digest[0]++ },
		"count":  func(s *pb.Snapshot, d *pb.Delta) { s.Count++; d.Count++ },
		"entry":  func(s *pb.Snapshot, d *pb.Delta) { s.Entries[0].Weight++; d.Put[0].Weight++ },
	} {
		p := newPair(t)
		p.a.own.Apply([]router.Change{put(p.login(1))})
		_, s := p.a.own.transfer(Mark{}, 9).next(p.now)
		_, d := p.a.own.transfer(Mark{100, 0}, 9).next(p.now)
		snapshot, delta := proto.CloneOf(s.(*pb.Snapshot)), proto.CloneOf(d.(*pb.Delta))
		edit(snapshot, delta)
		for _, m := range []message{{wire.KindSnapshot, encoded(t, snapshot)}, {wire.KindDelta, encoded(t, delta)}} {
			result, err := p.b.x.Take(m.kind, m.header, p.now)
			if err != nil || result.Mismatch == nil || len(result.Changes) > 0 || p.b.view.Count() != 0 || p.b.view.Mark() != (Mark{100, 0}) {
				t.Errorf("%s of a %s: %v, %+v", name, m.kind, err, result)
			}
			kind, r, _ := p.b.x.Next(p.now)
			if resync, is := r.(*pb.Resync); !is || resync.GetHaveIncarnation() != 0 {
				t.Errorf("%s of a %s: the next frame is %s %v", name, m.kind, kind, r)
			}
			p.now += time.Second
		}
		if c := p.b.x.Counters(); c.Mismatches != 2 || p.b.x.in {
			t.Errorf("%+v", c)
		}
	}
}

// TestADeltaOfAnotherIncarnationIsAGap, also where its versions would fit.
func TestADeltaOfAnotherIncarnationIsAGap(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.talk()
	e := p.login(2)
	digest := p.b.view.Digest().plus(p.b.view.hasher.hash(e))
	delta := &pb.Delta{
		Incarnation: 101, FromVersion: 1, ToVersion: 2, Last: true, Count: 2, Digest: digest[:],
		Put: []*pb.Entry{toEntry(e, p.now)}, Contracts: []*pb.Contract{toContract(charging)},
	}
	if _, err := p.b.x.Take(wire.KindDelta, encoded(t, delta), p.now); err != nil {
		t.Fatal(err)
	}
	if c := p.b.x.Counters(); c.Gaps != 1 || p.b.view.Mark() != (Mark{100, 1}) {
		t.Errorf("%v, %+v", p.b.view.Mark(), c)
	}
	p.pass(time.Second)
	p.wantSame()
}

// TestAskingTooOftenIsGrantedLater: the cost of a RESYNC is bounded, whoever sends them.
func TestAskingTooOftenIsGrantedLater(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2))})
	p.pass(3 * time.Second)
	before := p.a.x.Counters()
	const seconds = 4
	for range seconds * 100 {
		if _, err := p.a.x.Take(wire.KindResync, encoded(t, &pb.Resync{}), p.now); err != nil {
			t.Fatal(err)
		}
		p.talk()
		p.now += 10 * time.Millisecond
	}
	after := p.a.x.Counters()
	if n := after.SnapshotsSent - before.SnapshotsSent; n < 4*seconds || n > 5*seconds+1 {
		t.Errorf("%d snapshots in %d s", n, seconds)
	}
	if !p.a.x.Pending() || p.a.x.Due() > p.now+200*time.Millisecond {
		t.Error("what was asked last is not granted")
	}
	p.pass(time.Second)
	p.wantSame()

	for _, have := range []Mark{{100, 99}, {99, 1}, {101, 1}, {100, 0}} { // states that a is not in, or only was
		p.a.x.takeResync(have, p.now)
		p.pass(300 * time.Millisecond)
	}
	if c := p.a.x.Counters(); c.Ahead != 1 {
		t.Errorf("%d receivers were ahead", c.Ahead)
	}
	p.wantSame()
}
