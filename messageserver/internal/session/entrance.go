package session

import (
	"errors"
	"net"

	"github.com/twohop/twohop/proto/wire"
)

// entrance is a connection that lets in no more than a login until it is opened: who has not said who it is cannot make
// the node read, let alone keep.
type entrance struct {
	net.Conn

	// Owned by the reader.
	left int // bytes
	open bool
}

var (
	errLoginTooLong = errors.New("session: more than 4 KiB before the login was done")
	errNotHalf      = errors.New("session: the connection has no two halves")
)

// layered is what a TLS connection has and a socket has not.
type layered interface{ NetConn() net.Conn }

// newEntrance returns the entrance and the connection to read from, which has NetConn exactly if nc has it.
func newEntrance(nc net.Conn) (*entrance, net.Conn) {
	e := &entrance{Conn: nc, left: wire.LoginLimit}
	if l, ok := nc.(layered); ok {
		return e, struct {
			*entrance
			layered
		}{e, l}
	}
	return e, e
}

func (e *entrance) Read(b []byte) (int, error) {
	if e.open {
		return e.Conn.Read(b)
	}
	if e.left == 0 {
		return 0, errLoginTooLong
	}
	n, err := e.Conn.Read(b[:min(len(b), e.left)])
	e.left -= n
	return n, err
}

// CloseWrite ends this side's half, so that what was written last is read.
func (e *entrance) CloseWrite() error {
	if half, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNotHalf
}
