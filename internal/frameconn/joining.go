package frameconn

import (
	"slices"
	"strconv"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// partTimeout is how long a message may take from its first part to its last.
const partTimeout = 30 * time.Second

// joining is a message of which parts have come.
type joining struct {
	frame   wire.Frame // of the first part; Header is a copy
	body    []byte
	opened  time.Duration
	arrived time.Duration // what Arrived was for the first part
}

func (j *joining) size() int { return len(j.frame.Header) + len(j.body) }

func itoa(n int) string { return strconv.Itoa(n) }

func tooLarge(size, limit int) error {
	return &wire.Error{Code: wire.TooLarge, Reason: "message has " + itoa(size) + " bytes or more, must have at most " + itoa(limit)}
}

func breach(reason string) error { return &wire.Error{Code: wire.BadRequest, Reason: reason} }

func (c *Conn) findJoining(kind wire.Kind, callID uint64) int {
	return slices.IndexFunc(c.joining, func(j *joining) bool {
		return j.frame.Kind == kind && j.frame.CallID == callID
	})
}

// openJoining takes the first part of a message.
func (c *Conn) openJoining(f *wire.Frame) error {
	if c.findJoining(f.Kind, f.CallID) >= 0 {
		return breach("a message in parts with the same kind and call_id is open")
	}
	if len(c.joining) == wire.MaxOpen {
		return breach("more than " + itoa(wire.MaxOpen) + " messages in parts are open")
	}
	j := &joining{frame: *f, opened: c.in.now, arrived: c.in.arrival.at}
	j.frame.Flags &^= wire.FlagMore
	j.frame.Header, j.frame.Body = nil, nil
	if err := c.joinable(j, len(f.Header)+len(f.Body)); err != nil {
		return err
	}
	j.frame.Header = append(j.frame.Header, f.Header...)
	j.body = append(j.body, f.Body...)
	c.joining = append(c.joining, j)
	c.awaitParts()
	return nil
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
	if err := c.joinable(j, len(f.Body)); err != nil {
		return err
	}
	j.body = append(j.body, f.Body...)
	if f.Flags&wire.FlagMore != 0 {
		return nil
	}
	c.joining = slices.Delete(c.joining, i, i+1)
	c.joinBytes -= j.size()
	c.awaitParts()
	j.frame.Body = j.body
	// The time from the first part to the last is spent, too.
	arrived := c.in.arrival.at
	c.in.arrival.at = j.arrived
	err := c.handler.Frame(&j.frame)
	c.in.arrival.at = arrived
	return err
}

// joinable counts n more bytes of a message, or returns why it may not have them.
func (c *Conn) joinable(j *joining, n int) error {
	if limit := int(c.maxMsg.Load()); j.size()+n > limit {
		return tooLarge(j.size()+n, limit)
	}
	if c.joinBytes+n > wire.MaxJoining {
		return &wire.Error{Code: wire.TooLarge, Reason: "messages in parts hold more than " + itoa(wire.MaxJoining) + " bytes at once"}
	}
	c.joinBytes += n
	return nil
}

// awaitParts sets the read deadline to when the oldest open message has to be complete.
func (c *Conn) awaitParts() {
	deadline := time.Time{}
	if len(c.joining) > 0 {
		deadline = time.Now().Add(c.joining[0].opened + partTimeout - c.clock.Now())
	}
	_ = c.nc.SetReadDeadline(deadline)
}

// overdue returns the breach that a read deadline means.
func overdue() error { return breach("a message in parts was not complete after 30 s") }
