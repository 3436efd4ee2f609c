package frameconn

import (
	"strconv"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// keepAlive starts the one timer of a connection: after silence it pings, after more it closes.
func (c *Conn) keepAlive() {
	if c.opts.Heartbeat == 0 && c.opts.Dead == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.alive = time.AfterFunc(c.untilDue(c.clock.Now()), c.listen)
	}
}

// untilDue returns how long to wait before the silence has to be looked at again.
func (c *Conn) untilDue(now time.Duration) time.Duration {
	heard := time.Duration(c.heard.Load())
	due := heard + c.opts.Dead
	if ping := heard + c.opts.Heartbeat; c.opts.Heartbeat > 0 && (ping > now || c.opts.Dead == 0) {
		due = ping
	}
	return max(due-now, time.Millisecond)
}

func (c *Conn) listen() {
	now := c.clock.Now()
	silent := now - time.Duration(c.heard.Load())
	if c.opts.Dead > 0 && silent >= c.opts.Dead {
		c.Close(ErrDead)
		return
	}
	if c.opts.Heartbeat > 0 && silent >= c.opts.Heartbeat {
		ping := wire.Frame{Kind: wire.KindPing, CallID: uint64(now)}
		if wake, err := c.Send(Control, &ping, false); err == nil && wake {
			c.Flush()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.alive.Reset(c.untilDue(now))
	}
}

// pong answers a PING. The reader's batch ends with a flush of its own connection, too.
func (c *Conn) pong(ping *wire.Frame) {
	pong := wire.Frame{Kind: wire.KindPong, CallID: ping.CallID}
	if wake, err := c.Send(Control, &pong, false); err == nil && wake {
		c.Flush()
	}
}
