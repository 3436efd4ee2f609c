package messageserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/peer"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// conditions are what this node's rooms find that an operator must hear.
func (g *government) conditions() []alarm.Source {
	return []alarm.Source{g.meshConditions, g.moduleConditions, g.ruleConditions, g.statsConditions, g.auditConditions, g.programConditions, g.exceeded.look}
}

// meshConditions are the troubles of links and members.
func (g *government) meshConditions() (all []alarm.Alarm) {
	m := g.server.mesh
	if m == nil {
		return nil
	}
	now := time.Now()
	for _, t := range m.Troubles() {
		all = append(all, alarm.Alarm{
			Kind: t.Kind, Subject: t.Peer, Text: t.Cause, Since: now.Add(-time.Duration(t.Seconds * float64(time.Second))),
		})
	}
	return all
}

// moduleConditions are modules that others need and nobody serves.
func (g *government) moduleConditions() (all []alarm.Alarm) {
	for module, who := range g.server.sessions.Needs() {
		all = append(all, alarm.Alarm{Kind: alarm.ModuleAbsent, Subject: module, Text: "it is needed by " + strings.Join(clipList(who, 5), ", ")})
	}
	return all
}

// clipList returns the first most elements, and how many more there are.
func clipList(all []string, most int) []string {
	if len(all) <= most {
		return all
	}
	return append(slices.Clone(all[:most]), fmt.Sprintf("%d more", len(all)-most))
}

// ruleConditions are the troubles with rules: at this node, and with nodes that have others.
func (g *government) ruleConditions() (all []alarm.Alarm) {
	for _, t := range g.rules.Troubles() {
		if t.Kind == rulestore.TroubleStoreDown && time.Since(t.Since) < downFor {
			continue // a node that starts reaches the keeper a moment later
		}
		all = append(all, alarm.Alarm{Kind: t.Kind, Subject: g.troubled(t.Kind), Text: t.Cause, Since: t.Since})
	}
	own, reached := g.inForce(), g.server.reachedNames()
	g.mu.Lock()
	defer g.mu.Unlock()
	for node, d := range g.differs {
		if time.Since(d.since) >= differsFor && slices.Contains(reached, node) {
			all = append(all, alarm.Alarm{
				Kind: alarm.RulesDiffer, Subject: node, Since: d.since,
				Text: fmt.Sprintf("%s has version %d.%d (%.8s), this node %d.%d (%.8s)", node, d.rules.Epoch, d.rules.Version, d.rules.Hash, own.Epoch, own.Version, own.Hash),
			})
		}
	}
	return all
}

// troubled names what a trouble with rules is about.
func (g *government) troubled(kind string) string {
	switch kind {
	case rulestore.TroubleStoreDown, rulestore.TroubleStoreOlder:
		return fmt.Sprint(g.store)
	case rulestore.TroubleInvalidFile, rulestore.TroubleFileWaits:
		return g.server.opts.Rules.WatchFile
	case rulestore.TroubleAuditFailed:
		return g.server.opts.Node
	case rulestore.TroubleCache:
		return g.path(rulesCacheFile)
	}
	return g.server.opts.Mesh
}

// downFor is for how long the store of the rules may be away before it is an alarm.
const downFor = 2 * time.Second

// differsFor is for how long nodes may have different rules: a new document reaches them one after the other.
const differsFor = 3 * time.Second

// differs is a node with other rules than this one.
type differs struct {
	rules peer.Rules
	since time.Time
}

// compareLocked notes whether a node has other rules than this one.
func (g *government) compareLocked(node string, has, own peer.Rules) {
	if has == own {
		delete(g.differs, node)
		return
	}
	d, was := g.differs[node]
	if !was {
		d.since = time.Now()
	}
	d.rules = has
	g.differs[node] = d
}

