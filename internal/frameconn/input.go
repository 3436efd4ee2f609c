package frameconn

import (
	"io"
	"net"
	"sync"
	"time"
)

// A connection that waits with nothing unread holds no buffer if it is a socket. Others, TLS among them, cannot wait without one:
// they have a small one while they are idle.
const (
	smallBuffer = 4 << 10  // what an idle connection holds, in bytes
	largeBuffer = 64 << 10 // what a busy one reads into
	quietReads  = 16       // so many small reads after each other make a busy one idle
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// input is what was read and not handled yet: buf[start:end].
type input struct {
	arrival  arrival
	now      time.Duration // when the last read returned
	direct   *directReader // or nil
	entrance *Entrance     // that bytes have to go through until it is open, or nil

	buf        []byte
	start, end int
	small      []byte             // kept, for when the connection is idle; made when it is first needed
	large      *[largeBuffer]byte // from the pool, or nil
	full       bool               // the last read filled buf
	quiet      int                // reads in a row that would have fitted into small
}

func (in *input) open(nc net.Conn, now time.Duration) {
	_, in.arrival.layered = nc.(interface{ NetConn() net.Conn })
	in.arrival.at, in.arrival.empty, in.now = now, now, now
	in.arrival.windows = [2]time.Duration{now, now}
	in.direct = newDirectReader(nc)
	in.entrance, _ = nc.(*Entrance)
}

func (in *input) close() {
	in.resize(0)
	in.buf, in.small = nil, nil
}

func (in *input) unread() []byte { return in.buf[in.start:in.end] }

// fill reads once. Room grows as bytes arrive, never by what a frame says about itself.
func (in *input) fill(nc net.Conn, clock *Clock) (n int, err error) {
	before := clock.Now()
	var space int
	if in.direct != nil && len(in.unread()) == 0 && (in.entrance == nil || in.entrance.open) {
		n, space, err = in.readDirect()
	} else {
		in.makeRoom()
		space = len(in.buf) - in.end
		n, err = nc.Read(in.buf[in.end:])
		if n == 0 && err == nil {
			err = io.ErrNoProgress
		}
	}
	in.now = clock.Now()
	if n == 0 {
		return 0, err
	}
	in.arrival.read(before, in.now, clock.unheard(before, in.now), n, space)
	in.end += n
	in.full = in.end == len(in.buf)
	if in.end <= smallBuffer {
		in.quiet++
	} else {
		in.quiet = 0
	}
	return n, nil
}

// readDirect waits without a buffer, and reads into one that it takes for that.
func (in *input) readDirect() (n, space int, err error) {
	in.start, in.end = 0, 0
	in.resize(0)
	in.small = nil // from before the entrance was open
	in.large, n, err = in.direct.read()
	if in.large == nil {
		return 0, 0, err
	}
	in.buf = in.large[:]
	if n == 0 {
		return 0, 0, io.EOF
	}
	return n, len(in.buf), nil
}

func (in *input) makeRoom() {
	if in.start > 0 {
		in.end = copy(in.buf, in.unread())
		in.start = 0
	}
	switch {
	case in.buf == nil:
		in.resize(smallBuffer)
	case in.full && len(in.buf) < largeBuffer:
		in.resize(largeBuffer)
	case in.end == len(in.buf):
		in.resize(2 * len(in.buf))
	case in.end == 0 && len(in.buf) > largeBuffer:
		in.resize(largeBuffer)
	case in.end == 0 && len(in.buf) > smallBuffer && in.quiet >= quietReads:
		in.resize(smallBuffer)
	}
}

func (in *input) resize(size int) {
	old := in.large
	in.large = nil
	var buf []byte
	switch {
	case size == 0:
	case size <= smallBuffer:
		if in.small == nil {
			in.small = make([]byte, smallBuffer)
		}
		buf = in.small
	case size == largeBuffer:
		in.large = largeBuffers.Get().(*[largeBuffer]byte)
		buf = in.large[:]
	default:
		buf = make([]byte, size)
	}
	copy(buf, in.buf[:in.end])
	in.buf = buf
	if old != nil {
		largeBuffers.Put(old)
	}
}
