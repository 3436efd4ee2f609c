package session

import (
	"errors"
	"io"
	"net"
	"os"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/proto/wire"
)

// log writes an event, unless one of the same cause has been written within this second. err may be nil.
func (s *Sessions) log(event string, err error, args ...any) {
	s.events.Event(event, causeOf(err), err, args...)
}

// ownCauses are those that mean the same wherever they come from.
var ownCauses = []error{
	errLoginTimeout, frameconn.ErrEntrance, errCrowded, errDraining, errReplaced,
	frameconn.ErrClosed, frameconn.ErrPreface, frameconn.ErrSlow, frameconn.ErrDead, frameconn.ErrStalled,
	io.EOF, net.ErrClosed, os.ErrDeadlineExceeded,
}

// causeOf sorts an end for counting. The text of an error will not do: it holds what the other side sent, or its port.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	if breach, ok := errors.AsType[*wire.Error](err); ok {
		return breach.Code.String()
	}
	for _, own := range ownCauses {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "network"
}
