package frameconn

import "time"

// Limits are the bounds that change once it is known who is at the other end; see Options of the same names. A 0 in
// MaxFrame, MaxMessage and Queue is the default.
type Limits struct {
	MaxFrame        uint32
	MaxMessage      int
	Queue           int
	PauseReading    bool
	Heartbeat, Dead time.Duration
}

// Adopt puts other limits in force. It is for Handler.Frame: it holds from the next frame on.
func (c *Conn) Adopt(l Limits) {
	o := Options{MaxFrame: l.MaxFrame, MaxMessage: l.MaxMessage, Queue: l.Queue}.withDefaults()
	c.SetLimits(o.MaxFrame, o.MaxMessage)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pulse != nil {
		c.pulse.Stop()
	}
	c.opts.Queue, c.opts.PauseReading, c.opts.Heartbeat, c.opts.Dead = o.Queue, l.PauseReading, l.Heartbeat, l.Dead
	c.startPulseLocked()
}
