//go:build unix

package frameconn

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawConn returns the socket under a connection, or nil for what is no socket. A type that embeds one is none: it may have more to
// do with bytes than to pass them on.
func rawConn(nc net.Conn) syscall.RawConn {
	if e, ok := nc.(*Entrance); ok {
		nc = e.Conn
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// directWriter writes to a socket without waiting for it. It belongs to the writer.
type directWriter struct {
	// Static after construction.
	raw syscall.RawConn
	try func(fd uintptr) (done bool) // made once, so that a write allocates nothing

	// Of the write under way.
	buf []byte
	n   int
	err error
}

// newDirectWriter returns nil for what is no socket.
func newDirectWriter(nc net.Conn) *directWriter {
	raw := rawConn(nc)
	if raw == nil {
		return nil
	}
	w := &directWriter{raw: raw}
	w.try = w.tryOnce
	return w
}

// write returns how many bytes the kernel took: fewer than there are, and no error, if it takes no more now.
func (w *directWriter) write(b []byte) (int, error) {
	w.buf, w.n, w.err = b, 0, nil
	err := w.raw.Write(w.try)
	w.buf = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// tryOnce tells net not to wait until the socket can be written to.
func (w *directWriter) tryOnce(fd uintptr) (done bool) {
	n, err := again(unix.Write, fd, w.buf)
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil:
		w.err = os.NewSyscallError("write", err)
	default:
		w.n = n
	}
	return true
}

// directReader waits for a socket without a buffer, and takes one when there is something to read. It belongs to the reader.
type directReader struct {
	// Static after construction.
	raw syscall.RawConn
	try func(fd uintptr) (done bool)

	// Of the read under way.
	buf *[largeBuffer]byte
	n   int
	err error
}

// newDirectReader returns nil for what is no socket.
func newDirectReader(nc net.Conn) *directReader {
	raw := rawConn(nc)
	if raw == nil {
		return nil
	}
	r := &directReader{raw: raw}
	r.try = r.tryOnce
	return r
}

// read waits, and returns what it read in a buffer from the pool; at the stream's end that is nothing. Without an error the
// buffer is the caller's to give back.
func (r *directReader) read() (buf *[largeBuffer]byte, n int, err error) {
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.try); err != nil {
		return nil, 0, err
	}
	buf, r.buf = r.buf, nil
	return buf, r.n, r.err
}

// tryOnce has net wait until the socket can be read from, if there is nothing.
func (r *directReader) tryOnce(fd uintptr) (done bool) {
	buf := largeBuffers.Get().(*[largeBuffer]byte)
	n, err := again(unix.Read, fd, buf[:])
	if err != nil {
		largeBuffers.Put(buf)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		r.err = os.NewSyscallError("read", err)
		return true
	}
	r.buf, r.n = buf, n
	return true
}

// again makes a system call until no signal interrupts it.
func again(call func(fd int, b []byte) (int, error), fd uintptr, b []byte) (n int, err error) {
	for {
		n, err = call(int(fd), b)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
