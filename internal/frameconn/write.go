package frameconn

import (
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Lane orders what waits to be written: a lower lane is served first.
type Lane uint8

// The lanes.
const (
	Control  Lane = iota // handshake, keepalive, policy
	Answers              // RESPONSE
	Requests             // REQUEST, and CANCEL so that it does not overtake its request
	lanes
)

const (
	chunkSize      = wire.PartSize          // what the writer takes from a lane at once
	fresh          = time.Millisecond       // younger chunks are flushed as they are
	staleLane      = time.Second            // a queue whose oldest frame is older takes no requests
	controlReserve = 64 << 10               // control frames that a full queue still takes
	sloppy         = 500 * time.Millisecond // how often the write deadline is moved
)

// chunk is a run of encoded frames of one lane.
type chunk struct {
	buf     []byte
	records []record      // of the lane Requests
	frames  int           //
	at      time.Duration // when the first frame came
}

// record is one frame of the lane Requests in a chunk.
type record struct {
	callID  uint64
	at      time.Duration
	end     int32 // of its bytes in the chunk
	request bool  // and not a CANCEL
	late    bool  // may run although its budget is spent
	dropped bool  // Cancel took it back
}

// append adds a frame of the lane Requests.
func (ch *chunk) append(f *wire.Frame, now time.Duration, runLate bool) {
	ch.buf = f.Append(ch.buf)
	ch.frames++
	ch.records = append(ch.records, record{
		callID: f.CallID, at: now, end: int32(len(ch.buf)), request: f.Kind == wire.KindRequest, late: runLate,
	})
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func (ch *chunk) free() {
	if cap(ch.buf) > 2*chunkSize {
		return
	}
	ch.buf, ch.records, ch.frames = ch.buf[:0], ch.records[:0], 0
	chunks.Put(ch)
}

// lane is a queue of chunks, and of messages that are sent in parts.
type lane struct {
	chunks []*chunk
	large  []*outgoing
}

// tail returns the chunk that takes the next size bytes.
func (l *lane) tail(now time.Duration, size int) *chunk {
	if n := len(l.chunks); n > 0 && len(l.chunks[n-1].buf)+size <= chunkSize {
		return l.chunks[n-1]
	}
	ch := chunks.Get().(*chunk)
	ch.at = now
	l.chunks = append(l.chunks, ch)
	return ch
}

// pop takes the first chunk, or nil.
func (l *lane) pop() *chunk {
	if len(l.chunks) == 0 {
		return nil
	}
	ch := l.chunks[0]
	n := copy(l.chunks, l.chunks[1:])
	l.chunks[n] = nil
	l.chunks = l.chunks[:n]
	return ch
}

// Send queues one message and copies it. wake tells the caller to call Flush when its batch is complete; otherwise
// somebody else will. The error is ErrFull, or the cause of the end. A request's budget is lowered by the time that it
// waits here; runLate keeps it although that spends it.
func (c *Conn) Send(l Lane, f *wire.Frame, runLate bool) (wake bool, err error) {
	size := f.Size()
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.flushing {
		return false, c.cause
	}
	if !c.fitsLocked(l, now) {
		c.stats.full.Add(1)
		return false, ErrFull
	}
	c.queued += size
	if l == Requests {
		c.requests += size
	}
	if size > wire.PartSize {
		c.lanes[l].large = append(c.lanes[l].large, newOutgoing(f, now, runLate))
	} else {
		ch := c.lanes[l].tail(now, size)
		if l == Requests {
			ch.append(f, now, runLate)
		} else {
			ch.buf = f.Append(ch.buf)
			ch.frames++
		}
	}
	wake = !c.writing
	c.writing = true
	return wake, nil
}

// fitsLocked reports whether the lane takes one more message.
func (c *Conn) fitsLocked(l Lane, now time.Duration) bool {
	switch l {
	case Control:
		return c.queued < c.opts.Queue+controlReserve
	case Answers:
		return c.queued < c.opts.Queue
	}
	if c.queued >= c.opts.Queue || c.requests >= c.opts.Queue/2 {
		return false
	}
	waiting := c.lanes[Requests].chunks
	return len(waiting) == 0 || now-waiting[0].at < staleLane
}

// Flush starts the writer. It is for whom Send told to wake, once.
func (c *Conn) Flush() { go c.write() }

// Cancel ends a request early. A request that is still queued is taken back: it was not sent, and nothing is. Otherwise
// a CANCEL follows it in its lane; wake is as for Send.
func (c *Conn) Cancel(callID uint64, why wire.Code) (takenBack, wake bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.flushing {
		return false, false
	}
	l := &c.lanes[Requests]
	for _, ch := range l.chunks {
		for i := range ch.records {
			if r := &ch.records[i]; r.callID == callID && r.request && !r.dropped {
				r.dropped = true
				return true, false
			}
		}
	}
	for i, o := range l.large {
		if o.frame.CallID != callID {
			continue
		}
		if o.started {
			o.cancel = why
			return false, false
		}
		l.large = append(l.large[:i], l.large[i+1:]...)
		c.takenLocked(o.size(), true)
		return true, false
	}
	c.appendCancelLocked(callID, why)
	wake = !c.writing
	c.writing = true
	return false, wake
}

func (c *Conn) appendCancelLocked(callID uint64, why wire.Code) {
	f := wire.Frame{Kind: wire.KindCancel, CallID: callID, Status: why}
	now := c.clock.Now()
	ch := c.lanes[Requests].tail(now, wire.PrefixSize)
	ch.append(&f, now, false)
	c.queued += wire.PrefixSize
	c.requests += wire.PrefixSize
}

// takenLocked notes that bytes left the queue.
func (c *Conn) takenLocked(n int, request bool) {
	c.queued -= n
	if request {
		c.requests -= n
	}
	if c.opts.PauseReading {
		c.drained.Broadcast()
	}
}

// write is the writer: it ends when there is nothing to write.
func (c *Conn) write() {
	runtime.Gosched()
	moved := -time.Hour // when the write deadline was moved last
	for {
		var round [lanes]*chunk
		c.mu.Lock()
		more := false
		for i := range c.lanes {
			round[i] = c.lanes[i].pop()
			more = more || round[i] != nil || len(c.lanes[i].large) > 0
		}
		if !more || c.closed {
			for i, ch := range round {
				if ch != nil {
					c.lanes[i].chunks = append([]*chunk{ch}, c.lanes[i].chunks...)
				}
			}
			c.writing = false
			shut := c.flushing && !c.closed
			c.drained.Broadcast()
			c.mu.Unlock()
			if shut {
				c.closeWrite()
			}
			return
		}
		c.mu.Unlock()
		now := c.clock.Now()
		if now-moved > sloppy {
			moved = now
			_ = c.nc.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout + sloppy))
		}
		for i, ch := range round {
			if ch != nil {
				c.writeChunk(Lane(i), ch, now)
			}
			c.writePart(Lane(i))
		}
	}
}

