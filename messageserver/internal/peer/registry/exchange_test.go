package registry

import (
	"strings"
	"testing"
	"time"

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
	beats := p.a.sent[wire.KindHeartbeat]
	for range 100 {
		p.b.x.Doubt(p.now)
		p.talk()
		p.now += 10 * time.Millisecond
	}
	if asked := p.b.x.Counters().ResyncsSent - before; asked != 0 {
		t.Errorf("asked %d times within a second", asked)
	}
	p.talk()
	p.b.x.Doubt(p.now)
	p.talk()
	if asked := p.b.x.Counters().ResyncsSent - before; asked != 1 {
		t.Errorf("asked %d times after a second", asked)
	}
	if n := p.a.sent[wire.KindHeartbeat] - beats; n == 0 {
		t.Error("who has everything was told nothing")
	}
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
