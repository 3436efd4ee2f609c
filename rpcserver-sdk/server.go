package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/wire"
)

// Server offers methods of one module. Use New. All methods may be called concurrently.
type Server struct {
	// Static after construction.
	opts   Options
	broken error          // what is wrong with the options: Run says it
	client *caller.Client // nil if broken
	queue  *queue
	epoch  time.Time // when the clock was 0
	asks   []string  // the keys of needs

	methods  atomic.Pointer[map[string]*method]
	enforced enforcement
	stats    counters
	said     notes

	// Guarded by mu.
	mu      sync.Mutex
	version uint64 // of methods
	ran     bool
	needs   map[string]bool // modules that are needed, and self; true once they answered

	ready    chan struct{} // closed when all of needs have answered
	governed chan struct{} // closed when the first policy is in force
	govern   sync.Once
}

// New returns a server that offers nothing yet. What is wrong with the options is what Run returns.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{opts: opts, needs: map[string]bool{self: false}, ready: make(chan struct{}), governed: make(chan struct{}), said: newNotes()}
	s.enforced.nonces = newNonces()
	s.methods.Store(&map[string]*method{})
	client, err := caller.New(opts.translate(dispatcher{s}))
	if err = errors.Join(err, opts.validate()); err != nil {
		s.broken = fmt.Errorf("rpcserver: %w", err)
		return s
	}
	s.client = client
	clock := client.Clock()
	s.epoch = time.Now().Add(-clock.Now())
	s.queue = newQueue(opts.Queue, opts.Concurrency, clock.Now, s.run)
	for _, module := range opts.Needs {
		s.needs[module] = false
	}
	s.asks = slices.Collect(maps.Keys(s.needs))
	return s
}

// graceTime is how long a stop waits for handlers after their contexts have been cancelled.
const graceTime = time.Second

// Run connects, to one node and then to others (Options.Connections), and serves until ctx is done, and then stops: it asks for no new requests, ends those that are here within
// Options.DrainTimeout, cancels the contexts of handlers that still run, lets answers go, and closes. It returns nil after a
// clean stop, ErrReplaced when another process has the instance's name, ErrStillRunning when handlers do not end, and what is
// wrong with the options. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	s.mu.Lock()
	if s.ran {
		s.mu.Unlock()
		return errors.New("rpcserver: Run was called before")
	}
	s.ran = true
	s.mu.Unlock()
	if len(*s.methods.Load()) == 0 {
		s.opts.Logger.Warn("no method is registered yet: nobody can call this server", "module", s.opts.Module)
	}
	s.client.Start()
	asking, stopAsking := context.WithCancel(ctx)
	var asked sync.WaitGroup
	for _, module := range s.asks {
		asked.Go(func() { s.ask(asking, module) })
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.client.Replaced():
		err = fmt.Errorf("%w: %w", ErrReplaced, s.client.Refusal())
	}
	stopAsking()
	asked.Wait()
	return errors.Join(err, s.stop()) //nolint:contextcheck // ctx is done: stopping has bounds of its own
}

// stop ends the server in order: requests, handlers, answers, sessions.
func (s *Server) stop() error {
	drain, cancel := context.WithTimeout(context.Background(), s.opts.DrainTimeout)
	s.client.Drain(drain)
	cancel()
	for _, t := range s.queue.stop() {
		s.turnDown(t, nil, &refusal{code: wire.Draining, message: "the server stops"})
		t.free()
		t.session.End()
	}
	for _, t := range s.queue.running() {
		t.end(context.Canceled)
	}
	var err error
	grace := time.NewTimer(graceTime)
	defer grace.Stop()
	select {
	case <-s.queue.ended:
	case <-grace.C:
		err = fmt.Errorf("%w: %d", ErrStillRunning, len(s.queue.running()))
	}
	s.client.Close()
	return err
}

// States says where the server stands with each of its sessions, Options.Connections of them; one that has no node to go to
// has a Reason.
func (s *Server) States() []State {
	if s.client == nil {
		return nil
	}
	return s.client.States()
}

// Instance returns the name and the uuid that the server logs in with.
func (s *Server) Instance() (name, uuid string) {
	if s.client == nil {
		return s.opts.Instance, ""
	}
	return s.client.Instance()
}

// String names the server for logs.
func (s *Server) String() string {
	name, _ := s.Instance()
	return "rpcserver(" + s.opts.Module + "/" + name + ")"
}
