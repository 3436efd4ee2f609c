package frameconn

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

const (
	fresh  = time.Millisecond       // requests of younger chunks are flushed as they are
	sloppy = 500 * time.Millisecond // how often the write deadline is moved
)

// writerState says who writes what is queued.
type writerState uint8

const (
	unstarted writerState = iota // Run will start the writer
	idle                         // nothing is queued
	wanted                       // somebody was told to Flush, or the reader will at its batch's end
	writing                      // the writer runs
)

// hands is what the writer takes in one round: at most one chunk and one part of a large message of each lane.
type hands struct {
	// Owned by the writer.
	chunks [lanes]*chunk
	parts  [lanes]*outgoing

	// Guarded by Conn.mu.
	taken           bool
	at              time.Duration // since when the oldest frame has been waiting
	bytes, requests int           // in chunks; parts count in their lanes until they are written
}

// mostRounds is how often who flushes writes what others have added meanwhile, before a goroutine takes over.
const mostRounds = 4

// writeNow is the writer on the goroutine of who flushes: it ends when there is nothing to write, or starts the other one as
// soon as it would have to wait.
func (c *Conn) writeNow() {
	for range mostRounds {
		if c.direct == nil {
			break
		}
		if !c.nextRound() {
			return
		}
		if !c.writeHands(false) {
			break
		}
	}
	go c.run()
}

// write is the writer as a goroutine, which waits for the other side: it ends when there is nothing to write.
func (c *Conn) write() {
	for {
		c.writeHands(true)
		if !c.nextRound() {
			return
		}
	}
}

// nextRound settles what was written and takes what is next. It reports false when the writer has ended.
func (c *Conn) nextRound() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked()
	if !c.closed && c.takeLocked() {
		return true
	}
	if c.flushing && !c.closed {
		c.mu.Unlock()
		c.closeWrite()
		c.mu.Lock()
	}
	c.writer = idle
	c.drained.Broadcast()
	return false
}

func (c *Conn) takeLocked() bool {
	h := &c.hands
	h.at = c.clock.Now()
	for i := range c.lanes {
		if c.parting && Lane(i) == Requests {
			break
		}
		if ch := c.lanes[i].pop(); ch != nil {
			h.chunks[i], h.taken, h.at = ch, true, min(h.at, ch.at)
			h.bytes += len(ch.buf)
			if Lane(i) == Requests {
				h.requests = len(ch.buf)
			}
		}
		if c.parting {
			continue
		}
		if o := c.nextPartLocked(Lane(i)); o != nil {
			h.parts[i], h.taken = o, true
		}
	}
	return h.taken
}

// settleLocked takes what is in the writer's hands off the books.
func (c *Conn) settleLocked() {
	h := &c.hands
	if !h.taken {
		return
	}
	c.queued -= h.bytes
	c.requests -= h.requests
	for i, o := range h.parts {
		if o != nil {
			c.settlePartLocked(Lane(i), o)
		}
	}
	*h = hands{}
	if c.limits.PauseReading {
		c.drained.Broadcast()
	}
}

// writeHands writes what the writer has taken. Unless it may wait, it reports false when the kernel takes no more, and leaves
// the rest in the hands.
func (c *Conn) writeHands(wait bool) (done bool) {
	h := &c.hands
	for i := range h.chunks {
		if h.chunks[i] == nil {
			continue
		}
		if !h.chunks[i].merged {
			c.merge(i)
		}
		if !c.writeChunk(h.chunks[i], wait) {
			return false
		}
		h.chunks[i] = nil
	}
	for _, o := range h.parts {
		switch {
		case o == nil:
		case !wait:
			return false
		default:
			c.writePart(o)
		}
	}
	return true
}

// merge makes one piece of a chunk in the writer's hands and the small ones behind it: a system call costs more than a copy.
// Budgets are lowered last, so that no write comes between, and once: from then on the records are not of all that is in it.
func (c *Conn) merge(first int) {
	h := &c.hands
	ch := h.chunks[first]
	ch.merged = true
	c.takeBack(ch)
	for i := first + 1; i < len(h.chunks); i++ {
		next := h.chunks[i]
		if next == nil {
			continue
		}
		if len(ch.buf)+len(next.buf) > chunkSize {
			return
		}
		c.takeBack(next)
		ch.absorb(next)
		h.chunks[i] = nil
	}
}

// writeChunk writes what is left of a chunk, and reports false if the kernel took it only in part and takes more later. When
// the connection breaks, the requests of it that did not leave whole are unsent.
func (c *Conn) writeChunk(ch *chunk, wait bool) (done bool) {
	ch.sent += c.writeBytes(ch.buf[ch.sent:], wait)
	switch {
	case ch.sent == len(ch.buf):
		c.stats.framesOut.Add(uint64(ch.frames))
	case !c.broken:
		return false
	default:
		for i := range ch.records {
			if r := &ch.records[i]; int(r.end) > ch.sent {
				r.addUnsent(c)
			}
		}
	}
	ch.free()
	return true
}

func (r *record) addUnsent(c *Conn) {
	if r.request && !r.dropped && r.callID != 0 {
		c.unsent = append(c.unsent, r.callID)
	}
}

// takeBack removes the requests that were cancelled or are spent, and lowers the budgets of the others by the time
// they waited.
func (c *Conn) takeBack(ch *chunk) {
	if len(ch.records) == 0 {
		return
	}
	now := c.clock.Now()
	aged := now-ch.at >= fresh
	if !aged && !ch.dropped {
		return
	}
	from, to, kept := 0, 0, 0
	for _, r := range ch.records {
		frame := ch.buf[from:r.end]
		from = int(r.end)
		spent := aged && r.request && !r.dropped && !age(frame, now-r.at, r.late)
		if spent {
			c.spend(r.callID)
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

// spend says that a request was taken back.
func (c *Conn) spend(callID uint64) {
	c.stats.spent.Add(1)
	if callID != 0 {
		c.handler.Spent(callID)
	}
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

// writeBytes writes b, all of it if it may wait, or closes the connection; it returns how many bytes the kernel took.
func (c *Conn) writeBytes(b []byte, wait bool) int {
	if c.broken || len(b) == 0 {
		return 0
	}
	if now := c.clock.Now(); now-c.deadline > sloppy {
		c.deadline = now
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout + sloppy))
	}
	var n int
	var err error
	if wait {
		if n, err = c.nc.Write(b); err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
	} else {
		n, err = c.direct.write(b)
	}
	c.stats.writes.Add(1)
	c.stats.bytesOut.Add(uint64(n))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrSlow
		}
		c.broken = true
		c.Close(err)
	}
	return n
}
