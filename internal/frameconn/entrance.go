package frameconn

import (
	"errors"
	"net"
)

// Entrance is a connection that lets in no more than a handshake until it is opened: who has not said who it is cannot
// make a node read, let alone keep.
type Entrance struct {
	net.Conn

	// Owned by the reader.
	left int // bytes
	open bool
}

// ErrEntrance is what a Read ends with when more comes than the handshake may have.
var ErrEntrance = errors.New("frameconn: too many bytes before the handshake was done")

var errNotHalf = errors.New("frameconn: the connection has no two halves")

// layeredConn is what a TLS connection has and a socket has not.
type layeredConn interface{ NetConn() net.Conn }

// NewEntrance returns the entrance, which lets limit bytes in, and the connection to give to New, which has NetConn exactly
// if nc has it.
func NewEntrance(nc net.Conn, limit int) (*Entrance, net.Conn) {
	e := &Entrance{Conn: nc, left: limit}
	if l, ok := nc.(layeredConn); ok {
		return e, struct {
			*Entrance
			layeredConn
		}{e, l}
	}
	return e, e
}

// Open takes the limit away. It is for Handler.Frame.
func (e *Entrance) Open() { e.open = true }

// Read implements net.Conn.
func (e *Entrance) Read(b []byte) (int, error) {
	if e.open {
		return e.Conn.Read(b)
	}
	if e.left == 0 {
		return 0, ErrEntrance
	}
	n, err := e.Conn.Read(b[:min(len(b), e.left)])
	e.left -= n
	return n, err
}

// CloseWrite ends this side's half, so that what was written last is read.
func (e *Entrance) CloseWrite() error {
	if half, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNotHalf
}
