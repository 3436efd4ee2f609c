package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/twohop/twohop/internal/testkit"
)

// network is what the hosts of a story are connected by. Every connection goes through it, so that it can be held up, in one
// direction or in both, and cut. What is held up is not lost: it comes when the way is free again, as with TCP.
type network struct {
	memory bool

	mu      sync.Mutex
	free    *sync.Cond // a way has become free, or the network closed
	places  map[string]place
	cables  map[*cable]struct{}
	blocked map[[2]string]bool // from, to
	dead    map[string]bool    // hosts that do not answer
	closed  bool
	pumps   sync.WaitGroup
}

// place is what is at an address.
type place struct {
	host string
	dial func(ctx context.Context) (net.Conn, error) // nil before somebody listens
}

// cable is one connection.
type cable struct {
	from, to string   // who dialled whom
	a, b     net.Conn // b is the accepting host's

	// Guarded by network.mu.
	pumps int  // directions that still carry something
	left  int  // bytes until it breaks, of both directions together; 0: it does not
	half  bool // only who dialled knows that it is cut
}

func newNetwork(memory bool) *network {
	n := &network{
		memory: memory, places: map[string]place{}, cables: map[*cable]struct{}{}, blocked: map[[2]string]bool{}, dead: map[string]bool{},
	}
	n.free = sync.NewCond(&n.mu)
	return n
}

// address returns a new address of a host. It is the network's own: over TCP, listeners have other ports every time, because a
// port that is given back may be another's soon.
func (n *network) address(host string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := fmt.Sprintf("10.0.0.%d:7", len(n.places)+1)
	n.places[at] = place{host: host}
	return at
}

// listen opens a listener at an address of a host, for the first time or again.
func (n *network) listen(host, address string) (net.Listener, error) {
	if n.memory {
		pipes := testkit.Listen()
		n.put(address, place{host, func(context.Context) (net.Conn, error) {
			nc, err := pipes.Dial()
			if err != nil {
				return nil, errNoHost
			}
			return nc, nil
		}})
		return pipes, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.put(address, place{host, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}})
	return l, nil
}

func (n *network) put(address string, p place) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.places[address] = p
}

// dialer is how a host connects.
func (n *network) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) { return n.dial(ctx, from, address) }
}

// errNoHost is what a machine says on which nothing listens.
var errNoHost = fmt.Errorf("network: %w", syscall.ECONNREFUSED)

func (n *network) dial(ctx context.Context, from, address string) (net.Conn, error) {
	n.mu.Lock()
	p, there := n.places[address]
	gone := !there || p.dial == nil || n.dead[p.host] || n.dead[from]
	n.mu.Unlock()
	if gone {
		return nil, errNoHost
	}
	stop := context.AfterFunc(ctx, func() { n.mu.Lock(); defer n.mu.Unlock(); n.free.Broadcast() })
	defer stop()
	n.mu.Lock()
	for (n.blocked[[2]string{from, p.host}] || n.blocked[[2]string{p.host, from}]) && ctx.Err() == nil && !n.closed {
		n.free.Wait()
	}
	gone = n.dead[p.host] || n.dead[from] || n.closed
	n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if gone {
		return nil, errNoHost
	}
	far, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	ours, near := testkit.Pipe(testkit.PipeOptions{})
	c := &cable{from: from, to: p.host, a: near, b: far, pumps: 2}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cables[c] = struct{}{}
	n.pumps.Add(2)
	go n.pump(c, c.b, c.a, from, p.host)
	go n.pump(c, c.a, c.b, p.host, from)
	return ours, nil
}

// pump carries one direction of a cable.
func (n *network) pump(c *cable, to, from net.Conn, source, sink string) {
	defer n.pumps.Done()
	buffer := make([]byte, 32<<10)
	for {
		got, err := from.Read(buffer)
		n.wait(source, sink)
		got, breaks := n.spend(c, source, got)
		if got > 0 {
			if _, werr := to.Write(buffer[:got]); werr != nil {
				err = werr
			}
		}
		if breaks {
			n.cut(c)
		}
		if err == nil && !breaks {
			continue
		}
		n.mu.Lock()
		half := c.half
		n.mu.Unlock()
		end, ok := to.(interface{ CloseWrite() error })
		if !half && (!errors.Is(err, io.EOF) || !ok || end.CloseWrite() != nil) {
			n.cut(c)
		}
		n.through(c)
		return
	}
}

// through notes that one direction of a cable has ended. A cable of which both have is no more.
func (n *network) through(c *cable) {
	n.mu.Lock()
	c.pumps--
	over := c.pumps == 0
	c.half = c.half && !over
	n.mu.Unlock()
	if over {
		n.cut(c)
	}
}

// spend returns how many of some bytes a cable still carries, and whether it breaks behind them. A dead host says nothing more.
func (n *network) spend(c *cable, source string, bytes int) (carried int, breaks bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.dead[source]:
		return 0, true
	case c.half:
		return 0, false
	case c.left == 0:
		return bytes, false
	case c.left <= bytes:
		return c.left, true
	}
	c.left -= bytes
	return bytes, false
}

// wait returns when the way is free.
func (n *network) wait(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.blocked[[2]string{from, to}] && !n.closed {
		n.free.Wait()
	}
}

func (n *network) cut(c *cable) {
	n.mu.Lock()
	half := c.half && !n.closed
	if !half {
		delete(n.cables, c)
	}
	n.mu.Unlock()
	c.a.Close()
	if !half {
		c.b.Close()
	}
}

// halve cuts every connection between two hosts so that only the one that dialled notices: the other one waits for what does
// not come.
func (n *network) halve(a, b string) {
	for _, c := range n.between(a, b) {
		n.mu.Lock()
		c.half = true
		n.mu.Unlock()
		c.a.Close()
	}
}

// breakAfter has every connection between two hosts break when so many more bytes have crossed, at least 1: in the middle of
// a frame, most likely.
func (n *network) breakAfter(a, b string, bytes int) {
	for _, c := range n.between(a, b) {
		n.mu.Lock()
		c.left = bytes
		n.mu.Unlock()
	}
}

// block holds up what goes from one host to another.
func (n *network) block(from, to string) { n.set(true, [2]string{from, to}) }

// split holds up both directions between two hosts.
func (n *network) split(a, b string) { n.set(true, [2]string{a, b}, [2]string{b, a}) }

// heal frees both directions.
func (n *network) heal(a, b string) { n.set(false, [2]string{a, b}, [2]string{b, a}) }

func (n *network) set(blocked bool, ways ...[2]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, way := range ways {
		if blocked {
			n.blocked[way] = true
		} else {
			delete(n.blocked, way)
		}
	}
	n.free.Broadcast()
}

// reset cuts every connection between two hosts; "" stands for all.
func (n *network) reset(a, b string) {
	for _, c := range n.between(a, b) {
		n.cut(c)
	}
}

func (n *network) between(a, b string) (found []*cable) {
	n.mu.Lock()
	defer n.mu.Unlock()
	touches := func(c *cable, host string) bool { return host == "" || c.from == host || c.to == host }
	for c := range n.cables {
		if touches(c, a) && touches(c, b) {
			found = append(found, c)
		}
	}
	return found
}

// down makes a host vanish, with all its connections, or come back.
func (n *network) down(host string, dead bool) {
	n.mu.Lock()
	n.dead[host] = dead
	n.mu.Unlock()
	if dead {
		n.reset(host, "")
	}
}

func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	n.free.Broadcast()
	n.mu.Unlock()
	n.reset("", "")
	n.pumps.Wait()
}
