package caller

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Client is a module's end of its sessions. All methods may be called concurrently.
type Client struct {
	// Static after construction.
	opts  Options
	clock *frameconn.Clock
	paths []*path
	names names
	ctx   context.Context //nolint:containedctx // done when Close begins: the paths' life is the client's
	stop  context.CancelFunc

	// Guarded by reporting, which is held while METHODS is queued.
	reporting      sync.Mutex
	methods        []*pb.Method
	methodsVersion uint64

	// Guarded by mu.
	mu          sync.Mutex
	table       table
	waiting     waiting
	move        *move   // under way, or nil
	parked      waiting // the calls that wait for it
	flushing    bool    // somebody sends what waits; calls that come meanwhile queue up behind
	starts      uint64
	usable      []*Session // that new calls may use, the first one first
	sessions    []*Session // that have not ended
	addresses   addresses
	stamp       *pb.Stamp         // of the first WELCOME
	governed    bool              // a node has said what a server must enforce, and was told that it is
	begun       bool              // the first session is open, and registered where it has to be: others may follow
	logins      uint64            // sessions that got a WELCOME
	newest      map[string]uint64 // node → the order of the newest of them there
	refusal     *Error            // why calls need not wait, until a session is open
	replacement *Error            // why no session follows: another process has the name
	changed     chan struct{}     // closed when paths that wait for an address are to look again, and replaced
	sweeper     *time.Timer
	nextSweep   time.Duration // 0: the sweep does not run
	started     bool
	opened      chan struct{} // closed when a session opens, and replaced
	stopping    bool          // no session follows
	closed      bool

	kick     chan struct{} // one slot: a call waits and a session is open
	replaced chan struct{} // closed when another process has the name
	records  sync.Pool     // of *call
	running  sync.WaitGroup
	stats    counters
}

// New returns a client that does nothing yet. Calls wait until Start.
func New(opts Options) (*Client, error) {
	if err := opts.resolve(); err != nil {
		return nil, err
	}
	c := &Client{
		opts: opts, clock: frameconn.NewClock(), table: newTable(),
		kick: make(chan struct{}, 1), replaced: make(chan struct{}), opened: make(chan struct{}), changed: make(chan struct{}),
		newest: map[string]uint64{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	given := slices.Clone(opts.Addresses)
	rand.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] }) //nolint:gosec // spreads load
	c.addresses = addresses{given: given, reached: map[string]string{}, rests: map[string]time.Duration{}, vain: map[string]time.Duration{}}
	for i := range opts.Connections {
		p := &path{client: c, first: i == 0, tried: map[string]bool{}, state: State{Name: StateWaiting, Since: time.Now()}}
		if p.first {
			p.state.Name, p.state.Address = StateConnecting, given[0]
		}
		c.paths = append(c.paths, p)
	}
	return c, nil
}

// Start begins to connect. It does not wait.
func (c *Client) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	for _, p := range c.paths {
		c.running.Add(1)
		go p.run(c.ctx)
	}
	if c.opts.Server != nil {
		c.running.Go(func() {
			// Nothing hangs on the tick: the clock runs to notice that the process did not.
			c.clock.Run(c.ctx, func(now time.Duration) time.Duration { return now + time.Hour })
		})
	}
}

// Clock returns the clock that deadlines are on.
func (c *Client) Clock() *frameconn.Clock { return c.clock }

// Instance returns the name and the uuid that the client logs in with.
func (c *Client) Instance() (name, uuid string) {
	return c.opts.Login.GetInstance(), c.opts.Login.GetInstanceUuid()
}

// Replaced is closed when no session follows another process has taken the module's and instance's name.
func (c *Client) Replaced() <-chan struct{} { return c.replaced }

// Refusal returns why the login was refused for good, or nil.
func (c *Client) Refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal == nil {
		return nil
	}
	return c.refusal.again()
}

// Drain asks nodes for no new requests and waits until those that are here have been answered, or ctx is done.
func (c *Client) Drain(ctx context.Context) {
	c.mu.Lock()
	c.stopping = true
	c.changedLocked()
	sessions := slices.Clone(c.sessions)
	c.mu.Unlock()
	for _, s := range sessions {
		if s.open() {
			s.goodbye("the server stops")
		}
	}
	for _, s := range sessions {
		s.waitIdle(ctx, func() bool { return s.serving.Load() > 0 })
	}
}

// Close ends the calls that are open, closes the sessions after what is queued has been written, and waits.
func (c *Client) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.running.Wait()
		return
	}
	c.closed = true
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	var waiting, sent []*call
	for cl := c.waiting.first; cl != nil; cl = c.waiting.first {
		c.waiting.remove(cl)
		waiting = append(waiting, cl)
	}
	for i := range c.table.slots {
		if cl := c.table.slots[i].call; cl != nil {
			c.takeLocked(cl.session, cl.id)
			sent = append(sent, cl)
		}
	}
	c.mu.Unlock()
	for _, cl := range waiting {
		cl.end(closedError())
	}
	var woken []*Session
	for _, cl := range sent {
		s := cl.session
		taken, wake := c.takeBack(cl, wire.Cancelled)
		if wake {
			woken = append(woken, s)
		}
		if taken {
			cl.end(closedError())
		} else {
			cl.end(fail(CodeCancelledRunning, "").because(ErrClosed))
		}
	}
	flushAll(woken)
	c.stop()
	c.running.Wait()
}

// refuseAll ends the calls that wait with the code of a login that was refused, and those that come until a session is
// open.
func (c *Client) refuseAll(refusal *Error) {
	var ends []*call
	c.mu.Lock()
	if len(c.usable) == 0 {
		c.refusal = refusal
		for cl := c.waiting.first; cl != nil; cl = c.waiting.first {
			c.waiting.remove(cl)
			ends = append(ends, cl)
		}
	}
	c.mu.Unlock()
	for _, cl := range ends {
		cl.end(refusal.again())
	}
}

// replace ends the client's sessions: another process has the name. What is under way on them goes on.
func (c *Client) replace(why *Error) {
	c.mu.Lock()
	if c.replacement == nil {
		c.replacement, c.stopping = why, true
		for _, s := range slices.Clone(c.usable) {
			c.leaveLocked(s)
		}
		close(c.replaced)
		c.changedLocked()
	}
	c.mu.Unlock()
	c.refuseAll(why)
}

// again returns a copy for another call.
func (e *Error) again() *Error {
	other := *e
	return &other
}

// kickLocked wakes a path if something waits.
func (c *Client) kickLocked() {
	if c.waiting.first == nil {
		return
	}
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func (c *Client) add(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions = append(c.sessions, s)
}

func (c *Client) sessionsNow() []*Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sessions)
}
