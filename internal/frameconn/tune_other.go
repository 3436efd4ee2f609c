//go:build !linux

package frameconn

import "net"

func tuneSystem(*net.TCPConn) {}
