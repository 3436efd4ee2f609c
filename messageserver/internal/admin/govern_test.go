package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/alarm"
	"github.com/twohop/twohop/messageserver/internal/audit"
	"github.com/twohop/twohop/messageserver/internal/quota"
	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
	"github.com/twohop/twohop/messageserver/internal/stats"
)

// governed is what a node has that governs: the real rooms, over a store that all nodes share.
type governed struct {
	now    func() time.Duration
	rules  *rulestore.Rules
	stats  *stats.Books
	alarms *alarm.Alarms
	audit  *audit.Log
	quota  *quota.Leases

	remote atomic.Pointer[string] // from where the last change came that was recorded
	broken atomic.Bool            // the audit log takes nothing

	// Guarded by mu.
	mu       sync.Mutex
	holds    []alarm.Alarm                  // what there is to be heard
	servers  map[string]int                 // server sessions by module
	enforces func(mark governance.Mark) int // how many of a module's sessions enforce a mark; nil: all
}

func (g *governed) into(src *Sources) {
	src.Now, src.Rules, src.Stats, src.Alarms, src.Audit, src.Quota, src.Enforcing = g.now, g.rules, g.stats, g.alarms, g.audit, g.quota, g.enforcing
}

func (g *governed) enforcing(module string, mark governance.Mark) (servers, enforcing int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, n := range g.servers {
		if module == "" || module == name {
			servers += n
		}
	}
	if g.enforces == nil {
		return servers, servers
	}
	return servers, min(servers, g.enforces(mark))
}

// serve says how many server sessions there are, and how many of them enforce a mark.
func (g *governed) serve(module string, n int, enforces func(governance.Mark) int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.servers, g.enforces = map[string]int{module: n}, enforces
}

var errDiskFull = errors.New("the disk is full")

// record is rulestore.Options.Audit.
func (g *governed) record(ctx context.Context, r rulestore.Record) error {
	if g.broken.Load() {
		return errDiskFull
	}
	remote := Remote(ctx)
	g.remote.Store(&remote)
	return g.audit.Append(ctx, audit.Record{
		Author: r.Author, Action: "rules." + r.Action, Reason: r.Reason, From: markText(r.From), To: markText(r.To), Node: r.Node, Remote: remote,
	})
}

// govern starts nodes that are linked, have rules from one store, and count. Node a is served.
func govern(t *testing.T, names ...string) *world {
	t.Helper()
	return governFrom(t, rulestore.NewMemory(), names...)
}

func governFrom(t *testing.T, store rulestore.Store, names ...string) *world {
	t.Helper()
	began := time.Now()
	w := &world{t: t, nodes: make(map[string]*node), peers: make(map[string]*peers)}
	var members []Member
	for i, name := range names {
		members = append(members, Member{Node: name, Number: i, Address: "10.0.0.1:7072"})
	}
	for i, name := range names {
		p := &peers{world: w, self: name, members: members}
		for j, other := range members {
			if i != j {
				p.links = append(p.links, Link{Peer: other.Node, Number: j, State: "up"})
			}
		}
		g := newGoverned(t, name, store, func() time.Duration { return time.Since(began) })
		n := &node{t: t, name: name, router: router.New(router.Options{Node: name}, g.now), peers: p, governed: g}
		w.peers[name], w.nodes[name] = p, n
		n.register("pay", "1", "Charge", "Refund")
	}
	w.nodes[names[0]].serve()
	return w
}

