package session

import (
	"log/slog"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/frameconn"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// Options configure the sessions of a node. Router, Clock, NextID and Node are needed; 0 elsewhere is the default.
type Options struct {
	Node   string                // this node's name
	Mesh   string                // the mesh's name, told to modules
	Router *router.Router        //
	Clock  *frameconn.Clock      //
	NextID func() uint64         // of calls and sessions
	Nodes  func() []*pb.Node     // the ways into the mesh, for WELCOME
	Log    *slog.Logger          // default slog.Default
	Keys   map[string]ModuleKeys // secrets by module; nil: no secret is asked for

	Governor governance.Governor // has what servers enforce next to their handlers; nil: nothing

	LoginTimeout    time.Duration // from accept to WELCOME; default 5 s
	Heartbeat       time.Duration // silence after which a long session is pinged; default 5 s
	Dead            time.Duration // silence after which it is closed; default 12 s
	ReplacedTimeout time.Duration // from a GOAWAY that is for good to the close, if the module does not; default 30 s
	Stalled         time.Duration // this process did not run for so long: sessions are closed; default 3.5 s
	CallerQueue     int           // bytes waiting for a caller; default 4 MiB
	ServerQueue     int           // bytes waiting for a server; default 8 MiB
	MaxMessage      int           // bytes of header and body over all parts; default 16 MiB
	MaxInFlight     int           // calls of one session; default 1,024
	MaxPending      int           // connections of one address that are not logged in; default 32
	LoginsPerSecond int           // of this node; default 500
}

// ModuleKeys are the secrets of one module by key id. Two are valid at a time, so that they can be changed.
type ModuleKeys map[uint32]string

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&o.LoginTimeout, 5*time.Second)
	set(&o.Heartbeat, 5*time.Second)
	set(&o.Dead, 12*time.Second)
	set(&o.ReplacedTimeout, 30*time.Second)
	set(&o.Stalled, 3500*time.Millisecond)
	num(&o.CallerQueue, 4<<20)
	num(&o.ServerQueue, 8<<20)
	num(&o.MaxMessage, 16<<20)
	num(&o.MaxInFlight, 1024)
	num(&o.MaxPending, 32)
	num(&o.LoginsPerSecond, 500)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Governor == nil {
		o.Governor = governance.NoRules{}
	}
	if o.Nodes == nil {
		o.Nodes = func() []*pb.Node { return nil }
	}
	return o
}
