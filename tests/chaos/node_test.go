package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// node is a MessageServer on the host of its name, where it may be started again.
type node struct {
	world  *world
	host   *host
	name   string
	number int
	dir    string
	admin  *http.Client

	cmd   *exec.Cmd
	ended chan error
	told  *atomic.Bool // to end
}

// memberLine is a node in the list of members.
type memberLine struct {
	node    string
	number  int
	address string
}

// startMesh starts nodes, one on each host, and waits until all links are up.
func (w *world) startMesh(nodes ...string) {
	w.t.Helper()
	for _, name := range nodes {
		w.mesh = append(w.mesh, memberLine{name, len(w.mesh) + 1, w.host(name).ip + ":7072"})
	}
	w.startNodes(nodes...)
}

// startNodes starts the nodes of the mesh for the first time.
func (w *world) startNodes(nodes ...string) {
	w.t.Helper()
	for _, name := range nodes {
		h := w.host(name)
		n := &node{world: w, host: h, name: name, number: len(w.nodes) + 1, dir: filepath.Join(w.dir, name)}
		n.admin = &http.Client{Transport: &http.Transport{DialContext: h.dial}, Timeout: 3 * time.Second}
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
		w.nodes[name] = n
		n.start()
	}
	w.wantLinked(patience)
	w.baseline = map[string]map[string]float64{}
	for _, n := range w.nodes {
		w.baseline[n.name] = n.metrics()
	}
}

// listText is the list of members as its file has it.
func (w *world) listText() string {
	text := "members:\n"
	for _, m := range w.mesh {
		text += fmt.Sprintf("  - {node: %s, number: %d, address: %q}\n", m.node, m.number, m.address)
	}
	return text
}

// moduleAddress is where modules connect to the node. It is a name where the list of members has one.
func (n *node) moduleAddress() string {
	i := slices.IndexFunc(n.world.mesh, func(m memberLine) bool { return m.node == n.name })
	if host, _, _ := strings.Cut(n.world.mesh[i].address, ":"); strings.Trim(host, "0123456789.") != "" {
		return host + ":7070"
	}
	return n.host.ip + ":7070"
}

