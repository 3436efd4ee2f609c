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

func (o Options) limits() Limits {
	return Limits{
		MaxFrame: o.MaxFrame, MaxMessage: o.MaxMessage, Queue: o.Queue, PauseReading: o.PauseReading,
		Heartbeat: o.Heartbeat, Dead: o.Dead,
	}
}

// Adopt puts other limits in force. It is for Handler.Frame: it holds from the next frame on.
func (c *Conn) Adopt(l Limits) {
	o := Options{MaxFrame: l.MaxFrame, MaxMessage: l.MaxMessage, Queue: l.Queue}.withDefaults()
	l.MaxFrame, l.MaxMessage, l.Queue = o.MaxFrame, o.MaxMessage, o.Queue
	c.maxFrame.Store(l.MaxFrame)
	c.maxMsg.Store(int64(l.MaxMessage))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = l
	c.startPulseLocked()
}
