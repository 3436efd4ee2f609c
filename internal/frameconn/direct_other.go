//go:build !unix

package frameconn

import (
	"errors"
	"net"
)

// direct is not there: the writer is always a goroutine.
type direct struct{}

func newDirect(net.Conn) *direct { return nil }

func (*direct) write([]byte) (int, error) { return 0, errors.ErrUnsupported }
