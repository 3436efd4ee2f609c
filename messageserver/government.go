package messageserver

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/audit"
	"github.com/twohop/twohop/messageserver/internal/peer"
	"github.com/twohop/twohop/messageserver/internal/peer/inbound"
	"github.com/twohop/twohop/messageserver/internal/quota"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

// government is what a node governs its calls by, and what it tells its operators: rules and their store, leases of limits
// that the mesh shares, what was counted, alarms, and who changed what.
type government struct {
	// Static after construction.
	server   *Server
	calendar governance.Calendar
	store    rulestore.Store // nil: rules cannot change
	keeps    bool            // the store is this node's own, for all of the mesh
	rules    *rulestore.Rules
	leases   *quota.Leases
	books    *stats.Books
	audit    *audit.Log
	alarms   *alarm.Alarms
	heard    chan struct{} // has an element while somebody has newer rules

	// Guarded by mu.
	mu      sync.Mutex
	newer   map[string]peer.Rules // nodes that have newer rules, or others of the same version: which
	refused map[string]peer.Rules // what was asked for and could not be taken
	differs map[string]differs    // nodes that have other rules

	exceeded exceeded
}

// Files in a node's DataDir.
const (
	rulesFile      = "rules.bolt"  // the keeper's
	rulesCacheFile = "rules.cache" // the newest document that the node has seen
	auditFile      = "audit.jsonl"
)

// openGovernment makes what calls are governed by, before there is a router that asks it.
func (s *Server) openGovernment() (err error) {
	o := &s.opts
	g := &government{server: s, heard: make(chan struct{}, 1), newer: make(map[string]peer.Rules), refused: make(map[string]peer.Rules), differs: make(map[string]differs)}
	s.government = g
	g.exceeded = exceeded{node: o.Node, counts: g.limitCounts, seen: make(map[string]*excess)}
	g.calendar.Set(s.clock.Now(), time.Now().UnixNano())
	if o.DataDir != "" {
		if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
	}
	if g.store, err = g.openStore(); err != nil {
		return err
	}
	if g.audit, err = g.openAudit(); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	g.rules, err = rulestore.New(rulestore.Options{
		Node: o.Node, Store: g.store, Cache: g.path(rulesCacheFile), File: o.Rules.WatchFile, FileWaits: g.fileWaits(),
		Calendar: &g.calendar, Now: s.clock.Now, Known: known{s}, Audit: g.record, Changed: g.rulesChanged, Log: o.Log,
	})
	if err != nil {
		return err
	}
	g.books, err = stats.New(stats.Options{
		Node: o.Node, Dir: o.DataDir, MaxCallers: o.Stats.MaxSubjects, Now: s.clock.Now, Wall: time.Now, Handlers: g.handlers, Log: o.Log,
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	g.leases = quota.New(quota.Options{
		Node: o.Node, Members: s.memberNames, Reached: s.reachedNames, Ask: g.askQuota, Limits: sharedLimits(g.rules), Now: s.clock.Now, Log: o.Log,
	})
	g.alarms, err = alarm.New(alarm.Options{
		Node: o.Node, Mesh: o.Mesh, Sources: g.conditions(), Alertmanager: o.Alarms.Alertmanager, Webhook: string(o.Alarms.Webhook),
		Elsewhere: g.alarmsElsewhere, Log: o.Log,
	})
	return err
}

// fileWaits is for how long a file of rules does not begin an empty store: links are up by then, and other nodes have said what they have.
func (g *government) fileWaits() time.Duration {
	if g.server.opts.inMesh() {
		return 3 * time.Second
	}
	return 0
}

// path returns a file of the data folder, or "" where nothing is kept.
func (g *government) path(name string) string {
	if g.server.opts.DataDir == "" {
		return ""
	}
	return filepath.Join(g.server.opts.DataDir, name)
}

// openStore returns where the rules are kept: Redis, this node's own file, or what the keeper says.
func (g *government) openStore() (rulestore.Store, error) {
	o := &g.server.opts
	switch {
	case len(o.Redis.Addresses) > 0:
		r := &o.Redis
		s, err := rulestore.OpenRedis(rulestore.RedisOptions{
			Addresses: r.Addresses, Username: r.Username, Password: string(r.Password), DB: r.DB, Master: r.Master, Prefix: r.Prefix,
		})
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		return s, nil
	case o.keepsOwn() && o.DataDir == "":
		g.keeps = true
		return rulestore.NewMemory(), nil
	case o.keepsOwn():
		g.keeps = true
		s, err := rulestore.OpenBolt(g.path(rulesFile))
		if err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}
		return s, nil
	case o.Keeper != "":
		return rulestore.NewRemote(func(ctx context.Context, method string, body []byte) ([]byte, error) {
			return g.server.mesh.peers.Ask(ctx, o.Keeper, method, body)
		}), nil
	}
	return nil, nil
}

// openAudit returns where changes are recorded.
func (g *government) openAudit() (*audit.Log, error) {
	opts := audit.Options{Log: g.server.opts.Log}
	if path := g.path(auditFile); path != "" {
		return audit.Open(path, opts)
	}
	return audit.Memory(0, opts), nil
}

// run watches rules, renews leases, counts and looks for alarms until ctx is done.
func (g *government) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { g.rules.Run(ctx) })
	all.Go(func() { g.leases.Run(ctx) })
	all.Go(func() {
		if err := g.books.Run(ctx); err != nil {
			g.server.opts.Log.Error("statistics lost", "cause", err)
		}
	})
	all.Go(func() { g.alarms.Run(ctx) })
	all.Go(func() { g.server.sessions.PollCounts(ctx, countsEvery) })
	all.Go(func() { g.follow(ctx) })
	all.Wait()
}

