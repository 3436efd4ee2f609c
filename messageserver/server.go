package messageserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance/retry"
	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/messageserver/internal/ids"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/messageserver/internal/session"
)

// Server is a node. Its methods may be called concurrently; Run is called once.
type Server struct {
	// Static after construction.
	opts     Options
	started  time.Time // when New was called, for people
	clock    *frameconn.Clock
	ids      *ids.Source
	router   *router.Router
	sessions *session.Sessions
	admin    *admin.Server // nil when it is off
	mesh     *mesh         // nil when the node is alone
	listener net.Listener

	government *government

	draining  atomic.Bool // Run has been told to stop, a listener broke, or Close was called
	closeOnce sync.Once
}

// New validates the options and opens the listeners; connections wait until Run. A Server that is not run must be closed.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	s := &Server{opts: o, started: time.Now(), clock: frameconn.NewClock(), ids: ids.New(uint16(o.Number))}
	if err := s.openGovernment(); err != nil {
		_ = s.Close()
		return nil, err
	}
	s.router = router.New(router.Options{
		Governor:       s.government.rules,
		Refusals:       s.government.rules,
		Meters:         s.government.books,
		Node:           o.Node,
		DefaultTimeout: o.Calls.DefaultTimeout,
		MaxInFlight:    o.Calls.MaxInFlight,
		MaxKept:        o.Calls.MaxKept,
		Retry:          retry.Options{BudgetPercent: o.Calls.RetryPercent},
		Changed:        s.registryChanged,
		Try:            s.try,
		Unheard:        s.unheard,
	}, s.clock.Now)
	if err := s.open(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// open opens what a node listens at, and makes the rooms behind it.
func (s *Server) open() (err error) {
	o := &s.opts
	if s.sessions, err = session.New(s.sessionOptions()); err != nil {
		return err
	}
	if s.listener = o.Listener; s.listener == nil {
		if s.listener, err = listen(context.Background(), o.Listen); err != nil {
			return err
		}
	}
	if at, ok := s.listener.Addr().(*net.TCPAddr); ok && o.Auth.Mode == "none" && !at.IP.IsLoopback() {
		return fmt.Errorf("auth.mode: none is for loopback and unix sockets only, and the listener is at %s", at)
	}
	if o.inMesh() {
		if s.mesh, err = s.openMesh(); err != nil {
			return err
		}
	}
	if o.Admin.Listen != "off" {
		if s.admin, err = admin.New(o.Admin.Listen, s.adminSources()); err != nil {
			return err
		}
	}
	return nil
}

// registryChanged says that sessions have come, changed or gone.
func (s *Server) registryChanged() {
	if s.mesh != nil {
		s.mesh.peers.Changed()
	}
}

// unheard returns the nodes that this one has not heard of since it started.
func (s *Server) unheard() []string {
	if s.mesh == nil {
		return nil
	}
	return s.mesh.peers.Unheard()
}

// try returns the nodes from which one of the owners can be reached.
func (s *Server) try(owners []string) []string {
	if s.mesh == nil {
		return nil
	}
	return s.mesh.peers.Try(owners)
}

func (s *Server) sessionOptions() session.Options {
	o := &s.opts
	var keys map[string]session.ModuleKeys
	if o.Auth.Mode == "secret" {
		keys = make(map[string]session.ModuleKeys)
		for _, m := range o.Auth.Modules {
			if keys[m.Module] == nil {
				keys[m.Module] = make(session.ModuleKeys)
			}
			keys[m.Module][m.KeyID] = string(m.Secret)
		}
	}
	return session.Options{
		Node: o.Node, Mesh: o.Mesh, Router: s.router, Clock: s.clock, NextID: s.ids.Next, Log: o.Log, Keys: keys,
		Nodes:        s.nodes,
		Governor:     s.government.rules,
		LoginTimeout: o.Session.LoginTimeout, Heartbeat: o.Session.Heartbeat, Dead: o.Session.Dead,
		CallerQueue: o.Session.CallerQueue, ServerQueue: o.Session.ServerQueue, MaxMessage: o.Session.MaxMessage,
		MaxInFlight: o.Session.MaxInFlight, MaxPending: o.Session.MaxPending, LoginsPerSecond: o.Session.LoginsPerSecond,
	}
}

// listen opens host:port or unix:/path. A socket file that nobody listens at any more is removed first.
func listen(ctx context.Context, address string) (net.Listener, error) {
	network, where := "tcp", address
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		network, where = "unix", path
		if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			d := net.Dialer{Timeout: time.Second}
			if nc, err := d.DialContext(ctx, network, path); err == nil {
				_ = nc.Close()
				return nil, fmt.Errorf("listen: %s is in use", path)
			}
			_ = os.Remove(path) // if it cannot be removed, Listen says so
		}
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, where)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// Addr returns where modules connect, as an SDK takes it.
func (s *Server) Addr() string {
	if s.listener.Addr().Network() == "unix" {
		return "unix:" + s.listener.Addr().String()
	}
	return s.listener.Addr().String()
}

