package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/wire"
)

// net/http gives a client half a second to read why it was refused, and does not wait for that.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// node is what the tests look at through admin.
type node struct {
	t          *testing.T
	name       string
	peers      *peers // nil: it is alone
	router     *router.Router
	registered uint64 // sessions
	address    string

	closed, draining bool
	missing          map[string][]string
	differences      []error // what the next checks find
	sessions         []Session
	counts           SessionCounts
	asked            int // how often the books were checked

	governed *governed // nil: it has no rules, statistics, alarms
}

// start serves a node that is healthy and empty. It is changed between requests only.
func start(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, name: "a", router: router.New(router.Options{Node: "a"}, func() time.Duration { return time.Minute })}
	n.serve()
	return n
}

// serve answers for the node until the test ends.
func (n *node) serve() {
	n.t.Helper()
	s, err := New("127.0.0.1:0", n.sources())
	if err != nil {
		n.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { s.Serve(); close(served) }()
	n.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			n.t.Error(err)
		}
		<-served
	})
	n.address = s.Addr()
}

func (n *node) sources() Sources {
	src := Sources{
		Node: n.name, Number: 7, Mesh: "m", Version: "v1", Started: time.Unix(1700000000, 0), Address: "127.0.0.1:7070",
		Router:        n.router,
		Now:           func() time.Duration { return time.Minute },
		Sessions:      func() []Session { return n.sessions },
		SessionCounts: func() SessionCounts { return n.counts },
		Needs:         func() map[string][]string { return n.missing },
		Listening:     func() bool { return !n.closed },
		Draining:      func() bool { return n.draining },
		Consistency: func() error {
			n.asked++
			if len(n.differences) == 0 {
				return nil
			}
			err := n.differences[0]
			n.differences = n.differences[1:]
			return err
		},
		HashMembers: hashOf,
		Classes:     []string{"SUCCESS", "NOT_EXECUTED", "EXECUTED", "UNKNOWN"},
	}
	if n.peers != nil {
		src.Peers = n.peers
	}
	if n.governed != nil {
		n.governed.into(&src)
	}
	for _, c := range wire.Codes() {
		src.Codes = append(src.Codes, Code{Number: int(c), Name: c.String(), Class: c.Class().String()})
	}
	return src
}

// hashOf stands for the hash that nodes compare.
func hashOf(members []Member) string {
	h := fnv.New64a()
	for _, m := range slices.SortedFunc(slices.Values(members), byNode) {
		fmt.Fprintln(h, m)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// register adds an instance whose session's number is larger than JSON numbers are safe for.
func (n *node) register(module, instance string, methods ...string) {
	contracts := make(map[string]router.Contract)
	for _, m := range methods {
		contracts[m] = router.Contract{Visibility: "internal"}
	}
	n.router.Register(&router.Registration{
		Session: 1<<63 - 1 - n.registered, Module: module, Instance: instance, UUID: instance, Weight: 100,
		Methods: router.NewMethods(contracts), Remote: "unix",
	}, nowhere{})
	n.registered++
}

// nowhere is a target that takes nothing.
type nowhere struct{ router.Target }

func (nowhere) Replace() {}

var errDifference = errors.New("router: one and one are three")

// client has no connections left when a request is through.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// get asks for a path and returns the status and the body.
func (n *node) get(path string, edit ...func(*http.Request)) (status int, body string, header http.Header) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, "http://"+n.address+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
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
	return response.StatusCode, string(text), response.Header
}

// wantJSON asks for a path and reads its answer.
func (n *node) wantJSON(path string, status int, into any) {
	n.t.Helper()
	got, body, header := n.get(path)
	if got != status {
		n.t.Errorf("%s answers %d, want %d: %s", path, got, status, body)
	}
	if kind := header.Get("Content-Type"); kind != "application/json" {
		n.t.Errorf("%s answers %s", path, kind)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		n.t.Errorf("%s: %v: %s", path, err, body)
	}
}

func (n *node) wantText(path string, status int, part string) {
	n.t.Helper()
	if got, body, _ := n.get(path); got != status || !strings.Contains(body, part) {
		n.t.Errorf("%s answers %d %q, want %d and %q", path, got, body, status, part)
	}
}
