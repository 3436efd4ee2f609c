package peer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/internal/scram"
	"github.com/twohop/twohop/messageserver/internal/eventlog"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/peer/registry"
	"github.com/twohop/twohop/messageserver/internal/router"
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
	counters  Counters
	events    *eventlog.Log

	poke    chan struct{} // one slot: keep has something to send
	changed chan struct{} // one slot: sessions of this node have changed
	running sync.WaitGroup

	// What the router knows of the members: who tells it something holds routing meanwhile, so that it hears everything in
	// the order in which the views learn it. Taken before mu.
	routing sync.Mutex

	// Guarded by mu.
	mu       sync.Mutex
	ctx      context.Context //nolint:containedctx // of Run: members that come later dial in it
	own      *registry.Own
	health   *registry.Health
	list     []Member // the one in force, this node among them, sorted
	hash     uint64   // of list
	members  map[string]*member
	leaving  map[*link]struct{} // of members that were removed
	lobby    map[*link]struct{} // accepted, and not open
	highest  map[string]uint64  // incarnations of nodes that were members, by name
	refusals map[string]clone   // of processes that brought the name of another, by name
	troubles map[troubleKey]*Trouble
	closed   bool
}

// New returns the peers of a node. The error says what is wrong with the members.
func New(o Options) (*Peers, error) {
	o = o.withDefaults()
	if err := o.checkMembers(o.Members); err != nil {
		return nil, err
	}
	p := &Peers{
		opts: o, boot: make([]byte, 16), local: o.Router.Local(), caller: o.Router.OpenCaller(inbound.Module),
		stamp: wire.AppendInvoker(nil, inbound.Module, o.Node, "", o.Node, 0),
		poke:  make(chan struct{}, 1), changed: make(chan struct{}, 1),
		own: registry.NewOwn(o.Incarnation.Value()), health: registry.NewHealth(o.Heartbeat, tick),
		members: make(map[string]*member), leaving: make(map[*link]struct{}), lobby: make(map[*link]struct{}),
		highest: make(map[string]uint64), refusals: make(map[string]clone), troubles: make(map[troubleKey]*Trouble),
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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adoptLocked(o.Members)
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

func signal(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// Run keeps the links until ctx is done, then says goodbye, closes them, and waits.
func (p *Peers) Run(ctx context.Context) {
	p.mu.Lock()
	p.ctx = ctx
	for _, m := range p.members {
		p.startLocked(m)
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

// linksLocked returns every connection.
func (p *Peers) linksLocked() []*link {
	var all []*link
	for _, m := range p.members {
		if m.link != nil {
			all = append(all, m.link)
		}
		if m.dialling != nil {
			all = append(all, m.dialling)
		}
	}
	for l := range p.leaving {
		all = append(all, l)
	}
	for l := range p.lobby {
		all = append(all, l)
	}
	return all
}

// maxLobby is how many accepted connections may be in their handshake at once.
const maxLobby = 64

// Serve runs one accepted connection to its end, in the caller's goroutine. It takes nc over.
func (p *Peers) Serve(nc net.Conn) {
	l := p.accept(nc)
	if l == nil {
		p.counters.Refused.Add(1)
		nc.Close()
		return
	}
	defer p.running.Done()
	l.run()
	p.mu.Lock()
	delete(p.lobby, l)
	p.mu.Unlock()
}

// accept returns nil when there is no room, or when this node stops.
func (p *Peers) accept(nc net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.lobby) >= maxLobby {
		return nil
	}
	l := newLink(p, nc, nil)
	p.lobby[l] = struct{}{}
	p.running.Add(1)
	return l
}

// SetMembers puts another list in force: links to who is new are made, who is gone is left, and addresses are dialled from the
// next time on. The error says what in the list cannot be; then nothing has changed. A list without this node leaves it alone.
func (p *Peers) SetMembers(list []Member) error {
	if err := p.opts.checkMembers(list); err != nil {
		return err
	}
	p.mu.Lock()
	gone := p.adoptLocked(list)
	p.mu.Unlock()
	for _, m := range gone {
		p.part(m)
	}
	p.opts.Log.Info("members set", "members", names(list), "hash", fmt.Sprintf("%016x", p.MembershipHash()))
	p.opts.NodesChanged()
	signal(p.poke)
	return nil
}

func names(list []Member) string {
	all := make([]string, 0, len(list))
	for _, m := range sortMembers(list) {
		all = append(all, m.Node)
	}
	return strings.Join(all, ",")
}

// adoptLocked makes the members those of the list, and returns who is gone.
func (p *Peers) adoptLocked(list []Member) (gone []*member) {
	p.list, p.hash = sortMembers(list), hashMembers(list)
	wanted := make(map[string]Member)
	if slices.ContainsFunc(list, func(m Member) bool { return m.Node == p.opts.Node }) {
		for _, m := range list {
			wanted[m.Node] = m
		}
		delete(wanted, p.opts.Node)
	}
	now := p.opts.Clock.Now()
	for name, m := range p.members {
		if w, stays := wanted[name]; !stays || w.Number != m.number {
			delete(p.members, name)
			p.highest[name] = m.view.Highest()
			gone = append(gone, m)
		}
	}
	for name, w := range wanted {
		m := p.members[name]
		if m == nil {
			m = newMember(p, w, now)
			p.members[name] = m
			p.startLocked(m)
			continue
		}
		if m.address != w.Address {
			m.address = w.Address
			signal(m.redial)
		}
	}
	return gone
}

// part leaves a member that is gone from the list: it gets no new calls, those under way have Options.Drain.
func (p *Peers) part(m *member) {
	p.mu.Lock()
	m.stopDialling()
	l := m.link
	if l != nil {
		p.leaving[l] = struct{}{}
	}
	p.mu.Unlock()
	p.routing.Lock()
	if l != nil {
		p.opts.Router.Disconnect(m.name, l)
	}
	p.opts.Router.Forget(m.name)
	p.routing.Unlock()
	if l != nil {
		l.goodbye("removed from the members", p.opts.Drain)
		l.expire(p.opts.Drain)
	}
}

// Members returns the list in force, sorted by name.
func (p *Peers) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// MembershipHash identifies the list in force: nodes compare theirs.
func (p *Peers) MembershipHash() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hash
}

// hashMembers is the first 8 bytes of the SHA-256 of the list, a line a member, in the order of names.
func hashMembers(list []Member) uint64 {
	h := sha256.New()
	for _, m := range sortMembers(list) {
		fmt.Fprintf(h, "%s %d %s\n", m.Node, m.Number, m.Address)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// raise puts this node's incarnation above what another node has seen of it.
func (p *Peers) raise(least uint64) error {
	n, err := p.opts.Incarnation.Raise(least)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.own.Reincarnate(n)
	p.mu.Unlock()
	p.opts.Log.Warn("incarnation raised", "incarnation", n, "cause", "another node has seen a greater one of this node")
	return nil
}

// ConsistencyCheck compares what is counted with what is there. The error names every difference.
func (p *Peers) ConsistencyCheck() error {
	p.mu.Lock()
	errs := []error{p.own.Check()}
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

// log writes an event of a link, unless one of the same peer and cause has been written within this second.
func (p *Peers) log(event string, err error, peer string, args ...any) {
	p.events.Event(event, peer+": "+causeOf(err), err, append([]any{"peer", peer}, args...)...)
}

// ownCauses are those that mean the same wherever they come from.
var ownCauses = []error{
	errStopped, errSuperseded, errRemoved, errHandshake, errRefused, registry.ErrSilent, registry.ErrOneWay,
	frameconn.ErrClosed, frameconn.ErrPreface, frameconn.ErrSlow, frameconn.ErrStalled, frameconn.ErrEntrance,
}

// causeOf sorts an end for counting. The text of an error will not do: it holds what the other side sent, or its port.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	if breach, ok := errors.AsType[*wire.Error](err); ok {
		return breach.Code.String()
	}
	for _, own := range ownCauses {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "network"
}