func (s *Server) advertise() string {
	if s.opts.Advertise != "" {
		return s.opts.Advertise
	}
	return s.Addr()
}

// AdminAddr returns where operators connect, host:port, or "" when that is off.
func (s *Server) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr()
}

// Node returns the node's name.
func (s *Server) Node() string { return s.opts.Node }

// ConsistencyCheck asks every room whether what it counts is what it holds. It is cheap enough to be called while the
// node runs.
func (s *Server) ConsistencyCheck() error {
	errs := []error{s.router.ConsistencyCheck(), s.sessions.ConsistencyCheck(), s.government.books.ConsistencyCheck()}
	if s.mesh != nil {
		errs = append(errs, s.mesh.peers.ConsistencyCheck())
	}
	return errors.Join(errs...)
}

// Run serves until ctx is done, drains, and returns nil. An error means that a listener broke.
func (s *Server) Run(ctx context.Context) error { //nolint:contextcheck // the clock must tick until the sessions have ended, after ctx is done
	ticking, stopTicking := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.clock.Run(ticking, s.router.Tick) })
	if s.admin != nil {
		background.Go(s.admin.Serve)
	}
	meshing, stopMeshing := context.WithCancel(context.Background())
	var mesh sync.WaitGroup
	if s.mesh != nil {
		mesh.Go(func() { s.mesh.run(meshing) })
	}
	governing, stopGoverning := context.WithCancel(context.Background())
	var governed sync.WaitGroup
	governed.Go(func() { s.government.run(governing) })
	s.opts.Log.Info("node started",
		"node", s.opts.Node, "listen", s.Addr(), "admin", s.AdminAddr(), "peers", s.PeerAddr(), "auth", s.opts.Auth.Mode)
	var sessions sync.WaitGroup
	accepting := make(chan error, 1)
	go func() {
		if s.mesh != nil {
			s.mesh.settle(ctx)
		}
		s.government.settle(ctx)
		accepting <- s.accept(ctx, &sessions)
	}()
	var err error
	select {
	case <-ctx.Done():
		s.draining.Store(true)
		s.opts.Log.Info("node draining", "node", s.opts.Node, "patience", s.opts.DrainTimeout)
		s.listener.Close()
		err = <-accepting
	case err = <-accepting:
		s.draining.Store(true)
	}
	s.sessions.Drain(s.opts.DrainTimeout)
	sessions.Wait()
	stopGoverning() // before the links to the keeper go
	governed.Wait()
	stopMeshing() // the others are told, and what still crosses the links ends
	mesh.Wait()
	_ = s.Close()
	stopTicking()
	background.Wait()
	s.opts.Log.Info("node stopped", "node", s.opts.Node)
	return err
}

// accept serves every connection that comes, until the listener is closed.
func (s *Server) accept(ctx context.Context, sessions *sync.WaitGroup) error {
	for {
		nc, err := s.listener.Accept()
		switch {
		case err == nil:
			sessions.Go(func() { s.sessions.Serve(nc) })
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Run closed the listener
		case isTemporary(err):
			s.opts.Log.Warn("accept failed", "cause", err)
			pause(ctx, 50*time.Millisecond) // out of file descriptors: others must close some first
		default:
			return fmt.Errorf("accept: %w", err)
		}
	}
}

// isTemporary reports whether accepting may work again by itself.
func isTemporary(err error) bool { return !errors.Is(err, net.ErrClosed) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Close closes the listeners. It ends no session: that is Run's, when its context is done.
func (s *Server) Close() error {
	s.draining.Store(true)
	s.closeOnce.Do(func() {
		if s.listener != nil {
			_ = s.listener.Close() // Run may have closed it
		}
		if s.mesh != nil {
			s.mesh.close()
		}
		if s.admin != nil {
			_ = s.admin.Close()
		}
		if s.government != nil {
			s.government.close()
		}
	})
	return nil
}

// InFlight returns how many calls entered at this node and are not answered.
func (s *Server) InFlight() int64 {
	calls, _ := s.router.InFlight()
	return calls
}

// HasInstance reports whether calls can reach an instance of a module from this node.
func (s *Server) HasInstance(module, instance string) bool {
	return s.router.HasInstance(module, instance)
}

// HasModule reports whether calls can reach some instance of a module from this node.
func (s *Server) HasModule(module string) bool { return s.router.HasModule(module) }

// Sessions returns how many sessions of a module are open.
func (s *Server) Sessions(module string) int {
	n := 0
	for _, v := range s.sessions.List() {
		if v.Module == module {
			n++
		}
	}
	return n
}
