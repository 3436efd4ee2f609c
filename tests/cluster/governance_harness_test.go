package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
)

// governed is a mesh whose nodes have operators. Its keeper is "a", unless the story says otherwise.
type governed struct {
	*mesh
	http *http.Client
}

// onEachGoverned tells a story over memory and over TCP, side by side.
func onEachGoverned(t *testing.T, names []string, story func(t *testing.T, g *governed)) {
	atOnce(
		func() { t.Run("memory", func(t *testing.T) { story(t, govern(t, true, names...)) }) },
		func() { t.Run("tcp", func(t *testing.T) { story(t, govern(t, false, names...)) }) },
	)
}

// govern starts nodes that are governed, and waits until all links are up.
func govern(t *testing.T, memory bool, names ...string) *governed {
	t.Helper()
	return governWith(t, memory, func(o *messageserver.Options) { o.Keeper = "a" }, names...)
}

// governWith is govern with options of the story.
func governWith(t *testing.T, memory bool, edit func(*messageserver.Options), names ...string) *governed {
	t.Helper()
	connections := &http.Transport{}
	t.Cleanup(connections.CloseIdleConnections) // when the nodes have stopped
	g := &governed{newMesh(t, memory, names...), &http.Client{Transport: connections, Timeout: patience}}
	g.every = append(g.every, func(o *messageserver.Options) { o.Admin.Listen = "127.0.0.1:0" }, edit)
	for _, name := range names {
		g.startNode(name)
	}
	g.wantUp()
	return g
}

// stopAll stops all nodes at once, as operators do.
func (g *governed) stopAll() {
	g.t.Helper()
	var all []func()
	for _, h := range g.running() {
		all = append(all, func() { g.stopNode(h.name) })
	}
	atOnce(all...)
}

// operator steers the mesh at one node.
type operator struct {
	g    *governed
	name string
	node string
}

// operatorAt returns somebody who asks one node.
func (g *governed) operatorAt(name, node string) *operator { return &operator{g, name, node} }

// answer is what a node has answered to an operator.
type answer struct {
	status int
	etag   string
	body   []byte
}

// ask makes a request. A body that is text is a document of rules; another one becomes JSON.
func (o *operator) ask(method, path string, body any, headers ...string) *answer {
	o.g.t.Helper()
	h := o.g.hosts[o.node]
	if h.node == nil {
		o.g.t.Fatalf("%s asks node %s, which does not run", o.name, o.node)
	}
	var content io.Reader
	kind := ""
	switch body := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(body), "application/yaml"
	default:
		text, err := json.Marshal(body)
		if err != nil {
			o.g.t.Fatal(err)
		}
		content, kind = bytes.NewReader(text), "application/json"
	}
	r, err := http.NewRequestWithContext(o.g.ctx, method, "http://"+h.node.AdminAddr()+path, content)
	if err != nil {
		o.g.t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := o.g.http.Do(r)
	if err != nil {
		o.g.t.Fatalf("%s %s at node %s: %v", method, path, o.node, err)
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, etag: response.Header.Get("ETag")}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		o.g.t.Fatalf("%s %s at node %s: %v", method, path, o.node, err)
	}
	return a
}

// into reads a JSON answer.
func (a *answer) into(g *governed, v any) {
	g.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		g.t.Fatalf("the answer is no JSON: %v: %.200s", err, a.body)
	}
}

// get wants an answer with status 200.
func (o *operator) get(path string, v any) {
	o.g.t.Helper()
	a := o.ask(http.MethodGet, path, nil)
	if a.status != http.StatusOK {
		o.g.t.Fatalf("GET %s at node %s: %d %s", path, o.node, a.status, a.body)
	}
	a.into(o.g, v)
}

