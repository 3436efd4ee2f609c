package frameconn

import (
	"net"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// lingerTime bounds a Shutdown: writing what is queued, and waiting for the other side to close.
const lingerTime = 2 * time.Second

// Close ends the connection at once with cause, or ErrClosed for nil. The first cause stays. It does not wait: Run
// returns when reader and writer are through.
func (c *Conn) Close(cause error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.endLocked(cause)
	for _, timer := range []*time.Timer{c.pulse, c.linger} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.drained.Broadcast()
	c.mu.Unlock()
	// TLS would say goodbye and could wait for that. Who wants a goodbye calls Shutdown.
	if layered, ok := c.nc.(interface{ NetConn() net.Conn }); ok {
		layered.NetConn().Close()
		return
	}
	c.nc.Close()
}

// Shutdown ends the connection with cause after what is queued has been written. Nothing more is taken, in either
// direction. It bounds itself to 2 s, in which the other side has to read and to close, and does not wait.
func (c *Conn) Shutdown(cause error) {
	c.mu.Lock()
	if c.closed || c.flushing {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.endLocked(cause)
	c.linger = time.AfterFunc(lingerTime, func() { c.Close(nil) })
	start := c.writer == idle || c.writer == wanted
	if start {
		c.writer = writing
	}
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

// part queues the farewell behind the answers that wait, as the last frame. Requests that have not left stay where they
// are, and are unsent.
func (c *Conn) part(farewell wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parting = true
	if farewell.Kind == 0 || c.closed {
		return
	}
	size := farewell.Size()
	c.lanes[Answers].tail(c.clock.Now(), size).append(&farewell)
	c.addLocked(Answers, size)
}

// endLocked sets the cause, once.
func (c *Conn) endLocked(cause error) {
	if c.cause != nil {
		return
	}
	if cause == nil {
		cause = ErrClosed
	}
	c.cause = cause
	close(c.done)
}

// closeWrite ends the writer's part of a Shutdown: the other side reads to the end and closes.
func (c *Conn) closeWrite() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	c.Close(nil)
}

// finishFlushing is the reader's part of a Shutdown. It reads on, because closing with unread input would take back
// what was written last, until the other side closes or lingerTime is over.
func (c *Conn) finishFlushing() {
	c.mu.Lock()
	flushing := c.flushing && !c.closed
	c.mu.Unlock()
	if !flushing {
		return
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	for discard := make([]byte, smallBuffer); ; {
		if _, err := c.nc.Read(discard); err != nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writer == writing && !c.closed {
		c.drained.Wait()
	}
}

// finishWriting waits for the writer and adds up what is unsent.
func (c *Conn) finishWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writer == writing {
		c.drained.Wait()
	}
	l := &c.lanes[Requests]
	for _, ch := range l.chunks {
		for i := range ch.records {
			ch.records[i].addUnsent(c)
		}
	}
	for _, o := range l.large {
		if o.request && o.callID != 0 {
			c.unsent = append(c.unsent, o.callID)
		}
	}
	c.lanes = [lanes]lane{}
	c.queued, c.requests = 0, 0
}

// EachUnsent calls yield with the call id of every request that was queued and did not leave whole, once. It may be
// called when Run has returned.
func (c *Conn) EachUnsent(yield func(callID uint64)) {
	c.mu.Lock()
	unsent := c.unsent
	c.unsent = nil
	c.mu.Unlock()
	for _, id := range unsent {
		yield(id)
	}
}
