package testkit

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// PipeOptions configure a Pipe. The zero value is a connection like TCP over loopback.
type PipeOptions struct {
	// Buffer is how many bytes per direction a write leaves behind before it blocks. Default 64 KiB.
	Buffer int
	// Chunk, if not nil, is asked by each Read how many of the available bytes it gets, 1 to available. It is called
	// by the reader, without a lock held.
	Chunk func(available int) int
}

// Pipe returns the two ends of a connection in memory.
func Pipe(opts PipeOptions) (a, b *PipeConn) {
	if opts.Buffer <= 0 {
		opts.Buffer = 64 << 10
	}
	there, back := newStream(opts), newStream(opts)
	return &PipeConn{name: "a", in: back, out: there}, &PipeConn{name: "b", in: there, out: back}
}

// PipeConn is one end of a Pipe. It is a net.Conn with CloseWrite.
type PipeConn struct {
	name    string
	in, out *stream
}

var _ net.Conn = (*PipeConn)(nil)

// Read waits for bytes, for the other side's end (io.EOF, or ECONNRESET after a reset), or for the deadline.
func (c *PipeConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write returns when the buffer holds the last byte. n is what it took, also with an error.
func (c *PipeConn) Write(b []byte) (n int, err error) { return c.out.write(b) }

// CloseWrite lets the other side read to the end, then io.EOF.
func (c *PipeConn) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

// Close ends both directions. The other side reads what was written, then io.EOF, or ECONNRESET if something that it
// wrote was not read here. Its writes fail with EPIPE.
func (c *PipeConn) Close() error {
	if !c.in.closeReader() {
		return net.ErrClosed
	}
	end := io.EOF
	if c.in.unread() {
		end = syscall.ECONNRESET
	}
	c.out.closeWriter(end)
	return nil
}

// FailWriteAfter lets this end's writes take n more bytes. The write that wants more takes what fits and fails with err.
func (c *PipeConn) FailWriteAfter(n int, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.fail, c.out.left = err, n
	c.out.changed.Broadcast()
}

// Buffered returns how many bytes were written here and not read by the other side.
func (c *PipeConn) Buffered() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return len(c.out.buf)
}

// LocalAddr returns the end's name.
func (c *PipeConn) LocalAddr() net.Addr { return pipeAddr(c.name) }

// RemoteAddr returns the other end's name.
func (c *PipeConn) RemoteAddr() net.Addr {
	if c.name == "a" {
		return pipeAddr("b")
	}
	return pipeAddr("a")
}

// SetDeadline sets both deadlines.
func (c *PipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline holds for reads that wait, too. The zero time is none.
func (c *PipeConn) SetReadDeadline(t time.Time) error { return c.in.setDeadline(&c.in.reading, t) }

// SetWriteDeadline holds for writes that wait, too. The zero time is none.
func (c *PipeConn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writing, t) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// stream is one direction.
type stream struct {
	// Static after construction.
	opts PipeOptions

	// Guarded by mu.
	mu           sync.Mutex
	changed      sync.Cond
	buf          []byte
	ended        error // what is read after buf: the writer's end
	writerClosed bool
	readerClosed bool
	reading      deadline
	writing      deadline
	fail         error // of writes, after left more bytes
	left         int
}

type deadline struct {
	at    time.Time
	timer *time.Timer // wakes who waits
}

func (d *deadline) passed() bool { return !d.at.IsZero() && time.Until(d.at) <= 0 }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func newStream(opts PipeOptions) *stream {
	s := &stream{opts: opts}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerClosed:
			return 0, net.ErrClosed
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := min(len(b), len(s.buf))
			if s.opts.Chunk != nil {
				s.mu.Unlock()
				n = min(max(s.opts.Chunk(n), 1), n)
				s.mu.Lock()
			}
			n = copy(b[:n], s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.ended != nil:
			return 0, s.ended
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writerClosed:
			return n, net.ErrClosed
		case s.writing.passed():
			return n, os.ErrDeadlineExceeded
		case s.ended != nil || s.readerClosed:
			return n, syscall.EPIPE
		case len(b) == 0:
			return n, nil
		case s.fail != nil && s.left == 0:
			return n, s.fail
		}
		room := min(len(b), s.opts.Buffer-len(s.buf))
		if s.fail != nil {
			room = min(room, s.left)
		}
		if room <= 0 {
			s.changed.Wait()
			continue
		}
		s.buf = append(s.buf, b[:room]...)
		b, n = b[room:], n+room
		if s.fail != nil {
			s.left -= room
		}
		s.changed.Broadcast()
	}
}

// end sets what is read after buf; the first end stays.
func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	s.changed.Broadcast()
}

func (s *stream) closeWriter(end error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writerClosed = true
	if s.ended == nil {
		s.ended = end
	}
	s.writing.stop()
	s.changed.Broadcast()
}

// closeReader reports whether it did.
func (s *stream) closeReader() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readerClosed {
		return false
	}
	s.readerClosed = true
	s.reading.stop()
	s.changed.Broadcast()
	return true
}

func (s *stream) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.buf) > 0
}

func (s *stream) setDeadline(d *deadline, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d == &s.reading && s.readerClosed || d == &s.writing && s.writerClosed {
		return net.ErrClosed
	}
	d.stop()
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
	return nil
}
