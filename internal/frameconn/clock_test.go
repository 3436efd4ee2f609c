package frameconn

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestClockTicksWhenAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		clock := NewClock()
		var ticks []time.Duration
		go clock.Run(ctx, func(now time.Duration) time.Duration {
			ticks = append(ticks, now.Truncate(time.Millisecond))
			return now + []time.Duration{time.Hour, 0, 3 * time.Millisecond}[min(len(ticks)-1, 2)]
		})
		time.Sleep(27 * time.Millisecond)
		cancel()
		synctest.Wait()
		want := []time.Duration{0, 20 * time.Millisecond, 21 * time.Millisecond, 24 * time.Millisecond}
		if len(ticks) < 4 || [4]time.Duration(ticks[:4]) != [4]time.Duration(want) {
			t.Errorf("ticks at %v, want %v", ticks, want)
		}
		if stalled := clock.Stalled(0, clock.Now()+time.Hour); stalled != 0 {
			t.Errorf("a clock that ticked in time, and that nobody ticks now, stalled for %v", stalled)
		}
	})
}

func TestClockNoticesThatTheProcessDidNotRun(t *testing.T) {
	const ms = time.Millisecond
	late, ticked := NewClock(), NewClock()
	late.due.Store(int64(100 * ms)) // and the tick has not come yet
	ticked.stallLen.Store(int64(300 * ms))
	ticked.stallEnd.Store(int64(400 * ms))
	tests := []struct {
		name                     string
		clock                    *Clock
		since, now               time.Duration
		wantStalled, wantUnheard time.Duration
	}{
		{"not due yet", late, 50 * ms, 99 * ms, 0, 0},
		{"within the slack", late, 50 * ms, 105 * ms, 0, 0},
		{"late", late, 50 * ms, 400 * ms, 300 * ms, 300 * ms},
		{"late, asked for less", late, 200 * ms, 400 * ms, 200 * ms, 200 * ms},
		{"right after", ticked, 50 * ms, 400 * ms, 300 * ms, 300 * ms},
		{"a little after", ticked, 50 * ms, 450 * ms, 300 * ms, 350 * ms},
		{"waited in vain since", ticked, 50 * ms, 700 * ms, 300 * ms, 0},
		{"only before", ticked, 400 * ms, 450 * ms, 0, 0},
	}
	for _, test := range tests {
		if got := test.clock.Stalled(test.since, test.now); got != test.wantStalled {
			t.Errorf("%s: stalled for %v, want %v", test.name, got, test.wantStalled)
		}
		if got := test.clock.unheard(test.since, test.now); got != test.wantUnheard {
			t.Errorf("%s: unheard for %v, want %v", test.name, got, test.wantUnheard)
		}
	}
}

func TestClockRunNoticesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		clock := NewClock()
		go clock.Run(ctx, func(now time.Duration) time.Duration { return now + 10*time.Millisecond })
		time.Sleep(10*time.Second + 5*time.Millisecond)
		clock.due.Add(-int64(3 * time.Second)) // the next tick is late
		time.Sleep(10 * time.Millisecond)
		cancel()
		synctest.Wait()
		if stalled := clock.Stalled(0, clock.Now()); stalled != 3*time.Second {
			t.Errorf("stalled for %v, want 3 s", stalled)
		}
	})
}

// reader returns an accepting side that notes how old each message is, and the far end.
func reader(t *testing.T, opts Options) (s *side, far *testkit.PipeConn, ages *[]time.Duration) {
	t.Helper()
	far, y := testkit.Pipe(testkit.PipeOptions{})
	opts.Accepts = true
	s = newSide(t, y, opts)
	ages = new([]time.Duration)
	s.onFrame = func(*wire.Frame) error {
		*ages = append(*ages, s.conn.Now()-s.conn.Arrived())
		return nil
	}
	s.run()
	far.Write([]byte(wire.Preface))
	return s, far, ages
}

func TestWhatCameDuringAStallIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock()
		s, far, ages := reader(t, Options{Clock: clock})
		time.Sleep(time.Second)
		stall(clock, 2*time.Second)
		f := request(1, 1)
		far.Write(f.Append(nil))
		s.wantFrames(1)
		time.Sleep(time.Second)
		far.Write(f.Append(nil))
		s.wantFrames(1)
		if (*ages)[0] != 2*time.Second || (*ages)[1] != 0 {
			t.Errorf("the messages are %v old, want 2 s and 0", *ages)
		}
	})
}

func TestAStallEndsTheConnectionBeforeWhatIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock()
		s, far, ages := reader(t, Options{Clock: clock, Stalled: 3 * time.Second})
		f := request(1, 1)
		time.Sleep(time.Second)
		stall(clock, 2*time.Second)
		far.Write(f.Append(nil))
		s.wantFrames(1) // too short a stall
		time.Sleep(time.Second)
		stall(clock, 3*time.Second)
		far.Write(f.Append(nil))
		s.wantCause(ErrStalled)
		if len(*ages) != 1 {
			t.Error("what was buffered was handed over")
		}
	})
}

func TestAnOldStallEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock()
		s, far, ages := reader(t, Options{Clock: clock, Stalled: 3 * time.Second})
		time.Sleep(time.Second)
		stall(clock, 10*time.Second)
		time.Sleep(time.Minute) // the reader has been waiting since: nothing had come
		f := request(1, 1)
		far.Write(f.Append(nil))
		s.wantFrames(1)
		far.Close()
		s.wantCause(io.EOF)
		if (*ages)[0] != 0 {
			t.Errorf("the message is %v old, want 0", (*ages)[0])
		}
	})
}

func TestArrival(t *testing.T) {
	const ms = time.Millisecond
	type read struct {
		before, now, unheard time.Duration
		n, space             int
		want                 time.Duration
	}
	tests := []struct {
		name    string
		layered bool
		reads   []read
	}{
		{"waited for", false, []read{{1 * ms, 50 * ms, 0, 10, 100, 50 * ms}, {51 * ms, 90 * ms, 0, 100, 100, 90 * ms}}},
		{"since the read before", false, []read{
			{1 * ms, 50 * ms, 0, 10, 100, 50 * ms},
			{60 * ms, 60 * ms, 0, 10, 100, 50 * ms},
			{70 * ms, 70 * ms, 0, 10, 100, 60 * ms},
		}},
		{"until the socket is empty", false, []read{
			{1 * ms, 50 * ms, 0, 10, 100, 50 * ms},
			{300 * ms, 300 * ms, 0, 100, 100, 50 * ms}, // after a pause
			{310 * ms, 310 * ms, 0, 100, 100, 50 * ms},
			{320 * ms, 320 * ms, 0, 99, 100, 50 * ms}, // empty
			{330 * ms, 330 * ms, 0, 100, 100, 320 * ms},
		}},
		{"under TLS a short read says nothing", true, []read{
			{1 * ms, 50 * ms, 0, 10, 100, 50 * ms},
			{300 * ms, 300 * ms, 0, 10, 100, 50 * ms},
			{310 * ms, 310 * ms, 0, 10, 100, 50 * ms},
			{320 * ms, 321 * ms, 0, 10, 100, 321 * ms},
		}},
		{"no longer than a receive buffer", false, []read{
			{1 * ms, 50 * ms, 0, 10, 100, 50 * ms},
			{100 * ms, 100 * ms, 0, receiveBuffer, receiveBuffer, 50 * ms},
			{200 * ms, 200 * ms, 0, receiveBuffer, receiveBuffer, 50 * ms},
			{300 * ms, 300 * ms, 0, receiveBuffer, receiveBuffer, 100 * ms},
			{400 * ms, 400 * ms, 0, 10, 100, 200 * ms},
		}},
		{"a stall that has just ended", false, []read{{1 * ms, 50 * ms, 30 * ms, 10, 100, 20 * ms}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := arrival{layered: test.layered}
			for i, r := range test.reads {
				if a.read(r.before, r.now, r.unheard, r.n, r.space); a.at != r.want {
					t.Errorf("read %d: arrived at %v, want %v", i, a.at, r.want)
				}
			}
		})
	}
}