// mark is the version of a document.
type mark struct {
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`
}

func (m mark) String() string { return fmt.Sprintf("%d.%d", m.Epoch, m.Version) }

// changed is what a node answers to a change of the rules, made or refused.
type changed struct {
	Error     string `json:"error"`
	Mark      mark   `json:"mark"`
	Converged bool   `json:"converged"`
	Unchanged bool   `json:"unchanged"`
	ID        string `json:"id"`
	Nodes     []struct {
		Node      string   `json:"node"`
		Error     string   `json:"error"`
		Mark      mark     `json:"mark"`
		Servers   int      `json:"servers"`
		Enforcing int      `json:"enforcing"`
		InForceMS *float64 `json:"in_force_ms"`
		SDKMS     *float64 `json:"sdk_ms"`
	} `json:"nodes"`
	Has struct {
		Mark   mark   `json:"mark"`
		Author string `json:"author"`
	} `json:"has"`
	Changes []struct {
		Op string `json:"op"`
		ID string `json:"id"`
	} `json:"changes"`
	Problems []struct {
		Line    int    `json:"line"`
		Message string `json:"message"`
	} `json:"problems"`
}

// change makes a change, and returns what became of it.
func (o *operator) change(method, path string, body any, headers ...string) (c changed, status int) {
	o.g.t.Helper()
	a := o.ask(method, path, body, headers...)
	a.into(o.g, &c)
	return c, a.status
}

// puts replaces the rules, and wants them in force everywhere.
func (o *operator) puts(rules ...string) changed {
	o.g.t.Helper()
	c, status := o.put("*", rules...)
	return o.wantMade(c, status)
}

// put replaces the rules of a version, and returns what became of it.
func (o *operator) put(match string, rules ...string) (c changed, status int) {
	o.g.t.Helper()
	return o.change(http.MethodPut, "/v1/rules", document(rules...), "If-Match", match, "X-Reason", "a story", "X-Author", o.name)
}

// document is the text of rules, a line each.
func document(rules ...string) string {
	text := "format: 1\nrules:\n"
	if len(rules) == 0 {
		return "format: 1\nrules: []\n"
	}
	for _, r := range rules {
		text += "  - {" + r + "}\n"
	}
	return text
}

// turns sets a switch, and wants it in force everywhere. Fields are those of the API, besides reason and author.
func (o *operator) turns(action string, fields map[string]any) changed {
	o.g.t.Helper()
	c, status := o.turn(action, fields)
	return o.wantMade(c, status)
}

// turn sets a switch, and returns what became of it.
func (o *operator) turn(action string, fields map[string]any) (c changed, status int) {
	o.g.t.Helper()
	body := map[string]any{"action": action, "reason": "a story", "author": o.name}
	maps.Copy(body, fields)
	return o.change(http.MethodPost, "/v1/switches", body)
}

// soon is how long a change may take until it is in force at every node, and in every server.
const soon = time.Second

// wantMade wants a change to have been made, and to be in force at every node that runs, and in every server, within a second.
func (o *operator) wantMade(c changed, status int) changed {
	t := o.g.t
	t.Helper()
	if status != http.StatusOK || !c.Converged {
		t.Fatalf("a change by %s at %s: %d, %+v", o.name, o.node, status, c)
	}
	var heard []string
	var slowest time.Duration
	for _, n := range c.Nodes {
		heard = append(heard, n.Node)
		if took := asDuration(n.InForceMS); took > soon {
			t.Errorf("the change is in force at node %s after %v, want it within %v", n.Node, took, soon)
		} else {
			slowest = max(slowest, took)
		}
		if n.Enforcing != n.Servers {
			t.Errorf("at node %s %d of %d servers enforce the change", n.Node, n.Enforcing, n.Servers)
		}
		if took := asDuration(n.SDKMS); n.Servers > 0 && took > soon {
			t.Errorf("the servers at node %s enforce the change after %v, want it within %v", n.Node, took, soon)
		} else if n.Servers > 0 {
			slowest = max(slowest, took)
		}
	}
	slices.Sort(heard)
	var run []string
	for _, h := range o.g.running() {
		run = append(run, h.name)
	}
	if !slices.Equal(heard, run) {
		t.Errorf("the change by %s tells of the nodes %v, want %v", o.name, heard, run)
	}
	t.Logf("%s: version %v is in force everywhere after %v", o.node, c.Mark, slowest)
	return c
}

// asDuration reads milliseconds that are missing where something has not come about.
func asDuration(ms *float64) time.Duration {
	if ms == nil {
		return math.MaxInt64
	}
	return time.Duration(*ms * float64(time.Millisecond)).Round(time.Millisecond)
}

// query writes the values of a query.
func query(path string, keysAndValues ...string) string {
	v := url.Values{}
	for i := 0; i < len(keysAndValues); i += 2 {
		v.Set(keysAndValues[i], keysAndValues[i+1])
	}
	return path + "?" + v.Encode()
}
