package frameconn

import (
	"net"
	"time"
)

// userTimeout is how long sent bytes may stay unacknowledged before the kernel gives the connection up.
const userTimeout = 5 * time.Second

// mostUnsent is how many bytes the kernel takes of a connection that it cannot send yet. What is there can neither be passed by
// a heartbeat nor be taken back when its time is up, and the kernel would take megabytes: on a slow link, half a minute. The
// number is that of many HTTP/2 servers, which have the same wish.
const mostUnsent = 16 << 10

// TuneTCP sets what a connection between a module and a node wants of TCP: no delay of small writes, keepalive probes
// after 10 s of silence, and, where the system can, an end after 5 s without acknowledgement and at most 16 KiB in the
// kernel that it has not sent. TLS connections are looked through; others than TCP are left alone, and so is what the
// system refuses.
func TuneTCP(nc net.Conn) { tune(nc, userTimeout) }

// TuneLinkTCP is TuneTCP for a connection between nodes, which judge each other by heartbeats: the kernel gives up nothing.
// It would count from the first of the packets that it had to repeat, and end a link that is slow and works.
func TuneLinkTCP(nc net.Conn) { tune(nc, 0) }

func tune(nc net.Conn, giveUp time.Duration) {
	if layered, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = layered.NetConn()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true)
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	})
	tuneSystem(tcp, giveUp)
}
