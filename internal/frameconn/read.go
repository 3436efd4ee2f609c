package frameconn

import (
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Run reads until the connection ends and returns the cause. The caller's goroutine is the reader. When Run has
// returned, nothing of the connection runs any more. It also ends in order when h ends the goroutine, but not when h
// panics: nobody knows what h left locked.
func (c *Conn) Run(h Handler) (cause error) {
	c.start(h)
	err := ErrClosed // should h end the goroutine
	defer func() {
		if p := recover(); p != nil {
			panic(p)
		}
		cause = c.finish(err)
	}()
	err = c.read()
	return nil
}

// finish ends what Run began.
func (c *Conn) finish(err error) error {
	if breach, ok := errors.AsType[*wire.Error](err); ok && c.Cause() == nil {
		c.part(c.handler.Farewell(breach))
		c.Shutdown(breach)
	}
	c.handler.BatchEnd() // who was told to flush for this reader does
	c.EndBatch()
	c.finishFlushing()
	c.Close(err)
	c.finishWriting()
	c.in.close()
	c.joining = nil
	return c.Cause()
}

// start lets the writer write what was queued before Run, and the keepalive look.
func (c *Conn) start(h Handler) {
	now := c.clock.Now()
	c.handler = h
	c.in.open(c.nc, now)
	c.heard.Store(int64(now))
	c.mu.Lock()
	c.writer = idle
	start := c.queued > 0 || c.flushing
	if start {
		c.writer = writing
	}
	c.startPulseLocked()
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

// read returns why it ended: a breach, what the handler said, what the network said, or ErrClosed after somebody else
// ended the connection.
func (c *Conn) read() error {
	if c.opts.Accepts {
		if err := c.readPreface(); err != nil {
			return err
		}
	}
	for {
		c.beginBatch()
		if err := c.handleBuffered(); err != nil {
			return err
		}
		c.gather()
		c.handler.BatchEnd()
		c.EndBatch()
		c.pause()
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// fewFrames is how many make a batch that is worth a write of its own.
const fewFrames = 16

// gather lets others run before the batch ends, so that what they add goes in the same writes: where there was more than one
// frame others are about, and where there were many no more are needed.
func (c *Conn) gather() {
	if n := c.frames; 1 < n && n < fewFrames {
		runtime.Gosched()
	}
	c.frames = 0
}

// beginBatch has all that is queued until EndBatch go in one write.
func (c *Conn) beginBatch() {
	c.mu.Lock()
	c.batch, c.batchAt = true, c.in.now
	c.mu.Unlock()
}

// EndBatch writes what was queued in the batch. It is for a Handler.Frame that is about to wait, for a lock or a computation, too:
// what others queue on the connection does not wait with it.
func (c *Conn) EndBatch() {
	c.mu.Lock()
	c.batch = false
	c.mu.Unlock()
	c.Flush()
}

// splitBatch writes what was queued so far if the batch is long: what answers it must not fill the queue, nor others wait for it.
func (c *Conn) splitBatch() {
	c.mu.Lock()
	long := c.queued >= chunkSize || c.writer == wanted && c.clock.Now()-c.in.now >= fresh
	c.mu.Unlock()
	if long {
		c.EndBatch()
		c.beginBatch()
	}
}

// readPreface takes the first 8 bytes, and ends at the first that is wrong.
func (c *Conn) readPreface() error {
	for {
		got := c.in.unread()
		n := min(len(got), len(wire.Preface))
		if string(got[:n]) != wire.Preface[:n] {
			return ErrPreface
		}
		if n == len(wire.Preface) {
			c.in.start = n
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// handleBuffered hands over every whole frame of the buffer.
func (c *Conn) handleBuffered() error {
	for !c.ended() {
		f, n, err := wire.Decode(c.in.unread(), c.maxFrame.Load())
		if errors.Is(err, wire.ErrShort) {
			return nil
		}
		if err != nil {
			return err
		}
		c.in.start += n
		c.frames++
		c.stats.framesIn.Add(1)
		c.frame = f
		if err := c.take(&c.frame); err != nil {
			return err
		}
		if c.frames%fewFrames == 0 {
			c.splitBatch()
		}
	}
	return ErrClosed
}

func (c *Conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// take handles what is this room's own and passes on the rest.
func (c *Conn) take(f *wire.Frame) error {
	if c.opts.Vet != nil {
		if err := c.opts.Vet(f); err != nil {
			return err
		}
	}
	switch f.Kind {
	case wire.KindPing:
		c.pong(f)
		return nil
	case wire.KindPong:
		return nil
	case wire.KindPart:
		return c.join(f)
	case wire.KindRequest, wire.KindResponse:
		if f.Flags&wire.FlagMore != 0 {
			return c.openJoining(f)
		}
		if size, limit := len(f.Header)+len(f.Body), int(c.maxMsg.Load()); size > limit {
			return tooLarge(size, limit)
		}
	}
	if f.Flags&wire.FlagMore != 0 && f.Kind < wire.KindSkippable {
		return breach("only REQUEST, RESPONSE and PART have the flag MORE")
	}
	return c.handler.Frame(f)
}

// fill reads once.
func (c *Conn) fill() error {
	n, err := c.in.fill(c.nc, c.clock)
	if err != nil {
		if len(c.joining) > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return overdue()
		}
		return err
	}
	c.heard.Store(int64(c.in.now))
	c.stats.bytesIn.Add(uint64(n))
	if c.opts.Stalled > 0 && c.clock.Stalled(c.in.arrival.at, c.in.now) >= c.opts.Stalled {
		return ErrStalled
	}
	return nil
}

// pause waits while a pure caller does not take its answers. It ends when the queue is down to half.
func (c *Conn) pause() {
	if !c.limits.PauseReading {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued <= c.limits.Queue/4*3 {
		return
	}
	slow := time.AfterFunc(c.opts.WriteTimeout, func() { c.Close(ErrSlow) })
	defer slow.Stop()
	for c.queued > c.limits.Queue/2 && !c.closed {
		c.drained.Wait()
	}
}
