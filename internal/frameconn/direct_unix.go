//go:build unix

package frameconn

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// direct writes to a socket without waiting for it.
type direct struct {
	// Static after construction.
	raw syscall.RawConn
	try func(fd uintptr) bool // made once, so that a write allocates nothing

	// Of the write under way.
	buf []byte
	n   int
	err error
}

// newDirect returns nil for what is no socket, or has more to do with bytes than to hand them to one.
func newDirect(nc net.Conn) *direct {
	if e, ok := nc.(*Entrance); ok {
		nc = e.Conn
	}
	s, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.try = d.tryOnce
	return d
}

// write returns how many bytes the kernel took: fewer than there are, and no error, if it takes no more now.
func (d *direct) write(b []byte) (int, error) {
	d.buf, d.n, d.err = b, 0, nil
	err := d.raw.Write(d.try)
	d.buf = nil
	if err != nil {
		return 0, err
	}
	return d.n, d.err
}

// tryOnce tells net not to wait until the socket can be written to.
func (d *direct) tryOnce(fd uintptr) (done bool) {
	for {
		n, err := unix.Write(int(fd), d.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
		case err != nil:
			d.err = os.NewSyscallError("write", err)
		default:
			d.n = n
		}
		return true
	}
}
