package frameconn

import (
	"slices"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Parts are this room's secret: a REQUEST or RESPONSE over wire.PartSize is split on write and joined on read, so that
// small messages go between its parts. Above this room a message is whole.

// inParts reports whether large messages of the kind are sent in parts. The others have to keep their order.
func inParts(k wire.Kind) bool { return k == wire.KindRequest || k == wire.KindResponse }

// outgoing is a message that is sent in parts.
type outgoing struct {
	// Static after construction.
	callID  uint64
	request bool
	runLate bool
	at      time.Duration
	data    []byte // encoded: every wire.PartSize bytes a frame begins

	// Guarded by Conn.mu.
	started   bool
	cancelled bool // follow up with a CANCEL
	cancel    wire.Code
	sent      int // bytes of data that the kernel took before this round

	// Owned by the writer.
	written int // bytes of data that the kernel took in this round
	spent   bool
}

func newOutgoing(f *wire.Frame, now time.Duration, runLate bool) *outgoing {
	first := *f
	first.Flags |= wire.FlagMore
	body := f.Body
	n := wire.PartSize - wire.PrefixSize - len(f.Header)
	first.Body, body = body[:n], body[n:]

	parts := len(body)/(wire.PartSize-wire.PrefixSize) + 1
	data := first.Append(make([]byte, 0, f.Size()+parts*wire.PrefixSize))
	part := wire.Frame{Kind: wire.KindPart, Flags: wire.FlagMore, CallID: f.CallID, Status: wire.Code(f.Kind)}
	for len(body) > 0 {
		n = min(len(body), wire.PartSize-wire.PrefixSize)
		part.Body, body = body[:n], body[n:]
		if len(body) == 0 {
			part.Flags = 0
		}
		data = part.Append(data)
	}
	return &outgoing{callID: f.CallID, request: f.Kind == wire.KindRequest, runLate: runLate, at: now, data: data}
}

// nextPartLocked returns the lane's next message to send a part of, or nil. At most wire.MaxOpen messages of
// wire.MaxJoining bytes in all are in parts at once, and one one-way message, because those share call id 0.
func (c *Conn) nextPartLocked(l Lane) *outgoing {
	queue := c.lanes[l].large
	if len(queue) == 0 {
		return nil
	}
	open, bytes, oneWay := 0, 0, false
	for i := range c.lanes {
		for _, o := range c.lanes[i].large {
			if o.started {
				open++
				bytes += len(o.data)
				oneWay = oneWay || o.callID == 0
			}
		}
	}
	for i, o := range queue {
		fits := open == 0 || open < wire.MaxOpen && bytes+len(o.data) <= wire.MaxJoining && !(oneWay && o.callID == 0)
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

// writePart writes the next part of a message, or takes the message back if its budget is spent before the first.
func (c *Conn) writePart(o *outgoing) {
	if waited := c.clock.Now() - o.at; o.sent == 0 && o.request && waited >= fresh && !age(o.data, waited, o.runLate) {
		o.spent = true
		c.spend(o.callID)
		return
	}
	part := o.data[o.sent:min(o.sent+wire.PartSize, len(o.data))]
	o.written = c.writeBytes(part, true)
	if o.written == len(part) {
		c.stats.framesOut.Add(1)
	}
}

// settlePartLocked notes what was written of a message, and removes it when it is complete or was taken back. A CANCEL
// that came meanwhile follows it.
func (c *Conn) settlePartLocked(l Lane, o *outgoing) {
	left := o.written
	if o.spent {
		left = len(o.data)
	}
	o.sent, o.written = o.sent+o.written, 0
	c.addLocked(l, -left)
	if !o.spent && o.sent < len(o.data) {
		return
	}
	if i := slices.Index(c.lanes[l].large, o); i >= 0 {
		c.lanes[l].large = slices.Delete(c.lanes[l].large, i, i+1)
	}
	if o.cancelled && !o.spent && !c.closed {
		c.appendCancelLocked(o.callID, o.cancel)
	}
}
