package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
)

// Options say what the module is and how much it takes on. Module and Addresses are required.
type Options struct {
	// Module is the name that it is called by.
	Module string
	// Addresses are the nodes of the mesh: host:port or unix:/path; one entry may name several, with commas.
	Addresses []string
	// Instance tells the processes of a module apart. Default: host, process id and a random part. A process that logs in
	// under the name of another replaces it.
	Instance string
	// Group is the part of the module that this process belongs to, if it has parts.
	Group string
	// Weight is its share of the calls, 1 to 1000. Default 100.
	Weight int
	// Secret proves who the module is; KeyID says which of its two valid secrets it is.
	Secret string
	KeyID  uint32
	// Zone and Version are shown to operators.
	Zone, Version string
	// Needs are the modules that this one calls: see Server.Ready.
	Needs []string

	// Connections is how many sessions the server keeps open, each with another node, so that calls reach it when a node is
	// lost: 1 to 4, default 2. Where the mesh has fewer nodes, it has fewer. All of them are one instance.
	Connections int
	// Queue is how many requests may wait for a handler; more are refused (OVERLOADED). Default 1,024.
	Queue int
	// Concurrency is how many handlers run at once. Default 256.
	Concurrency int
	// DrainTimeout is how long a stop waits for requests that are here before it cancels their contexts. Default 10 s.
	DrainTimeout time.Duration
	// Interceptors are around every handler, the first one outermost.
	Interceptors []Interceptor

	// Timeout bounds calls made by Client whose context has no deadline. Default 10 s.
	Timeout time.Duration
	// Dial replaces the dialing of an address: for TLS, proxies and tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger gets one line per change of a session, and at most one per second and cause of what handlers do. Default:
	// slog.Default.
	Logger *slog.Logger
	// OnConnect is called when a session is open, OnDisconnect when it has ended, with the cause. They must not wait for
	// calls, and may be called for different sessions at once.
	OnConnect    func(Connection)
	OnDisconnect func(c Connection, cause error)
}

const (
	defaultConnections  = 2
	defaultQueue        = 1024
	defaultConcurrency  = 256
	defaultDrainTimeout = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = defaultConnections
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.Concurrency == 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = defaultDrainTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) validate() error {
	var problems []error
	for _, n := range []struct {
		name  string
		value int
	}{{"Queue", o.Queue}, {"Concurrency", o.Concurrency}, {"Weight", o.Weight}, {"DrainTimeout", int(o.DrainTimeout)}} {
		if n.value < 0 {
			problems = append(problems, fmt.Errorf("%s is %d, must not be negative", n.name, n.value))
		}
	}
	return errors.Join(problems...)
}

func (o Options) translate(server caller.Server) caller.Options {
	return caller.Options{
		Addresses: o.Addresses, Connections: o.Connections, Secret: o.Secret, Timeout: o.Timeout, Server: server,
		Login: &pb.Login{
			Module: o.Module, Instance: o.Instance, Group: o.Group, Weight: uint32(max(0, o.Weight)), Zone: o.Zone,
			AppVersion: o.Version, Needs: o.Needs, KeyId: o.KeyID, Role: pb.Role_ROLE_SERVER,
		},
		Dial: o.Dial, Logger: o.Logger, OnConnect: o.OnConnect, OnDisconnect: o.OnDisconnect,
	}
}
