//go:build !linux

package frameconn

import "net"

func setUserTimeout(*net.TCPConn) {}
