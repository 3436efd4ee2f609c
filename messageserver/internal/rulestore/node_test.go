package rulestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
	"github.com/twohop/twohop/internal/testkit"
)

// node is one whose rules run, with ears for all that they say.
type node struct {
	*Rules

	t       *testing.T
	news    chan struct{} // it has logged something, or has changed
	changed atomic.Int64  // calls of Changed
	stop    func()        // ends Run and waits
	lines   chan string   // what it has logged as a warning, if there is room

	mu      sync.Mutex
	records []Record
	deaf    error // the answer of Audit
}

func (n *node) Enabled(context.Context, slog.Level) bool { return true }
func (n *node) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *node) WithGroup(string) slog.Handler            { return n }
func (n *node) Handle(_ context.Context, line slog.Record) error {
	line.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), secret) {
			n.t.Errorf("the log shows a secret: %s %v", line.Message, a)
		}
		return true
	})
	if line.Level == slog.LevelWarn {
		said := line.Message
		line.Attrs(func(a slog.Attr) bool {
			said += " " + a.String()
			return true
		})
		select {
		case n.lines <- said:
		default:
		}
	}
	notify(n.news)
	return nil
}

// wantWarning waits until it is logged.
func (n *node) wantWarning(parts ...string) {
	n.t.Helper()
	late := time.After(15 * time.Second)
	for {
		select {
		case said := <-n.lines:
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(said, p) }) {
				return
			}
		case <-late:
			n.t.Fatalf("no warning of %q; %+v, troubles %v", parts, n.Standing(), n.Troubles())
		}
	}
}

// secret is the password of rules here. Nothing shows it.
const secret = "correct horse battery staple"

// newNode returns a node that does not run yet.
func newNode(t *testing.T, o Options) *node {
	t.Helper()
	n := &node{t: t, news: make(chan struct{}, 1), stop: func() {}, lines: make(chan string, 100)}
	start := time.Now()
	o.Node, o.Log, o.Now = "a", slog.New(n), func() time.Duration { return time.Since(start) }
	if o.Epoch == nil {
		o.Epoch = func() uint64 { return 1 } // so that versions can be named: see version
	}
	o.Changed = func() {
		n.changed.Add(1)
		notify(n.news)
	}
	o.Audit = func(_ context.Context, r Record) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.records = append(n.records, r)
		return n.deaf
	}
	var err error
	if n.Rules, err = New(o); err != nil {
		t.Fatal(err)
	}
	return n
}

// startNode returns a node that runs until stop, at the latest until the test ends.
func startNode(t *testing.T, o Options) *node {
	t.Helper()
	n := newNode(t, o)
	n.run()
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx)
	}()
	n.stop = func() {
		cancel()
		<-ended
	}
	n.t.Cleanup(n.stop)
}

// want waits until something is so. It looks at each news, and now and then: what others do, nobody here is told.
func (n *node) want(what string, so func() bool) {
	n.t.Helper()
	late := time.After(15 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-n.news:
		case <-again.C:
		case <-late:
			n.t.Fatalf("%s: not so; %+v, troubles %v", what, n.Standing(), n.Troubles())
		}
	}
}

func (n *node) wantMark(m governance.Mark) {
	n.t.Helper()
	n.want("version "+name(m), func() bool { return n.Current().Mark == m })
}

func (n *node) wantTrouble(kind string, causes ...string) {
	n.t.Helper()
	n.want(fmt.Sprint("trouble ", kind, causes), func() bool {
		cause := n.trouble(kind)
		return cause != "" && !slices.ContainsFunc(causes, func(c string) bool { return !strings.Contains(cause, c) })
	})
}

func (n *node) wantNoTrouble(kind string) {
	n.t.Helper()
	n.want("no trouble "+kind, func() bool { return n.trouble(kind) == "" })
}

func (n *node) trouble(kind string) string {
	for _, one := range n.Troubles() {
		if one.Kind == kind {
			return one.Cause
		}
	}
	return ""
}

// off reports whether a method of the module m is off.
func (n *node) off(method string) bool {
	regime := n.Regime(governance.Subject{Caller: "web", Module: "m", Method: method})
	if regime == nil || regime.Policy == nil {
		return false
	}
	c := &governance.Call{Caller: "web", Module: "m", Method: method}
	v := regime.Policy.Admit(n.o.Now(), c)
	if v.Admitted() {
		regime.Policy.Settle(n.o.Now(), c, governance.Local)
	}
	return !v.Admitted()
}

func (n *node) apply(text string) Applied {
	n.t.Helper()
	applied, err := n.Apply(n.t.Context(), Change{Text: []byte(text), Author: "alice", Reason: "because"})
	if err != nil {
		n.t.Fatal(err)
	}
	return applied
}

// off is a document that switches methods of the module m off; a line is method, or method and until.
func offs(methods ...string) string {
	text := "format: 1\nrules:\n"
	for _, m := range methods {
		method, until, _ := strings.Cut(m, " ")
		text += fmt.Sprintf("  - id: %s-off\n    module: m\n    method: %s\n", method, method)
		if until != "" {
			text += "    until: " + until + "\n"
		}
		text += "    off: {}\n"
	}
	return text
}

func offRule(method string) rules.Rule {
	return rules.Rule{ID: method + "-off", Scope: rules.Scope{Module: "m", Method: method}, Off: &rules.Off{}}
}

func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }

func newBolt(t *testing.T) *Bolt {
	t.Helper()
	s, err := OpenBolt(filepath.Join(t.TempDir(), "rules.bolt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newRedis(t *testing.T, server *testkit.RedisServer) *Redis {
	t.Helper()
	s, err := OpenRedis(RedisOptions{Addresses: []string{server.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// broken is a store whose operations fail while there is an error for them.
type broken struct {
	Store

	mu  sync.Mutex
	err error
	put func(from governance.Mark, e Entry) error // in place of Put
}

func (s *broken) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *broken) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *broken) Newest(ctx context.Context) (Entry, error) {
	if err := s.failure(); err != nil {
		return Entry{}, err
	}
	return s.Store.Newest(ctx)
}

func (s *broken) Entry(ctx context.Context, m governance.Mark) (Entry, error) {
	if err := s.failure(); err != nil {
		return Entry{}, err
	}
	return s.Store.Entry(ctx, m)
}

func (s *broken) History(ctx context.Context, before governance.Mark, limit int) ([]Entry, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
	return s.Store.History(ctx, before, limit)
}

func (s *broken) Put(ctx context.Context, from governance.Mark, e Entry) error {
	if err := s.failure(); err != nil {
		return err
	}
	if s.put != nil {
		return s.put(from, e)
	}
	return s.Store.Put(ctx, from, e)
}

var errAway = errors.New("it is away")
