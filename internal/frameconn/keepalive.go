package frameconn

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// startPulseLocked starts the one timer of a connection: after silence it pings, after more it closes.
func (c *Conn) startPulseLocked() {
	if c.closed || c.opts.Heartbeat == 0 && c.opts.Dead == 0 {
		return
	}
	c.pulse = time.AfterFunc(c.nextPulse(0), c.beat)
}

// nextPulse returns how long to wait before a silence has to be looked at again.
func (c *Conn) nextPulse(silent time.Duration) time.Duration {
	wait := c.opts.Dead - silent
	if beat := c.opts.Heartbeat; beat > 0 {
		if silent < beat {
			beat -= silent
		}
		if c.opts.Dead == 0 || beat < wait {
			wait = beat
		}
	}
	return max(wait, time.Millisecond)
}

func (c *Conn) beat() {
	c.mu.Lock()
	heartbeat, dead := c.opts.Heartbeat, c.opts.Dead
	c.mu.Unlock()
	now := c.clock.Now()
	heard := time.Duration(c.heard.Load())
	// While this process did not run, it could not hear.
	silent := now - heard - c.clock.Stalled(heard, now)
	if dead > 0 && silent >= dead {
		c.Close(ErrDead)
		return
	}
	if heartbeat > 0 && silent >= heartbeat {
		ping := wire.Frame{Kind: wire.KindPing, CallID: uint64(now)}
		if wake, err := c.Send(Control, &ping, false); err == nil && wake {
			c.Flush()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.pulse.Reset(c.nextPulse(silent))
	}
}

// pong answers a PING, unless so much waits that the other side hears from us anyway: who sends PINGs and does not read
// must not fill the queue.
func (c *Conn) pong(ping *wire.Frame) {
	c.mu.Lock()
	room := c.queued < controlReserve
	c.mu.Unlock()
	if !room {
		c.stats.full.Add(1)
		return
	}
	pong := wire.Frame{Kind: wire.KindPong, CallID: ping.CallID}
	if wake, err := c.Send(Control, &pong, false); err == nil && wake {
		c.Flush()
	}
}
