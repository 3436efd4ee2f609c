package frameconn

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// startPulseLocked starts the one timer of a connection: after silence it pings, after more it closes.
func (c *Conn) startPulseLocked() {
	if c.pulse != nil {
		c.pulse.Stop()
		c.pulse = nil
	}
	if !c.closed && (c.limits.Heartbeat > 0 || c.limits.Dead > 0) {
		c.pulse = time.AfterFunc(c.nextPulseLocked(0), c.beat)
	}
}

// nextPulseLocked returns how long to wait before a silence has to be looked at again.
func (c *Conn) nextPulseLocked(silent time.Duration) time.Duration {
	wait := c.limits.Dead - silent
	if beat := c.limits.Heartbeat; beat > 0 {
		if silent < beat {
			beat -= silent
		}
		if c.limits.Dead == 0 || beat < wait {
			wait = beat
		}
	}
	return max(wait, time.Millisecond)
}

func (c *Conn) beat() {
	now := c.clock.Now()
	heard := time.Duration(c.heard.Load())
	// While this process did not run, it could not hear.
	silent := now - heard - c.clock.Stalled(heard, now)
	c.mu.Lock()
	limits := c.limits
	if !c.closed && c.pulse != nil {
		c.pulse.Reset(c.nextPulseLocked(silent))
	}
	c.mu.Unlock()
	switch {
	case limits.Dead > 0 && silent >= limits.Dead:
		c.Close(ErrDead)
	case limits.Heartbeat > 0 && silent >= limits.Heartbeat:
		ping := wire.Frame{Kind: wire.KindPing, CallID: uint64(now)}
		if wake, err := c.Send(Control, &ping, false); err == nil && wake {
			c.Flush()
		}
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
