package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twohop/twohop/internal/testkit"
)

// network carries bytes between nodes, and can be broken in each direction. A node's address is its name, unless it moved.
type network struct {
	// Guarded by mu.
	mu    sync.Mutex
	at    map[string]host // who listens, by address
	gates map[[2]string]*gate
	dials map[[2]string][]time.Time // tried, by who dialled which address
	pumps sync.WaitGroup
}

// host is who listens: a node, or somebody whose part a test plays.
type host interface {
	title() string
	serve(nc net.Conn)
}

func newNetwork() *network {
	return &network{at: map[string]host{}, gates: map[[2]string]*gate{}, dials: map[[2]string][]time.Time{}}
}

// gate is one direction between two nodes.
type gate struct {
	// Guarded by mu.
	mu    sync.Mutex
	open  chan struct{} // closed while bytes pass
	delay time.Duration
}

// gate returns the direction from one node to another.
func (n *network) gate(from, to string) *gate {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.gates[[2]string{from, to}]
	if g == nil {
		g = &gate{open: make(chan struct{})}
		close(g.open)
		n.gates[[2]string{from, to}] = g
	}
	return g
}

func (g *gate) isOpen() bool {
	select {
	case <-g.open:
		return true
	default:
		return false
	}
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open && !g.isOpen():
		close(g.open)
	case !open && g.isOpen():
		g.open = make(chan struct{})
	}
}

func (g *gate) slow(delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = delay
}

// pass waits until something may go on.
func (g *gate) pass() {
	for {
		g.mu.Lock()
		open, through, delay := g.open, g.isOpen(), g.delay
		g.mu.Unlock()
		if through {
			time.Sleep(delay) // sleeps: the time is a bubble's
			return
		}
		<-open
	}
}

// split lets nothing pass between two nodes, in either direction; heal lets it pass again, also what was said meanwhile.
func (n *network) split(a, b string) { n.gate(a, b).set(false); n.gate(b, a).set(false) }
func (n *network) heal(a, b string)  { n.gate(a, b).set(true); n.gate(b, a).set(true) }

func (n *network) healAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.gates {
		g.set(true)
		g.slow(0)
	}
}

// dial connects a node to an address. Nobody there is an error; a split is silence.
func (n *network) dial(ctx context.Context, from *node, address string) (net.Conn, error) {
	n.mu.Lock()
	pair := [2]string{from.name, address}
	n.dials[pair] = append(n.dials[pair], time.Now())
	to := n.at[address]
	n.mu.Unlock()
	if to == nil {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	out, back := n.gate(from.name, to.title()), n.gate(to.title(), from.name)
	if !out.isOpen() || !back.isOpen() {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: ctx.Err()}
	}
	here, there := n.cable(out, back)
	to.serve(there)
	return here, nil
}

// cable is a connection whose directions go through gates.
func (n *network) cable(out, back *gate) (here, there *testkit.PipeConn) {
	here, a := testkit.Pipe(testkit.PipeOptions{})
	b, there := testkit.Pipe(testkit.PipeOptions{})
	n.pumps.Go(func() { pump(a, b, out) })
	n.pumps.Go(func() { pump(b, a, back) })
	return here, there
}

// pump carries what comes from one pipe to another, and its end.
func pump(from, to *testkit.PipeConn, g *gate) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.pass()
		if n > 0 {
			if _, lost := to.Write(buffer[:n]); lost != nil {
				err = lost
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		case err != nil:
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// dialled returns how often a node has dialled an address.
func (n *network) dialled(from, address string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.dials[[2]string{from, address}]...)
}

func (n *network) listen(address string, who host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[address] = who
}

func (n *network) hangUp(who host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, at := range n.at {
		if at == who {
			delete(n.at, address)
		}
	}
}
