package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/eventlog"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Peers are the other nodes, as this node has to do with them. Safe for concurrent use.
type Peers struct {
	// Static after construction.
	opts      Options
	boot      []byte           // 16 random bytes of this start
	directory *scram.Directory // nil: no secret is asked for
	local     *router.Local
	caller    *router.Caller // of calls of _node
	stamp     []byte         // of the same
	events    *eventlog.Log

	counters Counters
	refused  refusals
	poke     chan struct{} // one slot: keep has something to send
	changed  chan struct{} // one slot: sessions of this node have changed
	running  sync.WaitGroup

	// Held by who tells the router something of a member, and moves the member or its view with it: the router hears
	// everything in the order in which it happens here. Taken before mu.
	routing sync.Mutex

	// Guarded by mu.
	mu       sync.Mutex
	ctx      context.Context //nolint:containedctx // of Run: members that come later dial in it
	own      *registry.Own
	health   *registry.Health
	list     []Member // the one in force, this node among them, sorted
	hash     uint64   // of list
	members  map[string]*member
	gone     map[string]past    // nodes that were members
	leaving  map[*link]struct{} // links that go on for the calls under way only
	lobby    map[*link]struct{} // accepted, and not open
	clones   map[string]clone   // processes that brought the name of another, by name
	troubles map[troubleKey]*Trouble
	told     []*pb.Node // what Nodes returned when NodesChanged was last called
	closed   bool
}

// New returns the peers of a node. The error says what is wrong with the members, or with the secret.
func New(o Options) (*Peers, error) {
	o = o.withDefaults()
	p := &Peers{
		opts: o, boot: make([]byte, wire.BootIDSize), local: o.Router.Local(),
		stamp: wire.AppendInvoker(nil, inbound.Module, o.Node, "", o.Node, 0),
		poke:  make(chan struct{}, 1), changed: make(chan struct{}, 1),
		own: registry.NewOwn(o.Incarnation.Value()), health: registry.NewHealth(o.Heartbeat, tick),
		members: make(map[string]*member), gone: make(map[string]past), leaving: make(map[*link]struct{}),
		lobby: make(map[*link]struct{}), clones: make(map[string]clone), troubles: make(map[troubleKey]*Trouble),
	}
	if err := p.CheckMembers(o.Members); err != nil {
		return nil, err
	}
	p.events = eventlog.New(o.Log, p.now)
	_, _ = rand.Read(p.boot) // never fails, says its doc
	if o.Secret != "" {
		d, err := newDirectory(o.Secret)
		if err != nil {
			return nil, fmt.Errorf("peer: the mesh's secret: %w", err)
		}
		p.directory = d
	}
	p.caller = o.Router.OpenCaller(inbound.Module)
	p.adoptLocked(o.Members)
	p.told = p.nodesLocked()
	return p, nil
}

// newDirectory derives what handshakes are checked against. The user is whatever mesh the other side names: a peer of another
// mesh that knows the secret is told so.
func newDirectory(secret string) (*scram.Directory, error) {
	credentials, err := scram.Derive(secret, 0)
	if err != nil {
		return nil, err
	}
	d := &scram.Directory{
		Secret: make([]byte, 32),
		Lookup: func(string, string) (scram.Credentials, bool) { return credentials, true },
	}
	_, _ = rand.Read(d.Secret) // never fails, says its doc
	return d, d.Validate()
}

// Changed says that sessions of this node have changed. It does not block.
func (p *Peers) Changed() { signal(p.changed) }

// RulesChanged says that Options.Rules returns something else than before: the other nodes are told at once. It does not
// block.
func (p *Peers) RulesChanged() { signal(p.poke) }

func signal(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// Run keeps the links until ctx is done, then says goodbye, closes them, and waits. It is called once.
func (p *Peers) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	for _, m := range p.members {
		p.startLocked(m) //nolint:contextcheck // it is p.ctx
	}
	p.mu.Unlock()
	p.keep(ctx)
	p.mu.Lock()
	p.closed = true
	links := p.linksLocked()
	p.mu.Unlock()
	for _, l := range links {
		if l.isOpen() {
			l.goodbye("the node stops", 0)
		}
		l.conn.Shutdown(errStopped)
	}
	p.running.Wait()
	p.opts.Router.CloseCaller(p.caller)
}

// linksLocked returns every connection, once.
func (p *Peers) linksLocked() []*link {
	var all []*link
	for _, m := range p.members {
		for _, l := range []*link{m.link, m.opening} {
			if l != nil {
				all = append(all, l)
			}
		}
	}
	for _, some := range []map[*link]struct{}{p.leaving, p.lobby} {
		for l := range some {
			all = append(all, l)
		}
	}
	return all
}

// How many accepted connections may be in their handshake at once: in all, and of one address.
const (
	maxLobby           = 1024
	maxLobbyPerAddress = 32
)

// Serve runs one accepted connection to its end, in the caller's goroutine. It takes nc over. Run waits for it.
func (p *Peers) Serve(nc net.Conn) {
	l, err := p.accept(nc)
	if err != nil {
		p.counters.Refused.Add(1)
		p.logRefusal(err, "", "remote", nc.RemoteAddr().String())
		nc.Close()
		return
	}
	defer p.running.Done()
	l.run()
}

// accept lets a connection into the lobby.
func (p *Peers) accept(nc net.Conn) (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errStopped
	case len(p.lobby) >= maxLobby, p.waitingLocked(nc.RemoteAddr()) >= maxLobbyPerAddress:
		return nil, errCrowded
	}
	l := newLink(p, nc, nil)
	p.lobby[l] = struct{}{}
	p.running.Add(1)
	return l, nil
}

// waitingLocked returns how many connections of an address are in their handshake.
func (p *Peers) waitingLocked(from net.Addr) (n int) {
	for l := range p.lobby {
		if hostOf(l.conn.RemoteAddr().String()) == hostOf(from.String()) {
			n++
		}
	}
	return n
}

// raise puts this node's incarnation above what another node has seen of it.
func (p *Peers) raise(least uint64) error {
	n, err := p.opts.Incarnation.Raise(least)
	if err != nil {
		return err
	}
	p.mu.Lock()
	before := p.own.Mark().Incarnation
	p.own.Reincarnate(n)
	p.mu.Unlock()
	if n > before {
		p.opts.Log.Warn("incarnation raised", "incarnation", n, "cause", "another node has seen a greater one of this node")
	}
	return nil
}

// tellNodes calls Options.NodesChanged if it has to be.
func (p *Peers) tellNodes() {
	p.mu.Lock()
	nodes := p.nodesLocked()
	same := len(nodes) == len(p.told)
	for i := range nodes {
		same = same && proto.Equal(nodes[i], p.told[i])
	}
	p.told = nodes
	p.mu.Unlock()
	if !same {
		p.opts.NodesChanged()
	}
}

// ConsistencyCheck compares what is counted with what is there. The error names every difference.
func (p *Peers) ConsistencyCheck() error {
	p.mu.Lock()
	errs := []error{p.own.Check()}
	for _, m := range p.members {
		errs = append(errs, m.view.Check(), m.checkLocked())
	}
	for l := range p.leaving {
		if !l.parted {
			errs = append(errs, fmt.Errorf("%v leaves, and is still the one of its member", l))
		}
	}
	links := p.linksLocked()
	p.mu.Unlock()
	for _, l := range links {
		if err := l.conn.ConsistencyCheck(); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", l, err))
		}
	}
	return errors.Join(errs...)
}

// now is the time on the node's clock.
func (p *Peers) now() time.Duration { return p.opts.Clock.Now() }
