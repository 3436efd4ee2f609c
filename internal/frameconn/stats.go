package frameconn

import (
	"fmt"
	"sync/atomic"
)

// stats are a connection's counters.
type stats struct {
	framesIn, framesOut atomic.Uint64
	bytesIn, bytesOut   atomic.Uint64
	writes              atomic.Uint64
	full                atomic.Uint64
	spent               atomic.Uint64
}

// Stats is a reading of a connection's counters.
type Stats struct {
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	Writes              uint64 // system calls
	Full                uint64 // messages refused because the queue was full, among them PONGs
	Spent               uint64 // requests taken back because their budget was used up in the queue
	Queued              int    // bytes waiting now
	Control             int    // bytes waiting now in the lane Control, without what the writer has taken
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	queued, control := c.queued, 0
	for _, ch := range c.lanes[Control].chunks {
		control += len(ch.buf)
	}
	c.mu.Unlock()
	return Stats{
		FramesIn: c.stats.framesIn.Load(), FramesOut: c.stats.framesOut.Load(),
		BytesIn: c.stats.bytesIn.Load(), BytesOut: c.stats.bytesOut.Load(),
		Writes: c.stats.writes.Load(), Full: c.stats.full.Load(), Spent: c.stats.spent.Load(),
		Queued: queued, Control: control,
	}
}

// ConsistencyCheck returns what is wrong with the connection's books, or nil: the bytes counted are those in the lanes
// and in the writer's hands, nothing waits without somebody who will write it, and nothing is left after the end.
func (c *Conn) ConsistencyCheck() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	queued, requests := c.hands.bytes, c.hands.requests
	for i := range c.lanes {
		l := &c.lanes[i]
		size := 0
		for _, ch := range l.chunks {
			if err := ch.check(Lane(i)); err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
			size += len(ch.buf)
		}
		for _, o := range l.large {
			size += len(o.data) - o.sent
		}
		queued += size
		if Lane(i) == Requests {
			requests += size
		}
	}
	switch {
	case c.queued != queued || c.requests != requests:
		return fmt.Errorf("%s: %d bytes counted, of them %d of requests; the queue holds %d and %d",
			c, c.queued, c.requests, queued, requests)
	case c.writer != writing && (c.hands.bytes != 0 || c.hands.chunks != [lanes]*chunk{} || c.hands.parts != [lanes]*outgoing{}):
		return fmt.Errorf("%s: a writer that ended left something behind", c)
	case c.writer == idle && c.queued != 0 && !c.closed && !c.parting:
		return fmt.Errorf("%s: %d bytes wait and nobody writes them", c, c.queued)
	}
	return nil
}

// check returns what is wrong with a chunk that waits in a lane.
func (ch *chunk) check(l Lane) error {
	end, dropped := 0, false
	for _, r := range ch.records {
		if int(r.end) <= end {
			return fmt.Errorf("the record of call %d ends at %d, the one before it at %d", r.callID, r.end, end)
		}
		end, dropped = int(r.end), dropped || r.dropped
	}
	switch {
	case l == Requests && end != len(ch.buf):
		return fmt.Errorf("records cover %d of %d bytes", end, len(ch.buf))
	case dropped != ch.dropped:
		return fmt.Errorf("a chunk's mark of dropped requests is %t, not %t", ch.dropped, dropped)
	}
	return nil
}
