package testkit

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// RedisServer is a real redis-server that listens on a unix socket only and syncs every write to disk, so that what it has
// acknowledged outlives Kill.
type RedisServer struct {
	// Address is the path of the socket; go-redis takes it for an address. It stays the same over Kill and Start.
	Address string

	// Static after construction.
	t   testing.TB
	dir string

	// Guarded by mu.
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// Redis starts a redis-server with a folder of its own and ends it after the test. Where the program is missing the test
// fails: scripts/test installs it.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	// Not t.TempDir: a socket's path has at most 107 bytes, and the names of tests are long.
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	r := &RedisServer{Address: filepath.Join(dir, "s"), t: t, dir: dir}
	t.Cleanup(func() {
		r.Kill()
		os.RemoveAll(dir)
	})
	r.Start()
	return r
}

// Start starts the server again after Kill, with the data that it had, and returns when it accepts connections.
func (r *RedisServer) Start() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		r.t.Fatal("redis-server runs already")
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		r.t.Fatalf("redis-server is missing (Debian: apt-get install redis-server): %v", err)
	}
	cmd := exec.Command(path, "--port", "0", "--unixsocket", r.Address, "--dir", r.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no", "--loglevel", "notice")
	cmd.SysProcAttr = dieWithParent()
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	var said strings.Builder
	go func() {
		defer close(ended)
		told := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if told {
				continue
			}
			said.WriteString(lines.Text() + "\n")
			if told = strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections"); told {
				close(ready)
			}
		}
		_ = cmd.Wait() // it was killed, or what it said is shown
	}()
	select {
	case <-ready:
		r.cmd, r.ended = cmd, ended
	case <-ended:
		r.t.Fatalf("redis-server has ended at once:\n%s", said.String())
	}
}

// Kill ends the server as a crash does, and returns when it is gone. On one that does not run it does nothing.
func (r *RedisServer) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	r.cmd = nil
}

// Wipe ends the server and deletes its data: the next Start begins with nothing.
func (r *RedisServer) Wipe() {
	r.t.Helper()
	r.Kill()
	for _, pattern := range []string{"appendonlydir", "*.rdb", "*.aof"} {
		found, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, name := range found {
			if err := os.RemoveAll(name); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}