// writeChunk writes what is still wanted of a chunk. When it fails, the requests of the chunk that did not leave whole
// are unsent.
func (c *Conn) writeChunk(l Lane, ch *chunk, now time.Duration) {
	size := len(ch.buf)
	if len(ch.records) > 0 {
		c.takeBack(ch, now)
	}
	n, ok := c.writeBytes(ch.buf)
	if ok {
		c.stats.framesOut.Add(uint64(ch.frames))
	}
	c.mu.Lock()
	if !ok {
		for _, r := range ch.records {
			if int(r.end) > n && r.request && r.callID != 0 {
				c.unsent = append(c.unsent, r.callID)
			}
		}
	}
	c.takenLocked(size, l == Requests)
	c.mu.Unlock()
	ch.free()
}

// takeBack removes the requests that were cancelled or are spent, and lowers the budgets of the others by the time
// they waited.
func (c *Conn) takeBack(ch *chunk, now time.Duration) {
	aged := now-ch.at >= fresh
	from, to, kept := 0, 0, 0
	for _, r := range ch.records {
		frame := ch.buf[from:r.end]
		from = int(r.end)
		spent := aged && r.request && !r.dropped && !age(frame, now-r.at, r.late)
		if spent {
			c.stats.spent.Add(1)
			if r.callID != 0 {
				c.handler.Spent(r.callID)
			}
		}
		if spent || r.dropped {
			ch.frames--
			continue
		}
		to += copy(ch.buf[to:], frame)
		r.end = int32(to)
		ch.records[kept] = r
		kept++
	}
	ch.buf, ch.records = ch.buf[:to], ch.records[:kept]
}

// age lowers the budget of an encoded request by the time that it waited and reports whether any is left. 1 also means
// spent.
func age(request []byte, waited time.Duration, late bool) bool {
	budget := wire.Budget(request)
	ms := uint32(min(waited/time.Millisecond, 1<<31))
	switch {
	case budget == 0: // none given
	case budget > ms+1:
		wire.SetBudget(request, budget-ms)
	case late:
		wire.SetBudget(request, 1)
	default:
		return false
	}
	return true
}

// writeBytes writes all of b or closes the connection; it returns how many bytes the kernel took.
func (c *Conn) writeBytes(b []byte) (n int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	n, err := c.nc.Write(b)
	c.stats.writes.Add(1)
	c.stats.bytesOut.Add(uint64(n))
	if err == nil {
		return n, true
	}
	if ne, is := err.(net.Error); is && ne.Timeout() {
		err = ErrSlow
	}
	c.Close(err)
	return n, false
}

// closeWrite ends a Shutdown: the other side reads to the end and closes.
func (c *Conn) closeWrite() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() == nil {
			_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
			return
		}
	}
	c.Close(nil)
}

// finishWriting waits for the writer and adds up what is unsent.
func (c *Conn) finishWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.drained.Wait()
	}
	l := &c.lanes[Requests]
	for _, ch := range l.chunks {
		for _, r := range ch.records {
			if r.callID != 0 && r.request && !r.dropped {
				c.unsent = append(c.unsent, r.callID)
			}
		}
	}
	for _, o := range l.large {
		if o.frame.CallID != 0 {
			c.unsent = append(c.unsent, o.frame.CallID)
		}
	}
	c.lanes = [lanes]lane{}
	c.queued, c.requests = 0, 0
}
