package session

import (
	"net"
	"net/netip"
)

// remote is where a connection comes from.
type remote struct {
	ip   netip.Addr // not valid for a unix socket
	text string     // for people: with the port
}

func remoteOf(nc net.Conn) remote {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return remote{text: "unix"}
	}
	return remote{ip: a.AddrPort().Addr().Unmap(), text: a.String()}
}

func (r remote) String() string { return r.text }

// invokerIP is how stamps name the place.
func (r remote) invokerIP() string {
	if !r.ip.IsValid() {
		return "unix"
	}
	return r.ip.String()
}
