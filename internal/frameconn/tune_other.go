//go:build !linux

package frameconn

import (
	"net"
	"time"
)

func tuneSystem(*net.TCPConn, time.Duration) {}
