package frameconn

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestSilenceIsPingedAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, testkit.PipeOptions{}, Options{Heartbeat: 5 * time.Second, Dead: 12 * time.Second}, Options{})
		time.Sleep(4 * time.Second)
		b.send(request(1, 1)) // a hears something
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := a.conn.Stats().FramesOut; got != 0 {
			t.Errorf("%d frames were sent 4 s after something was heard", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if out, in := a.conn.Stats().FramesOut, a.conn.Stats().FramesIn; out < 719 || out > 721 || in != out+1 {
			t.Errorf("%d PINGs and %d frames back in an hour, want one every 5 s", out, in)
		}
		if len(b.frames) != 0 || len(a.frames) != 1 {
			t.Error("PING or PONG was handed over")
		}
	})
}

func TestSilenceOfTheOtherSideEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			opts  Options
			pings uint64
		}{
			{Options{Heartbeat: 5 * time.Second, Dead: 12 * time.Second}, 2},
			{Options{Dead: 12 * time.Second}, 0},
		}
		for _, test := range tests {
			x, _ := testkit.Pipe(testkit.PipeOptions{})
			start := time.Now()
			a := newSide(t, x, test.opts).run()
			a.wantCause(ErrDead)
			if took := time.Since(start); took != 12*time.Second {
				t.Errorf("it was dead after %v, want 12 s", took)
			}
			if got := a.conn.Stats(); got.FramesOut != test.pings {
				t.Errorf("%d PINGs were sent, want %d", got.FramesOut, test.pings)
			}
		}
	})
}

func TestHeartbeatWithoutDeadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _ := testkit.Pipe(testkit.PipeOptions{})
		a := newSide(t, x, Options{Heartbeat: 5 * time.Second}).run()
		time.Sleep(101 * time.Second)
		synctest.Wait()
		if got := a.conn.Stats().FramesOut; got != 20 {
			t.Errorf("%d PINGs in 101 s of silence, want one every 5 s", got)
		}
	})
}

// stall lets the clock notice at the end that it did not tick for so long.
func stall(c *Clock, length time.Duration) {
	c.due.Store(int64(c.Now()))
	time.Sleep(length)
	now := c.Now()
	c.stallLen.Store(int64(length))
	c.stallEnd.Store(int64(now))
	c.due.Store(0)
}

func TestAStallOfThisProcessIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock()
		x, _ := testkit.Pipe(testkit.PipeOptions{})
		start := time.Now()
		a := newSide(t, x, Options{Dead: 12 * time.Second, Clock: clock}).run()
		time.Sleep(5 * time.Second)
		stall(clock, 20*time.Second)
		a.wantCause(ErrDead)
		if took := time.Since(start); took != 32*time.Second {
			t.Errorf("it was dead after %v, want 12 s and the 20 s in which nobody listened", took)
		}
	})
}

// Who sends PINGs and does not read gets no queue full of PONGs.
func TestPingsDoNotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{Buffer: 1 << 10})
		b := newSide(t, y, Options{Accepts: true}).run()
		x.Write([]byte(wire.Preface))
		ping := wire.Frame{Kind: wire.KindPing, CallID: 7}
		for range 10000 {
			x.Write(ping.Append(nil))
		}
		x.CloseWrite()
		b.wantCause(io.EOF)
		if full := b.conn.Stats().Full; full < 10000-(controlReserve+1<<10)/wire.PrefixSize-1 {
			t.Errorf("%d of 10000 PINGs were not answered", full)
		}
	})
}

func TestPongCarriesTheCallIDOfThePing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		newSide(t, y, Options{Accepts: true}).run()
		ping, pong := wire.Frame{Kind: wire.KindPing, CallID: 77}, wire.Frame{Kind: wire.KindPong, CallID: 77}
		x.Write(ping.Append([]byte(wire.Preface)))
		got := make([]byte, wire.PrefixSize)
		if _, err := io.ReadFull(x, got); err != nil || string(got) != string(pong.Append(nil)) {
			t.Errorf("%x came back, %v", got, err)
		}
	})
}
