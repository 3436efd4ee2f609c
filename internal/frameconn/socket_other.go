//go:build !unix

package frameconn

import (
	"errors"
	"net"
)

// Without sockets to reach, the writer is always a goroutine, and a reader keeps its buffer.

type directWriter struct{}

func newDirectWriter(net.Conn) *directWriter { return nil }

func (*directWriter) write([]byte) (int, error) { return 0, errors.ErrUnsupported }

type directReader struct{}

func newDirectReader(net.Conn) *directReader { return nil }

func (*directReader) read() (*[largeBuffer]byte, int, error) { return nil, 0, errors.ErrUnsupported }
