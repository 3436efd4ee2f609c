package frameconn

import (
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Parts are this room's secret: a message over wire.PartSize is split on write and joined on read, so that small
// messages go between its parts. Above this room a message is whole.

// partTimeout is how long a message may take from its first part to its last.
const partTimeout = 30 * time.Second

// outgoing is a message that is sent in parts.
type outgoing struct {
	// Static after construction. frame's Header and Body are copies.
	frame   wire.Frame
	at      time.Duration
	runLate bool

	// Owned by the writer once started, guarded by Conn.mu before.
	started bool
	sent    int       // bytes of Body
	cancel  wire.Code // follow up with a CANCEL
}

func newOutgoing(f *wire.Frame, now time.Duration, runLate bool) *outgoing {
	o := &outgoing{frame: *f, at: now, runLate: runLate}
	data := make([]byte, 0, len(f.Header)+len(f.Body))
	data = append(append(data, f.Header...), f.Body...)
	o.frame.Header, o.frame.Body = data[:len(f.Header)], data[len(f.Header):]
	return o
}

func (o *outgoing) size() int { return o.frame.Size() }

// startLocked returns the lane's next message to send a part of, or nil. At most wire.MaxOpen messages of
// wire.MaxJoining bytes in all are in parts at once, and one one-way message, because those share call id 0.
func (c *Conn) startLocked(l Lane) *outgoing {
	queue := c.lanes[l].large
	if len(queue) == 0 {
		return nil
	}
	open, bytes, oneWay := 0, 0, false
	for i := range c.lanes {
		for _, o := range c.lanes[i].large {
			if o.started {
				open++
				bytes += o.size()
				oneWay = oneWay || o.frame.CallID == 0
			}
		}
	}
	for i, o := range queue {
		fits := open < wire.MaxOpen && bytes+o.size() <= wire.MaxJoining && !(oneWay && o.frame.CallID == 0)
		if !o.started && !fits {
			continue
		}
		o.started = true
		// The next round takes the message after this one.
		copy(queue[i:], queue[i+1:])
		queue[len(queue)-1] = o
		return o
	}
	return nil
}

// writePart writes one part of one of the lane's large messages.
func (c *Conn) writePart(l Lane) {
	c.mu.Lock()
	o := c.startLocked(l)
	c.mu.Unlock()
	if o == nil {
		return
	}
	ch := chunks.Get().(*chunk)
	defer ch.free()
	f := o.frame
	if o.sent == 0 {
		waited := c.clock.Now() - o.at
		if f.Kind == wire.KindRequest && waited >= fresh {
			ms := uint32(waited / time.Millisecond)
			switch {
			case f.BudgetMS > ms+1:
				f.BudgetMS -= ms
			case f.BudgetMS != 0 && !o.runLate:
				c.removeLarge(l, o)
				c.stats.spent.Add(1)
				if f.CallID != 0 {
					c.handler.Spent(f.CallID)
				}
				return
			}
		}
	} else {
		f = wire.Frame{Kind: wire.KindPart, CallID: f.CallID, Status: wire.Code(f.Kind), Body: f.Body[o.sent:]}
	}
	n := min(len(f.Body), wire.PartSize-wire.PrefixSize-len(f.Header))
	last := o.sent+n == len(o.frame.Body)
	f.Body = f.Body[:n]
	f.Flags &^= wire.FlagMore
	if !last {
		f.Flags |= wire.FlagMore
	}
	ch.buf = f.Append(ch.buf)
	if _, ok := c.writeBytes(ch.buf); !ok {
		return
	}
	c.stats.framesOut.Add(1)
	o.sent += n
	if last {
		c.removeLarge(l, o)
	}
}

// removeLarge takes a message out of its lane, and lets the CANCEL follow that came while it was sent.
func (c *Conn) removeLarge(l Lane, o *outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.lanes[l].large
	for i := range queue {
		if queue[i] == o {
			c.lanes[l].large = append(queue[:i], queue[i+1:]...)
			break
		}
	}
	c.takenLocked(o.size(), l == Requests)
	if o.cancel != 0 && o.sent == len(o.frame.Body) {
		c.appendCancelLocked(o.frame.CallID, o.cancel)
	}
}

// joining is a message of which parts have come.
type joining struct {
	frame   wire.Frame // of the first part; Header is a copy
	body    []byte
	arrived time.Duration
	timeout *time.Timer
}

func tooLarge(size int, limit int64) error {
	return &wire.Error{Code: wire.TooLarge, Reason: "message has " + itoa(int64(size)) + " bytes so far, must have at most " + itoa(limit)}
}

func breach(reason string) error { return &wire.Error{Code: wire.BadRequest, Reason: reason} }

func (c *Conn) findJoining(kind wire.Kind, callID uint64) int {
	for i, j := range c.joining {
		if j.frame.Kind == kind && j.frame.CallID == callID {
			return i
		}
	}
	return -1
}

// openJoining takes the first part of a message.
func (c *Conn) openJoining(f *wire.Frame) error {
	if c.findJoining(f.Kind, f.CallID) >= 0 {
		return breach("a message in parts with the same kind and call_id is open")
	}
	if len(c.joining) == wire.MaxOpen {
		return breach("more than " + itoa(wire.MaxOpen) + " messages in parts are open")
	}
	j := &joining{frame: *f, arrived: c.arrived, timeout: time.AfterFunc(partTimeout, func() {
		c.Close(breach("a message in parts was not complete after 30 s"))
	})}
	j.frame.Header = append([]byte(nil), f.Header...)
	j.frame.Flags &^= wire.FlagMore
	c.joining = append(c.joining, j)
	return c.addPart(j, len(f.Header), f.Body)
}

// join takes a further part, and hands over the message with its last one.
func (c *Conn) join(f *wire.Frame) error {
	i := c.findJoining(wire.Kind(f.Status), f.CallID)
	if i < 0 || f.Status > 255 {
		return breach("PART continues a message that is not open")
	}
	if len(f.Header) != 0 {
		return breach("PART has a header, only the first part does")
	}
	j := c.joining[i]
	if err := c.addPart(j, 0, f.Body); err != nil {
		return err
	}
	if f.Flags&wire.FlagMore != 0 {
		return nil
	}
	j.timeout.Stop()
	c.joining = append(c.joining[:i], c.joining[i+1:]...)
	c.joinBytes -= len(j.frame.Header) + len(j.body)
	j.frame.Body = j.body
	// The time from the first part to the last is spent, too.
	arrived := c.arrived
	c.arrived = j.arrived
	err := c.handler.Frame(&j.frame)
	c.arrived = arrived
	return err
}

func (c *Conn) addPart(j *joining, header int, body []byte) error {
	size := len(j.frame.Header) + len(j.body) + len(body)
	if int64(size) > c.maxMsg.Load() {
		return tooLarge(size, c.maxMsg.Load())
	}
	c.joinBytes += header + len(body)
	if c.joinBytes > wire.MaxJoining {
		return &wire.Error{Code: wire.TooLarge, Reason: "messages in parts hold more than " + itoa(wire.MaxJoining) + " bytes at once"}
	}
	j.body = append(j.body, body...)
	return nil
}

// finishJoining forgets what was not complete.
func (c *Conn) finishJoining() {
	for _, j := range c.joining {
		j.timeout.Stop()
	}
	c.joining, c.joinBytes = nil, 0
}
