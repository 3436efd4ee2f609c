//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// logins are the modules that may log in.
var logins = []string{"web", "shop", "pay", "near", "mid"}

func secretOf(module string) string { return "a secret of module " + module }

// module is one process of a module.
type module struct {
	part
	world *world
	host  *host
	cmd   *exec.Cmd
	ended chan error
	told  atomic.Bool // to end
}

// serve starts an instance on a host, with a session at each of the nodes, and waits until all nodes know it.
func (w *world) serve(moduleName, instance, on string, nodes ...string) *module {
	w.t.Helper()
	m := w.start(on, part{Name: instance, Module: moduleName, Serves: true, Work: 250 * time.Millisecond, Paths: len(nodes)}, nodes)
	m.wantReady()
	w.wantKnown(moduleName, instance, nodes...)
	return m
}

// wantKnown waits until every node that runs can reach an instance: over each of the nodes, or, where none is named, over
// the same ones.
func (w *world) wantKnown(moduleName, instance string, nodes ...string) {
	w.t.Helper()
	w.eventually(instance+" is known everywhere", patience, func() bool {
		wanted := nodes
		for _, n := range w.nodes {
			if !n.running() {
				continue
			}
			known := n.pathsOf(moduleName, instance)
			if len(wanted) == 0 {
				wanted = known
			}
			if len(known) == 0 || !slices.Equal(known, wanted) {
				return false
			}
		}
		return true
	})
}

// load is what a caller does: so many workers, each of which calls at most so often.
type load struct {
	workers int
	every   time.Duration
	timeout time.Duration
	body    int
}

// call starts a caller on a host that knows the nodes, and waits until it calls.
func (w *world) call(name, method, on string, l load, nodes ...string) *module {
	w.t.Helper()
	return w.startCalling(on, part{Name: name, Module: "web"}, method, l, nodes)
}

// serveAndCall starts an instance that calls, over its own sessions: it does not move to other nodes.
func (w *world) serveAndCall(name, method, on string, l load, nodes ...string) *module {
	w.t.Helper()
	return w.startCalling(on, part{Name: name, Module: "shop", Serves: true, Paths: len(nodes)}, method, l, nodes)
}

func (w *world) startCalling(on string, p part, method string, l load, nodes []string) *module {
	w.t.Helper()
	w.callers++
	p.Calls, p.Number, p.Workers, p.Every, p.Timeout, p.Body = method, w.callers, l.workers, l.every, l.timeout, l.body
	m := w.start(on, p, nodes)
	m.wantReady()
	return m
}

// relay has what comes to a port of a host go on to an address, later. It returns the port's address.
func (w *world) relay(on string, port int, to string, delay, jitter time.Duration) string {
	w.t.Helper()
	at := net.JoinHostPort(w.host(on).ip, strconv.Itoa(port))
	m := w.start(on, part{Name: fmt.Sprintf("relay-%d", port), Relay: &relay{Listen: at, To: to, Delay: delay, Jitter: jitter}}, nil)
	m.wantReady()
	return at
}

func (w *world) start(on string, p part, nodes []string) *module {
	w.t.Helper()
	for _, n := range nodes {
		p.Nodes = append(p.Nodes, w.nodes[n].moduleAddress())
	}
	p.Secret, p.Ledger, p.Ready = secretOf(p.Module), filepath.Join(w.dir, p.Name+".ledger"), filepath.Join(w.dir, p.Name+".ready")
	m := &module{part: p, world: w, host: w.host(on), ended: make(chan error, 1)}
	text, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	m.cmd = exec.Command(self)
	m.cmd.Env = append(os.Environ(), partVariable+"="+string(text))
	w.startProcess(m.host, m.cmd, p.Name)
	go w.watch(p.Name, m.cmd, m.told.Load, m.ended)
	w.modules = append(w.modules, m)
	w.books.open(p.Name, p.Ledger)
	return m
}

// startProcess starts a process on a host. What it prints goes to its log.
func (w *world) startProcess(h *host, cmd *exec.Cmd, name string) {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := h.enter(cmd.Start); err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
}

func (m *module) wantReady() {
	m.world.t.Helper()
	m.world.eventually(m.Name+" is ready", patience, func() bool {
		_, err := os.Stat(m.Ready)
		return err == nil
	})
}

// signal stops the process, or has it go on. What is told to a caller that stands still is told late.
func (m *module) signal(s syscall.Signal) {
	m.world.t.Helper()
	m.world.books.stoodStill[m.Name] = true
	if err := m.cmd.Process.Signal(s); err != nil {
		m.world.t.Fatalf("%s: %v", m.Name, err)
	}
}

// end tells modules to end, and waits for them: callers have then been told how their calls ended.
func (w *world) end(modules ...*module) {
	w.t.Helper()
	for _, m := range modules {
		m.told.Store(true)
		_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	over := time.After(patience * slack)
	for _, m := range modules {
		select {
		case err, first := <-m.ended:
			if err != nil && first {
				w.t.Errorf("%s ended with %v", m.Name, err)
			}
		case <-over:
			w.t.Fatalf("%s does not end", m.Name)
		}
	}
	w.modules = slices.DeleteFunc(w.modules, func(m *module) bool { return slices.Contains(modules, m) })
}

// endModules ends callers, then servers. Relays stay: nodes need them.
func (w *world) endModules() {
	w.t.Helper()
	which := func(is func(m *module) bool) (some []*module) {
		for _, m := range w.modules {
			if is(m) {
				some = append(some, m)
			}
		}
		return some
	}
	w.end(which(func(m *module) bool { return m.Calls != "" })...)
	w.end(which(func(m *module) bool { return m.Serves })...)
}
