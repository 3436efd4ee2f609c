package frameconn

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/wire"
)

func TestAdoptedLimits(t *testing.T) {
	a, b := pair(t, testkit.PipeOptions{}, Options{}, Options{MaxFrame: wire.LoginLimit, MaxMessage: wire.LoginLimit})
	adopted := []Limits{{MaxFrame: wire.MaxFrame, MaxMessage: wire.MaxMessage}, {MaxFrame: wire.LoginLimit, MaxMessage: wire.LoginLimit}}
	b.onFrame = func(*wire.Frame) error {
		b.conn.Adopt(adopted[0])
		adopted = adopted[1:]
		return nil
	}
	a.send(control(wire.KindLogin), request(1, 100<<10)) // in one batch, perhaps
	b.wantSame(control(wire.KindLogin), request(1, 100<<10))
	a.send(request(2, wire.LoginLimit+1))
	b.wantBreach(wire.BadRequest)
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := testkit.Pipe(testkit.PipeOptions{})
		a := newSide(t, x, Options{}).run()
		b := newSide(t, y, Options{
			Accepts: true, MaxFrame: wire.LoginLimit, MaxMessage: wire.LoginLimit, Queue: 10, PauseReading: true,
		})
		next := Limits{Heartbeat: 5 * time.Second}
		b.onFrame = func(f *wire.Frame) error {
			if f.Kind == wire.KindLogin {
				b.conn.Adopt(next)
			}
			return nil
		}
		b.run()
		time.Sleep(time.Hour)
		if n := b.conn.Stats().FramesOut; n != 0 {
			t.Errorf("%d PINGs before the login", n)
		}
		a.send(control(wire.KindLogin), request(1, 1<<20))
		b.wantFrames(2)
		for i := range uint64(20) { // the default queue, and no pause
			b.send(response(i, 100<<10))
		}
		a.wantFrames(20)
		synctest.Wait()
		before := a.conn.Stats().FramesOut
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := a.conn.Stats().FramesOut - before; n != 12 {
			t.Errorf("%d PONGs in 61 s, want one every 5 s", n)
		}
		// And back: no heartbeat.
		next = Limits{}
		a.send(control(wire.KindLogin))
		b.wantFrames(1)
		before = a.conn.Stats().FramesOut
		time.Sleep(time.Hour)
		if n := a.conn.Stats().FramesOut - before; n != 0 {
			t.Errorf("%d PONGs after the heartbeat was turned off", n)
		}
	})
}
