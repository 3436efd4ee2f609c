package testkit

import (
	"net"
	"sync"
)

// Listener is a net.Listener over pipes: Dial gives one end to the caller and the other to Accept. Safe for concurrent
// use.
type Listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Listen returns a listener. Connections wait, eight of them, until they are accepted.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn, 8), done: make(chan struct{})}
}

// Dial connects. It fails with net.ErrClosed after Close.
func (l *Listener) Dial() (net.Conn, error) {
	a, b := Pipe(PipeOptions{})
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody accepted are closed.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		for {
			select {
			case nc := <-l.conns:
				nc.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return pipeAddr("pipe") }
