package registry

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

func TestWhoIsSilentAndWhoIsDeaf(t *testing.T) {
	everything := func(wire.Kind) bool { return true }
	for _, c := range []struct {
		name       string
		aIsLost    bool // what a says does not arrive
		bIsLost    bool
		patience   int
		late       uint32
		dead       time.Duration
		ofA, ofB   error
		aAndBStand string
	}{
		{"both", true, true, 1, 0, 3500 * time.Millisecond, ErrSilent, ErrSilent, "dead, dead"},
		{"a is not heard", true, false, 1, 0, 3500 * time.Millisecond, ErrOneWay, ErrSilent, "one-way, dead"},
		{"b is not heard", false, true, 1, 0, 3500 * time.Millisecond, ErrSilent, ErrOneWay, "dead, one-way"},
		{"with patience", true, true, 3, 0, 10500 * time.Millisecond, ErrSilent, ErrSilent, "dead, dead"},
		{"they said that they are late", true, true, 1, 2000, 5500 * time.Millisecond, ErrSilent, ErrSilent, "dead, dead"},
		{"they said that they are very late", true, true, 1, 1 << 31, 7 * time.Second, ErrSilent, ErrSilent, "dead, dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t)
			step := func(d time.Duration) {
				for end := p.now + d; p.now < end; {
					p.now += 100 * time.Millisecond
					p.a.x.Tick(p.now, Info{LateMS: c.late}, c.patience)
					p.b.x.Tick(p.now, Info{LateMS: c.late}, c.patience)
					p.talk()
				}
			}
			step(5 * time.Second)
			p.wantUp()
			if p.a.x.Err(p.now) != nil {
				t.Fatal(p.a.x.Err(p.now))
			}
			heartbeat := p.now // both said one now, and it was confirmed
			if c.aIsLost {
				p.a.lost = everything
			}
			if c.bIsLost {
				p.b.lost = everything
			}
			step(c.dead - 100*time.Millisecond)
			p.wantUp()
			step(200 * time.Millisecond)
			for _, e := range []struct {
				x    *Exchange
				want error
			}{{p.a.x, c.ofA}, {p.b.x, c.ofB}} {
				if err := e.x.Err(p.now); errors.Is(e.want, ErrSilent) && !errors.Is(err, ErrSilent) {
					t.Errorf("after %v of silence: %v", e.x.Silence(p.now), err)
				}
			}
			step(time.Second)
			if got := p.a.x.State(p.now).String() + ", " + p.b.x.State(p.now).String(); got != c.aAndBStand {
				t.Errorf("a and b are %s, %v after the last word", got, p.now-heartbeat)
			}
			if a, b := p.a.x.Err(p.now), p.b.x.Err(p.now); !errors.Is(a, c.ofA) || !errors.Is(b, c.ofB) {
				t.Errorf("a: %v, b: %v", a, b)
			}
			p.a.lost, p.b.lost = nil, nil // who was not given up comes back
			step(2 * time.Second)
			p.wantUp()
		})
	}
}

// TestWhoPausesIsNotDeaf: where both beat at the same moment, a heartbeat may confirm the one before the last, and the one after
// a pause may, too. That is no reason to give up a link before one of ours is unanswered for as long as silence may last.
func TestWhoPausesIsNotDeaf(t *testing.T) {
	p := newPair(t)
	p.pass(10 * time.Second)
	beat := func(from, to *end) {
		t.Helper()
		if _, err := to.x.Take(wire.KindHeartbeat, encoded(t, from.x.nextHeartbeat(p.now)), p.now); err != nil {
			t.Fatal(err)
		}
	}
	beat(p.a, p.b)
	beat(p.b, p.a) // confirms what a has just said
	p.now += time.Second
	beat(p.b, p.a) // before it hears what a says now, and then it pauses
	fromA := []*pb.Heartbeat{p.a.x.nextHeartbeat(p.now)}
	for range 2 {
		p.now += time.Second
		fromA = append(fromA, p.a.x.nextHeartbeat(p.now))
	}
	beat(p.b, p.a) // it runs again, and has not read yet
	for _, h := range fromA {
		if _, err := p.b.x.Take(wire.KindHeartbeat, encoded(t, h), p.now); err != nil {
			t.Fatal(err)
		}
	}
	p.now += 900 * time.Millisecond
	if err := p.a.x.Err(p.now); err != nil {
		t.Errorf("after a pause of 2 s: %v", err)
	}
	p.now += 100 * time.Millisecond
	beat(p.b, p.a)
	p.wantUp()
}

// TestWhoIsSlowIsNotDeaf: what a says comes 5 s late, because more and more waits ahead of it. While it comes, and b hears what
// else a sends, neither gives up; when nothing more comes, both do, in the same time as ever.
func TestWhoIsSlowIsNotDeaf(t *testing.T) {
	p := newPair(t)
	p.pass(10 * time.Second)
	type said struct {
		at time.Duration
		m  *pb.Heartbeat
	}
	var under []said
	const full, calls = 5 * time.Second, 100 * time.Millisecond
	delay, last := time.Duration(0), p.now
	second := func(slower time.Duration, arrives bool) {
		t.Helper()
		delay = min(delay+slower, full)
		under = append(under, said{p.now + delay, p.a.x.nextHeartbeat(p.now)})
		for range int(time.Second / calls) {
			p.now += calls
			if arrives {
				p.b.x.Hear(p.now)
			}
			for arrives && len(under) > 0 && under[0].at <= p.now {
				if _, err := p.b.x.Take(wire.KindHeartbeat, encoded(t, under[0].m), p.now); err != nil {
					t.Fatal(err)
				}
				under, last = under[1:], p.now
			}
		}
		if _, err := p.a.x.Take(wire.KindHeartbeat, encoded(t, p.b.x.nextHeartbeat(p.now)), p.now); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		second(500*time.Millisecond, true)
		if a, b := p.a.x.Err(p.now), p.b.x.Err(p.now); a != nil || b != nil {
			t.Fatalf("what a says is %v late, a: %v, b: %v", delay, a, b)
		}
	}
	if p.a.x.OldestUnanswered(p.now) <= 3500*time.Millisecond {
		t.Errorf("the oldest heartbeat of a is unanswered for %v", p.a.x.OldestUnanswered(p.now))
	}
	for range 5 {
		second(0, false)
	}
	if a, b := p.a.x.Err(p.now), p.b.x.Err(p.now); !errors.Is(a, ErrOneWay) || !errors.Is(b, ErrSilent) {
		t.Errorf("nothing came for %v, a: %v, b: %v", p.now-last, a, b)
	}
}

