package frameconn

import (
	"errors"
	"io"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

const (
	smallBuffer = 4 << 10  // what an idle connection holds
	largeBuffer = 64 << 10 // what a busy one reads into
	awake       = time.Millisecond
)

// Run reads until the connection ends and returns the cause. The caller's goroutine is the reader.
func (c *Conn) Run(h Handler) error {
	c.handler = h
	c.keepAlive()
	c.mu.Lock()
	start := c.queued > 0 && !c.writing
	c.writing = c.writing || start
	c.mu.Unlock()
	if start {
		go c.write()
	}
	err := c.read()
	var breach *wire.Error
	if errors.As(err, &breach) {
		farewell := h.Farewell(breach)
		wake, _ := c.Send(Control, &farewell, false)
		c.Shutdown(breach)
		if wake {
			c.Flush()
		}
	}
	h.BatchEnd() // whoever was told to flush for this reader does
	if c.shuttingDown() {
		c.discard()
	}
	c.Close(err)
	c.finishJoining()
	c.finishWriting()
	return c.Cause()
}

func (c *Conn) read() error {
	c.in = make([]byte, smallBuffer)
	c.arrived = c.clock.Now()
	c.now = c.arrived
	if c.opts.Accepts {
		if err := c.readPreface(); err != nil {
			return err
		}
	}
	for {
		if err := c.handleBuffered(); err != nil {
			return err
		}
		c.handler.BatchEnd()
		if err := c.pause(); err != nil {
			return err
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// readPreface takes the first 8 bytes, and ends at the first that is wrong.
func (c *Conn) readPreface() error {
	for {
		got := min(c.end, len(wire.Preface))
		if string(c.in[:got]) != wire.Preface[:got] {
			return ErrPreface
		}
		if got == len(wire.Preface) {
			c.start = got
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// handleBuffered hands over every whole frame of the buffer.
func (c *Conn) handleBuffered() error {
	for {
		n, err := c.decode()
		if errors.Is(err, wire.ErrShort) {
			return nil
		}
		if err != nil {
			return err
		}
		c.start += n
		c.stats.framesIn.Add(1)
		if err := c.take(&c.frame); err != nil {
			return err
		}
	}
}

func (c *Conn) decode() (n int, err error) {
	c.frame, n, err = wire.Decode(c.in[c.start:c.end], c.maxFrame.Load())
	return n, err
}

// take handles what is this room's own and passes on the rest.
func (c *Conn) take(f *wire.Frame) error {
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
		if size := len(f.Header) + len(f.Body); int64(size) > c.maxMsg.Load() {
			return tooLarge(size, c.maxMsg.Load())
		}
	}
	if f.Flags&wire.FlagMore != 0 {
		return breach("only REQUEST, RESPONSE and PART have the flag MORE")
	}
	return c.handler.Frame(f)
}

// fill makes room and reads once. Room grows as bytes arrive, never by what a frame says about itself.
func (c *Conn) fill() error {
	if c.start > 0 {
		c.end = copy(c.in, c.in[c.start:c.end])
		c.start = 0
	}
	switch {
	case c.end == len(c.in):
		c.in = append(c.in, make([]byte, len(c.in))...)
	case c.end == 0 && len(c.in) > largeBuffer:
		c.in = make([]byte, largeBuffer)
	}
	before := c.clock.Now()
	n, err := c.nc.Read(c.in[c.end:])
	now := c.clock.Now()
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n == 0 {
		return err
	}
	stalled := c.clock.Stalled(before, now)
	if c.opts.Stalled > 0 && stalled >= c.opts.Stalled {
		return ErrStalled
	}
	// A read that waited found the socket empty when it began: what it got is new, unless the process stood still.
	// One that did not wait got what may have come at any time since the read before.
	if now-before >= awake {
		c.arrived = now - stalled
	} else {
		c.arrived = c.now
	}
	c.now = now
	c.end += n
	c.heard.Store(int64(now))
	c.stats.bytesIn.Add(uint64(n))
	if c.end == len(c.in) && len(c.in) < largeBuffer {
		c.in = append(c.in, make([]byte, largeBuffer-len(c.in))...)
	}
	return nil
}

// pause waits while a pure caller does not take its answers. It ends when the queue is down to half.
func (c *Conn) pause() error {
	if !c.opts.PauseReading {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued <= c.opts.Queue/4*3 {
		return nil
	}
	slow := time.AfterFunc(c.opts.WriteTimeout, func() { c.Close(ErrSlow) })
	defer slow.Stop()
	for c.queued > c.opts.Queue/2 && !c.closed {
		c.drained.Wait()
	}
	return nil
}

func (c *Conn) shuttingDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushing && !c.closed
}

// discard reads on after a Shutdown, so that the other side gets to read why.
func (c *Conn) discard() {
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	for {
		if _, err := c.nc.Read(c.in); err != nil {
			return
		}
	}
}