func newGoverned(t *testing.T, name string, store rulestore.Store, now func() time.Duration) *governed {
	t.Helper()
	g := &governed{now: now, audit: audit.Memory(0, audit.Options{})}
	var err error
	if g.rules, err = rulestore.New(rulestore.Options{Node: name, Store: store, Now: now, Audit: g.record, Epoch: func() uint64 { return 1 }}); err != nil {
		t.Fatal(err)
	}
	if g.stats, err = stats.New(stats.Options{Node: name, Dir: t.TempDir(), Now: now, Wall: time.Now}); err != nil {
		t.Fatal(err)
	}
	g.alarms, err = alarm.New(alarm.Options{Node: name, Mesh: "m", Every: time.Millisecond, Sources: []alarm.Source{func() []alarm.Alarm {
		g.mu.Lock()
		defer g.mu.Unlock()
		return append([]alarm.Alarm(nil), g.holds...)
	}}})
	if err != nil {
		t.Fatal(err)
	}
	g.quota = quota.New(quota.Options{
		Node: name, Members: func() []string { return []string{name} }, Reached: func() []string { return []string{name} },
		Ask:    func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("nobody is asked") },
		Limits: func() []quota.Limit { return nil }, Now: now,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.rules.Run(ctx) })
	running.Go(func() { g.alarms.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		g.stats.Close()
	})
	return g
}

// call counts calls of one subject that were answered.
func (g *governed) call(caller, module, method string, times int) {
	m := g.stats.Meter(governance.Subject{Caller: caller, Module: module, Method: method})
	for range times {
		m.Entered()
		m.Started()
		m.Finished(0, time.Millisecond)
	}
}

// refuses notes a call that a rule has refused.
func (g *governed) refuses(id uint64, caller, method, rule string) {
	g.rules.Note(g.now(), id, &governance.Call{Caller: caller, Module: "pay", Method: method},
		governance.Verdict{Code: 21, RuleID: rule, RuleVersion: 1, RetryAfter: 1500 * time.Microsecond})
}

// send asks for a change, and reads what comes back.
func (n *node) send(method, path, kind, body string, into any, edit ...func(*http.Request)) (status int) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, "http://"+n.address+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	for _, e := range edit {
		e(r)
	}
	response, err := client.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(bytes.TrimSpace(text), into); err != nil {
			n.t.Errorf("%s %s answers %q: %v", method, path, text, err)
		}
	}
	return response.StatusCode
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// changed is what any change of the rules is answered with.
type changed struct {
	Status int `json:"-"`
	Error  string
	switched
	Problems []struct {
		Line, Column int
		Message      string
	}
	Has      versionView
	NoSuch   bool `json:"no_such_version"`
	Switches []struct{ ID, Module, Caller string }
	Nodes    []nodeRow `json:"nodes"`
}

// nodeRow is how a node stands, as an operator reads it.
type nodeRow struct {
	Node, Error        string
	Mark               *governance.Mark // nil: it was not heard
	Hash               string
	Servers, Enforcing int
	InForceMS          *float64 `json:"in_force_ms"`
	SDKMS              *float64 `json:"sdk_ms"`
}

// lines writes the changes.
func (c *changed) lines() string {
	var all []string
	for _, one := range c.Changes {
		all = append(all, string(one.Op)+" "+one.ID)
	}
	return strings.Join(all, ", ")
}

// putRules replaces the document.
func (n *node) putRules(match, text string, edit ...func(*http.Request)) (c changed) {
	n.t.Helper()
	edit = append([]func(*http.Request){header("X-Reason", "a test"), header("X-Author", "kim")}, edit...)
	if match != "" {
		edit = append(edit, header("If-Match", match))
	}
	c.Status = n.send(http.MethodPut, "/v1/rules", asYAML, text, &c, edit...)
	return c
}

// turn uses a switch.
func (n *node) turn(body string) (c changed) {
	n.t.Helper()
	c.Status = n.send(http.MethodPost, "/v1/switches", asJSON, body, &c)
	return c
}

// etag returns what If-Match has to be.
func (n *node) etag() string {
	n.t.Helper()
	_, _, h := n.get("/v1/rules")
	return h.Get("ETag")
}

const (
	payLimit = "format: 1\nrules:\n  - {id: pay-limit, module: pay, rate: {per_second: 100}}\n"
	payOff   = "format: 1\nrules:\n  - {id: pay-limit, module: pay, rate: {per_second: 100}}\n  - {id: pay-off, module: pay, caller: web, off: {}}\n"
)