// TestWhoCallsIsNotSilent: calls are a sign of life, and confirm nothing.
func TestWhoCallsIsNotSilent(t *testing.T) {
	for _, c := range []struct {
		calls bool
		want  error
	}{{false, ErrSilent}, {true, ErrOneWay}} {
		p := newPair(t)
		p.pass(10 * time.Second)
		for range 50 {
			p.now += 100 * time.Millisecond
			p.a.x.Tick(p.now, Info{}, 1)
			p.a.x.Next(p.now)
			if c.calls {
				p.a.x.Hear(p.now)
			}
		}
		if err := p.a.x.Err(p.now); !errors.Is(err, c.want) {
			t.Errorf("with calls (%t): %v, must be %v", c.calls, err, c.want)
		}
	}
}

func TestTheRoundTripIsMeasured(t *testing.T) {
	p := newPair(t)
	// A frame takes 30 ms from a to b and 50 ms back; both beat every second, b 200 ms after a.
	say := func(from, to *end, takes time.Duration) {
		_, m, ok := from.x.Next(p.now)
		if !ok {
			t.Fatal("no heartbeat is due")
		}
		if _, err := to.x.Take(wire.KindHeartbeat, encoded(t, m), p.now+takes); err != nil {
			t.Fatal(err)
		}
	}
	p.a.x.moveCursor(p.a.own.mark)
	p.b.x.moveCursor(p.b.own.mark)
	for range 40 {
		say(p.a, p.b, 30*time.Millisecond)
		p.now += 200 * time.Millisecond
		if got := p.a.x.OldestUnanswered(p.now); got != 200*time.Millisecond {
			t.Fatalf("the oldest heartbeat of a is unanswered for %v", got)
		}
		say(p.b, p.a, 50*time.Millisecond)
		p.now += 800 * time.Millisecond
	}
	if p.a.x.RTT() != 80*time.Millisecond || p.b.x.RTT() != 80*time.Millisecond {
		t.Errorf("%v and %v, must be 80 ms", p.a.x.RTT(), p.b.x.RTT())
	}
	if got := p.a.x.OldestUnanswered(p.now); got != 0 {
		t.Errorf("all are answered, and one is not for %v", got)
	}
	for range 100 {
		p.a.x.nextHeartbeat(p.now)
		p.now += time.Second
	}
	if got := p.a.x.OldestUnanswered(p.now); got != pulseMemory*time.Second {
		t.Errorf("the oldest that is remembered is unanswered for %v", got)
	}
	if got := p.a.x.Silence(p.now); got < 100*time.Second {
		t.Errorf("silent for %v", got)
	}
}

// TestAnIdleLinkSaysOneHeartbeatASecond: P11.
func TestAnIdleLinkSaysOneHeartbeatASecond(t *testing.T) {
	p := newPair(t)
	p.a.own.Apply([]router.Change{put(p.login(1))})
	p.pass(10 * time.Second)
	clear(p.a.sent)
	clear(p.b.sent)
	p.pass(time.Minute)
	for _, e := range []*end{p.a, p.b} {
		if len(e.sent) != 1 || e.sent[wire.KindHeartbeat] != 60 {
			t.Errorf("in a minute of nothing: %v", e.sent)
		}
		if e.x.Pending() || e.x.Due() < p.now || e.x.Due() > p.now+time.Second {
			t.Errorf("pending %v, due in %v", e.x.Pending(), e.x.Due()-p.now)
		}
	}
}

func TestAHeartbeatSaysWhatItsNodeKnows(t *testing.T) {
	p := newPair(t)
	said := Info{Reaches: []uint32{3, 511}, MembershipHash: 1 << 63, RulesEpoch: 2, RulesVersion: 9, RulesHash: []byte("rules"), LateMS: 77}
	p.a.x.Tick(p.now, said, 1)
	p.talk()
	if heard := p.b.x.Heard(); !reflect.DeepEqual(heard, said) {
		t.Errorf("heard %+v", heard)
	}
}

func TestAnOldHeartbeatSaysNothing(t *testing.T) {
	p := newPair(t)
	p.a.x.Tick(p.now, Info{MembershipHash: 1}, 1)
	_, m, _ := p.a.x.Next(p.now)
	old := encoded(t, m)
	p.a.x.Tick(p.now, Info{MembershipHash: 2}, 1)
	p.a.x.beatAt = p.now
	p.talk()
	p.pass(time.Second)
	confirmed := p.b.x.pulse
	if _, err := p.b.x.Take(wire.KindHeartbeat, old, p.now); err != nil {
		t.Fatal(err)
	}
	confirmed.anythingAt = p.now
	if c := p.b.x.Counters(); c.Stale != 1 || p.b.x.Heard().MembershipHash == 1 || p.b.x.pulse != confirmed {
		t.Errorf("%+v, %+v", c, p.b.x.Heard())
	}
}
