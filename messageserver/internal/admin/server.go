package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of a connection, as SECURITY.md has them.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second // a profile takes longer and extends it for itself
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxConnections    = 256
)

// Server answers operators. Its methods may be called concurrently; Serve is called once.
type Server struct {
	// Static after construction.
	src      Sources
	listener net.Listener
	http     *http.Server
	hosts    map[string]bool // values of the Host header that are answered
	changing chan struct{}   // has an element while the members are changed

	// Guarded by mu.
	mu     sync.Mutex
	served chan struct{} // closed when Serve has returned; nil before it
}

// New opens the listener, which must be on loopback; connections wait until Serve. A Server that is not served must be
// closed.
func New(listen string, src Sources) (*Server, error) {
	l, err := net.Listen("tcp", listen) //nolint:noctx // it does not wait: the address is one of this machine
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	addr := l.Addr().(*net.TCPAddr)
	if !addr.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("admin.listen: %q is %v, which is not a loopback address", listen, addr.IP)
	}
	s := &Server{src: src, listener: limit(l, maxConnections), hosts: hostsOf(addr), changing: make(chan struct{}, 1)}
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	return s, nil
}

// Addr returns where it listens, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until Close. A listener that breaks ends it, too: operators then see nothing, and modules do not notice.
func (s *Server) Serve() {
	served := make(chan struct{})
	defer close(served)
	s.mu.Lock()
	s.served = served
	s.mu.Unlock()
	_ = s.http.Serve(s.listener) // its end is Close, or a listener that reports nothing but its end
}

// Close ends the listener and all connections at once, and waits until Serve has returned. It may be called twice.
func (s *Server) Close() error {
	err := s.http.Close()
	s.listener.Close()
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	if served != nil {
		<-served
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// limited bounds the connections that are open at once: further ones wait in the kernel.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// placed is a connection that has one of the places.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
