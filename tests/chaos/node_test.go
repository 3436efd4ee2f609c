//go:build linux

package chaos

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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

// moduleAddress is where modules connect to the node: by name where it has one.
func (n *node) moduleAddress() string {
	if name := n.world.names[n.name]; name != "" {
		return name + ":7070"
	}
	return n.host.ip + ":7070"
}

// start starts the node's process, for the first time or again, and waits until it serves.
func (n *node) start() {
	w := n.world
	w.t.Helper()
	var secrets strings.Builder
	for _, name := range logins {
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
