package peer

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/router"
)

// Options configure the peers of a node. Node, Mesh, Members, Incarnation, Router and Clock are needed; 0 elsewhere is the
// default.
type Options struct {
	Node          string   // this node's name
	Number        int      // and number, 0 to 511
	Mesh          string   // both sides of a link have the same
	Secret        string   // which both sides know; empty: none is asked for
	ModuleAddress string   // where modules connect to this node, for the others to tell
	Members       []Member // all of the mesh, this node among them
	Incarnation   *Incarnation
	Router        *router.Router
	Clock         *frameconn.Clock
	Log           *slog.Logger              // default slog.Default
	Methods       map[string]inbound.Method // what this node answers to calls of _node

	// Dial opens a connection to a member's address. Default TCP; names are resolved anew each time.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Rules returns which rules are in force at this node, for heartbeats. It takes no lock. Default: none are.
	Rules func() Rules
	// RulesHeard is called with what another node's heartbeat says of its rules, from any goroutine. It must not block.
	RulesHeard func(node string, rules Rules)
	// NodesChanged is called when Nodes returns something else than before, from any goroutine. It must not block.
	NodesChanged func()

	Heartbeat   time.Duration // default 1 s
	Dead        time.Duration // unheard in either direction; default 3.5 s
	Handshake   time.Duration // from connecting to WELCOME; default 5 s
	DialTimeout time.Duration // default 2 s
	Redial      time.Duration // the longest wait between two dials; default 5 s
	Drain       time.Duration // for calls under way when one side has removed the other; default 30 s
	Coalesce    time.Duration // changes of the registry are gathered for so long; default 10 ms
	Queue       int           // bytes waiting for a peer; default 64 MiB
	MaxMessage  int           // bytes of header and body over all parts; default 16 MiB + 4 KiB
}

// Rules names a document of rules. Hash is hex.
type Rules struct {
	Epoch, Version uint64
	Hash           string
}

// Member is one node of the mesh, as the list has it.
type Member struct {
	Node    string
	Number  int    // 0 to 511
	Address string // host:port of its listener for nodes
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Heartbeat, time.Second)
	set(&o.Dead, 3500*time.Millisecond)
	set(&o.Handshake, 5*time.Second)
	set(&o.DialTimeout, 2*time.Second)
	set(&o.Redial, 5*time.Second)
	set(&o.Drain, 30*time.Second)
	set(&o.Coalesce, 10*time.Millisecond)
	if o.Queue == 0 {
		o.Queue = 64 << 20
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = maxMessage
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if o.Rules == nil {
		o.Rules = func() Rules { return Rules{} }
	}
	if o.RulesHeard == nil {
		o.RulesHeard = func(string, Rules) {}
	}
	if o.NodesChanged == nil {
		o.NodesChanged = func() {}
	}
	return o
}
