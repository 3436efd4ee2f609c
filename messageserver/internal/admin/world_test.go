package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// world is nodes that ask each other by function calls; node a is served over HTTP.
type world struct {
	t     *testing.T
	nodes map[string]*node
	peers map[string]*peers
}

// meet starts nodes that are all linked. The first one is served.
func meet(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{t: t, nodes: make(map[string]*node), peers: make(map[string]*peers)}
	var members []Member
	for i, name := range names {
		members = append(members, Member{Node: name, Number: i, Address: fmt.Sprintf("10.0.0.%d:7072", i)})
	}
	for i, name := range names {
		p := &peers{world: w, self: name, members: members}
		for j, other := range members {
			if i != j {
				p.links = append(p.links, Link{
					Peer: other.Node, Number: j, Address: other.Address, State: "up", Seconds: 60, RTTMicros: 300,
				})
			}
		}
		w.peers[name] = p
		n := &node{t: t, name: name, router: router.New(router.Options{Node: name}, func() time.Duration { return time.Minute }), peers: p}
		w.nodes[name] = n
		if i == 0 {
			n.serve()
		}
	}
	return w
}

// peers is what one node of a world knows of the others.
type peers struct {
	// Static after construction.
	world *world
	self  string

	wrong   error  // what CheckMembers says
	refuses error  // what SetMembers says
	silent  bool   // it answers nothing that it is asked
	garbles bool   // it answers something else
	lose    func() // if set, the link is lost when something is asked
	before  func() // if set, called when members are about to be set

	// Guarded by mu.
	mu       sync.Mutex
	members  []Member
	links    []Link
	troubles []Trouble
	sets     int
	set      func() // after members have been set
}

func (p *peers) Links() []Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

func (p *peers) Troubles() []Trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.troubles)
}

func (p *peers) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.members)
}

func (p *peers) CheckMembers([]Member) error { return p.wrong }

func (p *peers) SetMembers(from string, members []Member) error {
	if p.before != nil {
		p.before()
	}
	p.mu.Lock()
	has := hashOf(p.members)
	switch {
	case from != has && has != hashOf(members):
		p.mu.Unlock()
		return &OtherListError{Node: p.self, Has: has, From: from}
	case p.refuses != nil:
		p.mu.Unlock()
		return p.refuses
	}
	p.members = members
	p.sets++
	then := p.set
	p.mu.Unlock()
	if then != nil {
		then()
	}
	return nil
}

func (p *peers) Ask(ctx context.Context, name, method string, body []byte) ([]byte, error) {
	n := p.world.nodes[name]
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n == nil {
		return nil, errors.New("no such node")
	}
	if p.lose != nil && method != "CheckMembers" {
		p.lose()
		return nil, errors.New("the link is lost")
	}
	switch of := p.world.peers[name]; {
	case of.silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case of.garbles:
		return []byte("<html>"), nil
	}
	src := n.sources()
	handle := src.NodeMethods()[method]
	if handle == nil {
		return nil, fmt.Errorf("UNIMPLEMENTED: _node.%s", method)
	}
	return handle(ctx, body)
}

// cut breaks the link from one node to another as the first one sees it.
func (w *world) cut(from, to, state, cause string) {
	p := w.peers[from]
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.links {
		if p.links[i].Peer == to {
			p.links[i].State, p.links[i].Seconds, p.links[i].Cause = state, 12, cause
		}
	}
}

// answered is the answer to a change.
type answered struct {
	Status  int    `json:"-"`
	Error   string `json:"error"`
	OK      bool   `json:"ok"`
	Hash    string `json:"members_hash"`
	Results []told `json:"results"`
}

// line writes how each node took it, a=ok b=failed.
func (a *answered) line() string {
	var parts []string
	for _, r := range a.Results {
		parts = append(parts, r.Node+"="+r.Result)
	}
	return strings.Join(parts, " ")
}

// put asks for a change of the members.
func (n *node) put(body, match string, edit ...func(*http.Request)) (a answered) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodPut, "http://"+n.address+"/v1/members", strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if match != "" {
		r.Header.Set("If-Match", match)
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
	if err := json.Unmarshal(text, &a); err != nil {
		n.t.Errorf("PUT answers %q: %v", text, err)
	}
	a.Status = response.StatusCode
	return a
}

// hash returns what a change of the list that is in force has to name.
func (n *node) hash() string {
	n.t.Helper()
	var got struct {
		Hash string `json:"members_hash"`
	}
	n.wantJSON("/v1/mesh", http.StatusOK, &got)
	if len(got.Hash) != 16 {
		n.t.Errorf("the hash is %q", got.Hash)
	}
	return got.Hash
}

// listOf writes a list of members.
func listOf(members ...Member) string {
	text, err := json.Marshal(memberList{members})
	if err != nil {
		panic(err)
	}
	return string(text)
}