// settle asks the store for the rules before modules are taken, so that their first calls are governed by the newest. Where the store
// does not answer, what the node has cached is in force.
func (g *government) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	_ = g.rules.Load(ctx) // it is a trouble, and Run tries again
	g.begin(ctx)
	if at := g.rules.Standing(); at.Rules == 0 {
		g.server.opts.Log.Info("no rules: every module may call every method that is not for operators", "version", markText(at.Mark))
	}
	if g.store == nil {
		g.server.opts.Log.Warn("nothing keeps the rules of this mesh, so they cannot change: name its keeper, or a Redis")
	}
}

// begin has a node that is alone, and finds no rules where it keeps them, put down that there are none. Servers that enforce what an
// earlier run of it has told them, which this one has not kept, take it for newer and let go.
func (g *government) begin(ctx context.Context) {
	if !g.keeps || g.server.opts.inMesh() || g.rules.Standing().Mark != (governance.Mark{}) {
		return
	}
	_, err := g.rules.Apply(ctx, rulestore.Change{
		Text: []byte("format: 1\nrules: []\n"), From: &governance.Mark{}, Author: "node:" + g.server.opts.Node, Reason: "the node has kept no rules",
	})
	if err != nil {
		g.server.opts.Log.Warn("rules not begun", "cause", err)
	}
}

// countsEvery is how often instances are asked what their handlers have done.
const countsEvery = 10 * time.Second

// close gives back what was opened. It may be called twice.
func (g *government) close() {
	if g.store != nil {
		_ = g.store.Close() // what is in it is safe
	}
	if g.books != nil {
		g.books.Close()
	}
	if g.audit != nil {
		_ = g.audit.Close() // what is in it is safe
	}
}

// rulesChanged tells whom the rules in force concern: the servers, and the other nodes.
func (g *government) rulesChanged() {
	if s := g.server.sessions; s != nil {
		s.RulesChanged()
	}
	if m := g.server.mesh; m != nil && m.peers != nil {
		m.peers.RulesChanged()
	}
}

// nodeMethods are what other nodes may ask this one about governance.
func (g *government) nodeMethods() map[string]inbound.Method {
	all := map[string]inbound.Method{
		quotaMethod: func(_ context.Context, body []byte) ([]byte, error) { return g.leases.Serve(body) },
	}
	if g.keeps {
		for name, method := range rulestore.Serve(g.store) {
			all[name] = inbound.Method(method)
		}
	}
	return all
}

// quotaMethod is the method of _node by which the owner of a limit is asked for shares.
const quotaMethod = "Quota"

func (g *government) askQuota(ctx context.Context, node string, body []byte) ([]byte, error) {
	if g.server.mesh == nil {
		return nil, errAlone
	}
	return g.server.mesh.peers.Ask(ctx, node, quotaMethod, body)
}

// handlers are what instances with a session at this node have said of their handlers.
func (g *government) handlers() (all []stats.HandlerCounts) {
	for _, c := range g.server.sessions.HandlerCounts() {
		all = append(all, stats.HandlerCounts{
			Module: c.Module, Instance: c.UUID, Method: c.Method, Started: c.Started, Finished: c.Finished, Refused: c.Refused + c.Expired,
		})
	}
	return all
}

// record writes down a change of rules before it is made.
func (g *government) record(ctx context.Context, r rulestore.Record) error {
	var details json.RawMessage
	if len(r.Changes) > 0 {
		var err error
		if details, err = json.Marshal(r.Changes); err != nil {
			return err
		}
	}
	return g.audit.Append(ctx, audit.Record{
		Author: r.Author, Action: "rules." + r.Action, Target: "rules", Reason: r.Reason, Node: r.Node, Remote: admin.Remote(ctx),
		From: markText(r.From), To: markText(r.To) + " " + r.Hash, Result: r.Result, Details: details,
	})
}

func markText(m governance.Mark) string { return fmt.Sprintf("%d.%d", m.Epoch, m.Version) }
