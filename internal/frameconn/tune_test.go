//go:build linux

package frameconn

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/twohop/twohop/internal/testkit"
)

func TestTuneTCP(t *testing.T) {
	for _, c := range []struct {
		name   string
		tune   func(net.Conn)
		giveUp int
	}{{"TuneTCP", TuneTCP, 5000}, {"TuneLinkTCP", TuneLinkTCP, 0}} {
		t.Run(c.name, func(t *testing.T) { wantTuned(t, c.tune, c.giveUp) })
	}
}

func wantTuned(t *testing.T, tune func(net.Conn), giveUp int) {
	dialed, accepted := tcpPair(t)
	defer dialed.Close()
	defer accepted.Close()
	accepted.(*net.TCPConn).SetNoDelay(false)
	tune(tls.Server(accepted, nil)) // looked through
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	wants := []struct {
		name          string
		level, option int
		value         int
	}{
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, giveUp},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16 << 10},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10},
	}
	for _, want := range wants {
		raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), want.level, want.option); err != nil || got != want.value {
				t.Errorf("%s is %d, want %d (%v)", want.name, got, want.value, err)
			}
		})
	}
}

func TestTuneTCPLeavesOthersAlone(t *testing.T) {
	x, _ := testkit.Pipe(testkit.PipeOptions{})
	TuneTCP(x)
	dialed, accepted := tcpPair(t)
	dialed.Close()
	accepted.Close()
	TuneTCP(dialed)
}
