package rpcclient

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/twohop/twohop/internal/caller"
	"github.com/twohop/twohop/proto/pb"
)

// Options say who the program is. Only Module is required.
type Options struct {
	// Module is the name that rules and statistics know the program by.
	Module string
	// Instance tells the processes of a module apart. Default: host, process id and a random part.
	Instance string
	// Group is the part of the module that this process belongs to, if it has parts.
	Group string
	// Addresses are further nodes, besides those of Dial. The nodes name all others that they reach.
	Addresses []string
	// Secret proves who the module is; KeyID says which of its two valid secrets it is. Default: none, which nodes accept
	// from the same machine only, if at all.
	Secret string
	KeyID  uint32
	// Lifetime Short is for programs that end soon: nodes do not ping them. Default Long.
	Lifetime Lifetime
	// Zone and Version are shown to operators.
	Zone, Version string

	// Timeout bounds calls whose context has no deadline and that have no Timeout of their own. Default 10 s.
	Timeout time.Duration
	// Dial replaces the dialing of an address: for TLS, proxies and tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger gets one line per change of the session. Default: slog.Default.
	Logger *slog.Logger
	// OnConnect is called when a session is open, OnDisconnect when it has ended, with the cause. They are not called for
	// tries that failed. While they run, nothing else happens to the session: they must not wait for calls.
	OnConnect    func(Connection)
	OnDisconnect func(c Connection, cause error)
}

// Lifetime says how long a program's connection is meant to last.
type Lifetime uint8

// The lifetimes.
const (
	Long  Lifetime = iota // pinged after silence
	Short                 // a script's
)

func (o Options) translate(addresses string) caller.Options {
	login := &pb.Login{
		Module: o.Module, Instance: o.Instance, Group: o.Group, Zone: o.Zone, AppVersion: o.Version,
		Role: pb.Role_ROLE_CALLER, KeyId: o.KeyID,
	}
	if o.Lifetime == Short {
		login.Lifetime = pb.Lifetime_LIFETIME_SHORT
	}
	return caller.Options{
		Addresses: append([]string{addresses}, o.Addresses...), Login: login, Secret: o.Secret, Timeout: o.Timeout,
		Dial: o.Dial, Logger: o.Logger, OnConnect: o.OnConnect, OnDisconnect: o.OnDisconnect,
	}
}