// start starts the node's process, for the first time or again, and waits until it serves.
func (n *node) start() {
	w := n.world
	w.t.Helper()
	var secrets strings.Builder
	for _, name := range names {
		fmt.Fprintf(&secrets, "    - {module: %s, key_id: 1, secret: %q}\n", name, secretOf(name))
	}
	file := func(name, text string) string {
		path := filepath.Join(n.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	file("members.yaml", w.listText())
	config := file("node.yaml", fmt.Sprintf(`node: %s
number: %d
mesh: chaos
listen: 0.0.0.0:7070
advertise: %s
data_dir: data
drain_timeout: 2s
admin: {listen: "127.0.0.1:7071"}
auth:
  mode: secret
  modules:
%s
peers:
  listen: 0.0.0.0:7072
  members_file: members.yaml
  secret: the secret of this mesh
`, n.name, n.number, n.moduleAddress(), secrets.String()))
	ready := filepath.Join(n.dir, "ready")
	_ = os.Remove(ready) // of a process that was killed
	delete(w.baseline, n.name)
	n.told, n.ended = &atomic.Bool{}, make(chan error, 1)
	n.cmd = exec.Command(w.program, "messageserver", "--config", config, "--ready-file", ready)
	w.startProcess(n.host, n.cmd, "node-"+n.name)
	go w.watch("node "+n.name, n.cmd, n.told.Load, n.ended)
	w.eventually("node "+n.name+" serves", patience, func() bool {
		_, err := os.Stat(ready)
		return err == nil
	})
}

func (n *node) running() bool { return !n.told.Load() }

// signal sends the node's process a signal.
func (n *node) signal(s syscall.Signal) {
	n.world.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.world.t.Fatalf("node %s: %v", n.name, err)
	}
}

// stop ends the node as an operator does.
func (n *node) stop() {
	n.world.t.Helper()
	if !n.running() {
		return
	}
	n.told.Store(true)
	n.signal(syscall.SIGTERM)
	select {
	case err := <-n.ended:
		if err != nil {
			n.world.t.Errorf("node %s ended with %v", n.name, err)
		}
	case <-time.After(patience * slack):
		n.world.t.Errorf("node %s does not end", n.name)
	}
}

// kill ends the node at once.
func (n *node) kill() {
	n.world.t.Helper()
	n.told.Store(true)
	n.signal(syscall.SIGKILL)
	<-n.ended
}

// get reads JSON of the node's admin listener. It reports whether the node answered.
func (n *node) get(path string, into any) bool {
	r, err := n.admin.Get("http://127.0.0.1:7071" + path)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK && json.NewDecoder(r.Body).Decode(into) == nil
}

// link is one node's end of a link, as /v1/links has it.
type link struct {
	Peer         string  `json:"peer"`
	State        string  `json:"state"`
	Seconds      float64 `json:"state_seconds"`
	Cause        string  `json:"cause"`
	RTTMicros    int64   `json:"rtt_us"`
	UnansweredMS int64   `json:"oldest_unanswered_ms"`
	Incarnation  string  `json:"incarnation"`
	Version      string  `json:"version"`
	Digest       string  `json:"digest"`
	InFlight     int     `json:"in_flight"`
	QueuedBytes  int     `json:"queued_bytes"`
}

type trouble struct {
	Kind  string `json:"kind"`
	Peer  string `json:"peer"`
	Cause string `json:"cause"`
}

// links returns the node's ends of its links, by the other node. It asks no other node.
func (n *node) links() (links map[string]link, troubles []trouble) {
	var answer struct {
		Nodes []struct {
			Links    []link    `json:"links"`
			Troubles []trouble `json:"troubles"`
		} `json:"nodes"`
	}
	links = map[string]link{}
	if n.get("/v1/links?scope=node", &answer) && len(answer.Nodes) > 0 {
		for _, l := range answer.Nodes[0].Links {
			links[l.Peer] = l
		}
		troubles = answer.Nodes[0].Troubles
	}
	return links, troubles
}

// path is one session of an instance, as a node knows it.
type path struct {
	Node    string `json:"node"`
	Session string `json:"session"`
	Usable  bool   `json:"usable"`
	Local   bool   `json:"local"`
}

// registry returns all sessions that a node knows of, by module and instance.
func (n *node) registry() (known map[string][]path, ok bool) {
	var answer struct {
		Modules []struct {
			Module    string `json:"module"`
			Instances []struct {
				Instance string `json:"instance"`
				Paths    []path `json:"paths"`
			} `json:"instances"`
		} `json:"modules"`
	}
	if !n.get("/v1/registry", &answer) {
		return nil, false
	}
	known = map[string][]path{}
	for _, m := range answer.Modules {
		for _, i := range m.Instances {
			known[m.Module+"/"+i.Instance] = i.Paths
		}
	}
	return known, true
}

// pathsOf returns the nodes over which a node can reach an instance, sorted.
func (n *node) pathsOf(moduleName, instance string) (nodes []string) {
	known, _ := n.registry()
	for _, p := range known[moduleName+"/"+instance] {
		if p.Usable {
			nodes = append(nodes, p.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// sessionsOf returns what a node knows of another one's sessions, or of its own, as text that can be compared.
func (n *node) sessionsOf(owner string) (sessions []string, ok bool) {
	known, ok := n.registry()
	for name, paths := range known {
		for _, p := range paths {
			if p.Node == owner {
				sessions = append(sessions, fmt.Sprintf("%s %s usable=%t", name, p.Session, p.Usable))
			}
		}
	}
	slices.Sort(sessions)
	return sessions, ok
}

// wantLinked waits until all links between nodes that run are up.
func (w *world) wantLinked(limit time.Duration) {
	w.t.Helper()
	w.eventually("all links are up", limit, w.linked)
}

func (w *world) linked() bool {
	for _, n := range w.nodes {
		if !n.running() {
			continue
		}
		links, _ := n.links()
		for other, o := range w.nodes {
			if other != n.name && o.running() && links[other].State != "up" {
				return false
			}
		}
	}
	return true
}

// wantConverged waits until all links are up, every node knows exactly the sessions that their owner has, and all
// have heard the same version of it.
func (w *world) wantConverged(limit time.Duration) time.Duration {
	w.t.Helper()
	return w.eventually("all registries are their owners'", limit, func() bool { return w.linked() && w.agreed() })
}

func (w *world) agreed() bool {
	for owner, o := range w.nodes {
		if !o.running() {
			continue
		}
		own, ok := o.sessionsOf(owner)
		if !ok {
			return false
		}
		version := ""
		for name, n := range w.nodes {
			if name == owner || !n.running() {
				continue
			}
			if seen, ok := n.sessionsOf(owner); !ok || !slices.Equal(seen, own) {
				return false
			}
			links, _ := n.links()
			l := links[owner]
			heard := l.Incarnation + " " + l.Version + " " + l.Digest
			if version != "" && version != heard {
				return false
			}
			version = heard
		}
	}
	return true
}

// wantDown waits until a node does not count on its link to another one any more.
func (w *world) wantDown(name, other string, limit time.Duration) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("the link of %s to %s is down", name, other), limit, func() bool {
		links, _ := w.nodes[name].links()
		switch links[other].State {
		case "", "up", "syncing":
			return false
		}
		w.logf("%s says of %s: %s: %s", name, other, links[other].State, links[other].Cause)
		return true
	})
}

// wantStayedUp fails the story if a link has not been up without a break since a time of now.
func (w *world) wantStayedUp(since int64, pairs ...[2]string) {
	w.t.Helper()
	for _, p := range pairs {
		least := time.Duration(now() - since).Seconds()
		links, _ := w.nodes[p[0]].links()
		l := links[p[1]]
		if l.State != "up" || l.Seconds < least {
			w.t.Errorf("the link of %s to %s is %s for %.1f s, must have been up for %.1f s: %s", p[0], p[1], l.State, l.Seconds, least, l.Cause)
		}
	}
}

// metrics returns the values of the node's metrics, by name with labels.
func (n *node) metrics() map[string]float64 {
	n.world.t.Helper()
	r, err := n.admin.Get("http://127.0.0.1:7071/metrics")
	if err != nil {
		n.world.t.Fatalf("node %s: %v", n.name, err)
	}
	defer r.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		name, text, found := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil && found && name != "#" {
			values[name] = value
		}
	}
	return values
}

// wantQuiet waits until nothing is under way at a node whose callers have ended, and looks at its books.
func (n *node) wantQuiet() {
	w := n.world
	w.t.Helper()
	if !n.running() {
		return
	}
	var left string
	w.eventually("nothing is under way at node "+n.name+" "+left, patience, func() bool {
		left = ""
		for name, value := range n.metrics() {
			if value != 0 && (name == "twohop_calls_in_flight" || name == "twohop_calls_kept_bytes" || strings.HasPrefix(name, "twohop_link_in_flight")) {
				left += fmt.Sprintf("%s=%v ", name, value)
			}
		}
		return left == ""
	})
	r, err := n.admin.Get("http://127.0.0.1:7071/debug/check")
	if err != nil {
		w.t.Errorf("node %s: %v", n.name, err)
		return
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text := make([]byte, 4000)
		k, _ := r.Body.Read(text)
		w.t.Errorf("node %s: /debug/check answers %d: %s", n.name, r.StatusCode, text[:k])
	}
}

// wantNoLeak waits until a node has given back what it had for modules, all of which have ended.
func (n *node) wantNoLeak() {
	w := n.world
	w.t.Helper()
	before := w.baseline[n.name]
	if !n.running() || before == nil {
		return
	}
	var left string
	for over := time.Now().Add(patience); ; {
		left = ""
		values := n.metrics()
		for name, value := range values {
			if strings.HasPrefix(name, "twohop_sessions{") && value != 0 {
				left += fmt.Sprintf("%s=%v ", name, value)
			}
		}
		for name, more := range map[string]float64{"go_goroutines": 4, "process_open_fds": 2, "twohop_registry_entries": 0, "twohop_instances": 0} {
			if values[name] > before[name]+more {
				left += fmt.Sprintf("%s=%v, was %v ", name, values[name], before[name])
			}
		}
		if left == "" || time.Now().After(over) {
			break
		}
		w.pass(50 * time.Millisecond)
	}
	if left != "" {
		w.t.Errorf("node %s has kept something: %s", n.name, left)
	}
}
