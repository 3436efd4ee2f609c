package frameconn

import "time"

const (
	// waited is how long a read takes at least that found nothing when it began.
	waited = 100 * time.Microsecond
	// receiveBuffer bounds what the kernel holds for one connection, in bytes: the default maximum of
	// net.ipv4.tcp_rmem.
	receiveBuffer = 6 << 20
)

// arrival knows since when the bytes of a read may have been waiting. After a pause, or when this process did not run,
// a whole receive buffer of old calls is there, and the first read gets only the beginning of it.
type arrival struct {
	layered bool             // the conn is TLS or the like: a short read does not say that the socket is empty
	at      time.Duration    // the answer for the bytes that were read last
	empty   time.Duration    // the last moment at which the socket was known to be empty
	windows [2]time.Duration // when the last but one and the last receive buffer of bytes began
	bytes   int              // of the last one
}

// read notes a read that began at before, ended at now and got n bytes into space. unheard is how long before now the
// bytes may have come although the read was waiting for them.
func (a *arrival) read(before, now, unheard time.Duration, n, space int) {
	emptied := n < space && !a.layered
	if now-before >= waited {
		a.empty = now - unheard // the socket was empty when the read began: what it got is new
		a.at = a.empty
	} else {
		// The socket may hold more than a read takes. What comes out now went in after what lies a receive buffer
		// before it was taken out.
		a.at = max(a.empty, a.windows[0])
		if emptied {
			a.empty = before
		}
	}
	if a.bytes += n; a.bytes >= receiveBuffer {
		a.windows[0], a.windows[1], a.bytes = a.windows[1], now, 0
	}
}