// statsConditions are what the statistics find: deviations, and what they cannot keep.
func (g *government) statsConditions() (all []alarm.Alarm) {
	for _, t := range g.books.Troubles() {
		all = append(all, alarm.Alarm{Kind: t.Kind, Subject: t.Subject, Text: t.Cause, Since: t.Since})
	}
	return all
}

// auditConditions says that changes cannot be recorded.
func (g *government) auditConditions() []alarm.Alarm {
	since, cause := g.audit.Failing()
	if cause == nil {
		return nil
	}
	return []alarm.Alarm{{Kind: alarm.AuditFailed, Subject: g.server.opts.Node, Text: cause.Error(), Since: since}}
}

// programConditions are what the program that runs the node finds.
func (g *government) programConditions() (all []alarm.Alarm) {
	if g.server.opts.Troubles == nil {
		return nil
	}
	now := time.Now()
	for _, t := range g.server.opts.Troubles() {
		all = append(all, alarm.Alarm{Kind: t.Kind, Subject: t.Peer, Text: t.Cause, Since: now.Add(-t.For)})
	}
	return all
}

// exceeded finds limits that more calls come to than they allow.
type exceeded struct {
	// Static after construction.
	node   string
	counts func() map[string]limitCount // by rule

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]limitCount
	seen map[string]*excess
}

// limitCount is what the rule of a limit has done.
type limitCount struct {
	refused, alarmed uint64
}

// excess is a limit that is exceeded.
type excess struct {
	since, last time.Time
	calls       uint64 // since then
	alarms      bool   // it only alarms
}

// exceededFor is how long a limit counts as exceeded after the last call above it: limits fill and empty every second.
const exceededFor = 15 * time.Second

// look implements alarm.Source.
func (x *exceeded) look() (all []alarm.Alarm) {
	now, counts := time.Now(), x.counts()
	x.mu.Lock()
	defer x.mu.Unlock()
	for rule, c := range counts {
		was, known := x.last[rule]
		more := c.refused - was.refused + c.alarmed - was.alarmed
		if !known || more == 0 || c.refused < was.refused || c.alarmed < was.alarmed {
			continue
		}
		e := x.seen[rule]
		if e == nil {
			e = &excess{since: now}
			x.seen[rule] = e
		}
		e.last, e.alarms = now, c.alarmed > was.alarmed
		e.calls += more
	}
	x.last = counts
	for _, rule := range slices.Sorted(maps.Keys(x.seen)) {
		e := x.seen[rule]
		if now.Sub(e.last) > exceededFor {
			delete(x.seen, rule)
			continue
		}
		did := "refused"
		if e.alarms {
			did = "let through"
		}
		all = append(all, alarm.Alarm{
			Kind: alarm.LimitExceeded, Subject: rule, Since: e.since,
			Text: fmt.Sprintf("%d calls above it were %s at node %s since %s", e.calls, did, x.node, e.since.UTC().Format(time.TimeOnly)),
		})
	}
	return all
}

// limitCounts says what the rules that limit have done at this node.
func (g *government) limitCounts() map[string]limitCount {
	counts := make(map[string]limitCount)
	for _, r := range g.rules.Set().Describe(g.server.clock.Now()) {
		if r.Kind == "rate" || r.Kind == "concurrency" {
			counts[r.ID] = limitCount{r.Refused, r.Alarmed}
		}
	}
	return counts
}

// alarmsElsewhere are what the other nodes list.
func (g *government) alarmsElsewhere(ctx context.Context) (all []alarm.Alarm) {
	if g.server.mesh == nil {
		return nil
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, node := range g.server.reachedNames()[1:] {
		asking.Go(func() {
			body, err := g.server.mesh.peers.Ask(ctx, node, alarmsInForce, nil)
			if err != nil {
				return // it is not heard: the alarm is said to be over without it
			}
			var listed []alarm.Alarm
			if json.Unmarshal(body, &listed) == nil {
				mu.Lock()
				all = append(all, listed...)
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return all
}
