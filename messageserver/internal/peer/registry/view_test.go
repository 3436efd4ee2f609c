package registry

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
	"unsafe"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestABrokenViewIsRepaired: what nobody can explain is found by the digest, and by nothing else.
func TestABrokenViewIsRepaired(t *testing.T) {
	for name, breakIt := range map[string]func(v *View){
		"an entry is gone":      func(v *View) { delete(v.entries, 1) },
		"an entry is another":   func(v *View) { r := *v.entries[1]; r.Weight++; v.entries[1] = &r },
		"the digest is another": func(v *View) { v.digest[15]++ },
	} {
		for _, then := range []string{"nothing", "a delta"} {
			p := newPair(t)
			p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2))})
			p.talk()
			breakIt(p.b.view)
			p.b.held = maps.Clone(p.b.view.entries)
			if p.b.view.Check() == nil || name != "the digest is another" && p.b.view.Check() != nil {
				t.Errorf("%s: Check does not find it, or does not prepare its repair", name)
			}
			if name == "the digest is another" {
				breakIt(p.b.view)
			}
			if then == "a delta" {
				p.a.own.Apply([]router.Change{put(p.login(3))})
			}
			p.pass(time.Second)
			p.wantSame()
			if c := p.b.x.Counters(); c.Mismatches != 1 || c.SnapshotsTaken != 1 {
				t.Errorf("%s, then %s: %+v", name, then, c)
			}
		}
	}
}

func TestAMismatchIsSaid(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.talk()
	p.a.own.digest[0]++
	result, err := p.b.x.Take(wire.KindHeartbeat, encoded(t, p.a.x.nextHeartbeat(p.now)), p.now)
	if err != nil || result.Mismatch == nil || !strings.Contains(result.Mismatch.Error(), "node a at 100.1") {
		t.Errorf("%v, %v", result.Mismatch, err)
	}
}

func TestUnchangedEntriesAreNotTouched(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2)), put(p.login(3))})
	p.talk()
	before := maps.Clone(p.b.view.entries)
	p.now += 10*time.Second + 300*time.Microsecond // the age is in ms: another one leads to another time
	drains := *p.a.own.entries[2]
	drains.Draining = true
	p.a.own.Apply([]router.Change{put(&drains), gone(3), put(p.login(4))})
	p.a.x.moveCursor(Mark{}) // a snapshot
	p.connectAt(p.a.x.cursor)
	var changes []router.Change
	for kind, m, ok := p.a.x.Next(p.now); ok; kind, m, ok = p.a.x.Next(p.now) {
		result, err := p.b.x.Take(kind, encoded(t, m), p.now)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, result.Changes...)
	}
	var said []string
	for _, c := range changes {
		said = append(said, fmt.Sprintf("%d %v", c.Session, c.Registration != nil))
	}
	if want := "3 false,2 true,4 true"; strings.Join(said, ",") != want {
		t.Errorf("the changes are %v, want %s", said, want)
	}
	if p.b.view.entries[1] != before[1] {
		t.Error("an entry that did not change is a new one")
	}
	if r := p.b.view.entries[2]; r.Since != before[2].Since || !r.Draining {
		t.Errorf("who drains logged in at %v, was %v", r.Since, before[2].Since)
	}
}

func TestARaisedIncarnationIsASnapshot(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2))})
	p.talk()
	old := p.b.view.entries[1]
	p.a.x.opts.partEntries = 1
	p.a.own.Apply([]router.Change{put(p.login(3)), put(p.login(4))})
	p.tell(p.a, p.b) // half a delta
	p.a.own.Reincarnate(500)
	p.talk()
	p.wantSame()
	if p.b.view.Highest() != 500 || p.b.view.entries[1] != old {
		t.Errorf("%v; session 1 is another value: %v", p.b.view.Mark(), p.b.view.entries[1] != old)
	}

	// What is left of the lower incarnation is dropped.
	stale := p.b.x.Counters().Stale
	for _, m := range []proto.Message{
		&pb.Snapshot{Incarnation: 499, Version: 1 << 40, Last: true, Digest: make([]byte, 16)},
		&pb.Snapshot{Incarnation: 500, Version: 0, Last: true, Digest: make([]byte, 16)},
		&pb.Delta{Incarnation: 100, FromVersion: 1, ToVersion: 2, Last: true, Digest: make([]byte, 16)},
	} {
		kind := wire.KindSnapshot
		if _, is := m.(*pb.Delta); is {
			kind = wire.KindDelta
		}
		if result, err := p.b.x.Take(kind, encoded(t, m), p.now); err != nil || len(result.Changes) > 0 {
			t.Errorf("%v: %v, %v", m, result, err)
		}
	}
	if got := p.b.x.Counters().Stale - stale; got != 3 {
		t.Errorf("%d are stale", got)
	}
	p.wantSame()
}

func TestMeeting(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1)), put(p.login(2))})
	p.talk()
	v := p.b.view
	if changes, ok := v.Meet(100); !ok || len(changes) > 0 || v.Count() != 2 {
		t.Errorf("the same again: %v, %v", changes, ok)
	}
	for _, n := range []uint64{0, 99, 1 << 63} {
		if changes, ok := v.Meet(n); ok || len(changes) > 0 || v.Count() != 2 {
			t.Errorf("%d: %v, %v", n, changes, ok)
		}
	}
	changes, ok := v.Meet(101)
	if !ok || len(changes) != 2 || changes[0] != gone(1) || v.Count() != 0 || v.Digest() != (Digest{}) || v.Mark() != (Mark{101, 0}) {
		t.Errorf("P12: a restart leads to %v, %v, %v with %d entries", changes, ok, v.Mark(), v.Count())
	}
	if v.Node() != "a" || v.Highest() != 101 || v.Known() != (Known{Mark: Mark{101, 0}}) {
		t.Errorf("%s, %d, %v", v.Node(), v.Highest(), v.Known())
	}
}

func TestAMemberThatIsForgottenIsKnownByItsIncarnation(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.talk()
	if changes := p.b.view.Forget(); len(changes) != 1 || changes[0] != gone(1) {
		t.Errorf("%v", changes)
	}
	clear(p.b.held)
	if _, ok := p.b.view.Meet(99); ok {
		t.Error("it came back with a lower incarnation")
	}
	p.connect()
	p.talk()
	p.wantSame()
}

// TestWordsAreShared: module, group, zone, app_version and stamp.node are one string for all entries.
func TestWordsAreShared(t *testing.T) {
	p := newPair(t)
	for i := range uint64(20) {
		p.a.own.Apply([]router.Change{put(p.login(1 + i))})
		p.talk()
	}
	v := p.b.view
	one, two := v.entries[3], v.entries[17]
	for _, w := range [][2]string{{one.Module, two.Module}, {one.Group, two.Group}, {one.AppVersion, two.AppVersion}, {one.Stamp.Node, two.Stamp.Node}} {
		if unsafe.StringData(w[0]) != unsafe.StringData(w[1]) {
			t.Errorf("%q is there twice", w[0])
		}
	}
	for i := range 10_000 { // a word per release, and never more than there is room for
		v.word(fmt.Sprint(i))
	}
	if len(v.words) > 1200 {
		t.Errorf("%d words of 20 entries", len(v.words))
	}
}
