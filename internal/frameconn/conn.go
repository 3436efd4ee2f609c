package frameconn

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// Causes of an end that are nobody's breach of the protocol. Breaches are *wire.Error, the rest is what the network said.
var (
	ErrClosed  = errors.New("frameconn: closed")                                        // Close(nil)
	ErrFull    = errors.New("frameconn: queue is full")                                 // Send
	ErrPreface = errors.New("frameconn: the stream does not begin with 2HOP version 1") // Run, accepting side
	ErrSlow    = errors.New("frameconn: the other side does not read")
	ErrDead    = errors.New("frameconn: the other side is silent")
	ErrStalled = errors.New("frameconn: this process did not run, what is buffered is too old")
)

// Options configure a Conn. The zero value is fit for tests; sessions set all of it.
type Options struct {
	// Accepts is true on the side that accepted the connection: it expects the preface, the other side sends it.
	Accepts bool
	// MaxFrame bounds the length field of incoming frames, in bytes. Default wire.MaxFrame.
	MaxFrame uint32
	// MaxMessage bounds an incoming message over all its parts, in bytes. Default wire.MaxMessage.
	MaxMessage int
	// Queue bounds what waits to be written, in bytes; one more message is taken while it is below. Requests may
	// fill half of it. Default 4 MiB.
	Queue int
	// PauseReading is for pure callers, which can only hurt themselves: reading stops while the outbound queue is over
	// 75 %, until it is down to half. A pause of WriteTimeout, or an answer that the queue has no room for, closes the
	// connection with ErrSlow.
	PauseReading bool
	// Heartbeat is the silence after which a PING is sent, and again, and Dead the silence after which the connection
	// is closed with ErrDead; what this process did not run is no silence. Default 0: never.
	Heartbeat, Dead time.Duration
	// WriteTimeout closes the connection with ErrSlow when one write takes longer. Default 5 s.
	WriteTimeout time.Duration
	// Stalled closes the connection with ErrStalled when the process did not run for so long. Default 0: never.
	Stalled time.Duration
	// Clock is the process's clock. Default: one of its own, which notices no stalls.
	Clock *Clock
	// Vet looks at every frame as it comes, parts and keepalive included, before anything is kept of it. An error ends
	// the connection with it as the cause. It is called by the reader. Default: all may come.
	Vet func(f *wire.Frame) error
}

func (o Options) withDefaults() Options {
	if o.MaxFrame == 0 {
		o.MaxFrame = wire.MaxFrame
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = wire.MaxMessage
	}
	if o.Queue == 0 {
		o.Queue = 4 << 20
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = NewClock()
	}
	return o
}

// Handler is what Run hands messages to.
type Handler interface {
	// Frame takes one whole message, from the reader's goroutine. f and its slices are valid during the call only.
	// An error ends the connection with it as the cause. PING, PONG and PART never come here, and nothing does after
	// Close or Shutdown.
	Frame(f *wire.Frame) error
	// BatchEnd is called by the reader when all that was read has been handed over, before it waits for more.
	BatchEnd()
	// Spent says that the writer took the request back because its budget was used up in the queue: it was not sent.
	// Called by whoever writes, which may be who flushes: nobody flushes with a lock held that this wants.
	Spent(callID uint64)
	// Farewell returns the frame that tells the other side why its breach of the protocol ends the connection. A
	// frame of kind 0 is not sent. Called by the reader, once at most.
	Farewell(cause *wire.Error) wire.Frame
}

// Conn is a framed connection. All methods may be called concurrently, except that Run is called once and Arrived and
// Now are for the Handler's Frame.
type Conn struct {
	// Static after construction.
	nc    net.Conn
	clock *Clock
	opts  Options
	run   func() // the writer's goroutine; made once, so that starting it allocates nothing

	direct *directWriter // for who flushes; or nil

	handler Handler // set by Run before reader and writer start

	// Owned by the reader.
	in        input
	frame     wire.Frame // the message being handed over
	joining   []*joining
	joinBytes int
	frames    int // of this batch

	heard    atomic.Int64  // when the last byte came, ns of the clock
	maxFrame atomic.Uint32 // Limits.MaxFrame
	maxMsg   atomic.Int64  // Limits.MaxMessage

	// Guarded by mu. Only the reader writes limits, and may read them without it.
	mu       sync.Mutex
	limits   Limits
	drained  sync.Cond // the queue got shorter, the writer ended, or the connection closed
	lanes    [lanes]lane
	hands    hands // what the writer has taken; its chunks and parts are the writer's own
	queued   int   // bytes in all lanes and in the writer's hands
	requests int   // bytes of the lane Requests among them
	writer   writerState
	batch    bool          // the reader hands over what it read, and flushes when it is through
	batchAt  time.Duration // since when
	flushing bool          // Shutdown was called
	parting  bool          // the farewell is the last frame: requests stay unsent, large messages unfinished
	closed   bool
	cause    error
	pulse    *time.Timer // keepalive
	linger   *time.Timer // bounds Shutdown

	// Owned by the writer, and by Run when the writer has ended.
	unsent   []uint64      // call ids
	deadline time.Duration // when the write deadline was set last
	broken   bool          // a write failed

	done  chan struct{} // closed with the first cause
	stats stats
}

// New wraps nc. Nothing is read or written before Run.
func New(nc net.Conn, opts Options) *Conn {
	c := &Conn{nc: nc, opts: opts.withDefaults(), done: make(chan struct{})}
	c.clock = c.opts.Clock
	c.limits = c.opts.limits()
	c.run = c.write
	c.direct = newDirectWriter(nc)
	c.drained.L = &c.mu
	c.deadline = -time.Hour
	c.maxFrame.Store(c.opts.MaxFrame)
	c.maxMsg.Store(int64(c.opts.MaxMessage))
	if !c.opts.Accepts {
		ch := c.lanes[Control].tail(c.clock.Now(), len(wire.Preface))
		ch.buf = append(ch.buf, wire.Preface...)
		c.queued = len(wire.Preface)
	}
	return c
}

// Arrived returns the moment from which on the messages of this batch may have been waiting: the last one at which the
// socket was known to be empty. For Handler.Frame.
func (c *Conn) Arrived() time.Duration { return c.in.arrival.at }

// Now returns when this batch was read. For Handler.Frame.
func (c *Conn) Now() time.Duration { return c.in.now }

// Done is closed when the connection has a cause of its end; Run returns soon after.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Cause returns why the connection ended, or nil while it has not.
func (c *Conn) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// RemoteAddr returns the other side's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

func (c *Conn) String() string { return fmt.Sprintf("conn(%s)", c.nc.RemoteAddr()) }
