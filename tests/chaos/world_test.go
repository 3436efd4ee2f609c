//go:build linux

package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// insideVariable has the path of the binary, in the process that is the first of a world.
const insideVariable = "CHAOS_INSIDE"

// world is the hosts, nodes and modules of one story.
type world struct {
	t       *testing.T
	program string // the binary
	dir     string
	hosts   map[string]*host
	nodes   map[string]*node
	modules []*module
	callers uint64 // that were started
	books   *books
	mesh    []memberLine      // the list of members
	names   map[string]string // by which modules know nodes

	judgesStarts bool                          // handlers must not start after the deadlines either
	baseline     map[string]map[string]float64 // metrics of nodes before there was a module

	// Guarded by mu.
	mu     sync.Mutex
	deaths []error // of processes that nobody ended
}

// inWorld tells a story in a world of its own. Worlds run beside each other.
func inWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	if program := os.Getenv(insideVariable); program != "" {
		w := newWorld(t, program)
		story(w)
		w.finish()
		return
	}
	if testing.Short() {
		t.Skip("it holds faults for seconds")
	}
	t.Parallel()
	unshare := unshareCommand(t)
	program := build(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := slices.Concat(unshare[1:], []string{
		self, "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=" + held(4*time.Minute, 30*time.Minute).String(), fmt.Sprintf("-long=%t", *long),
	})
	cmd := exec.CommandContext(t.Context(), unshare[0], args...)
	cmd.Env = append(environment(), insideVariable+"="+program)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// The world ends when its stdin does, which is when this process ends, however it does.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if !strings.Contains(out.String(), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("the story was not told:\n%s", out.Bytes())
	}
	t.Logf("\n%s", out.Bytes())
}

// environment is this process's, without what configures nodes, and with the folders where nft, ip and tc may be.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "TWOHOP_") })
	return append(env, "PATH="+searchPath())
}

func searchPath() string { return os.Getenv("PATH") + ":/usr/sbin:/sbin" }

// unshareCommand returns the command that makes a world's namespaces, or ends the test with what is missing.
func unshareCommand(t *testing.T) []string {
	t.Helper()
	for _, need := range []struct{ command, pack string }{
		{"unshare", "util-linux"}, {"mount", "mount"}, {"ip", "iproute2"}, {"tc", "iproute2"}, {"nft", "nftables"},
	} {
		if !slices.ContainsFunc(filepath.SplitList(searchPath()), func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, need.command))
			return err == nil
		}) {
			t.Fatalf("%s is missing: Debian has it in package %s, and scripts/test installs it", need.command, need.pack)
		}
	}
	base := []string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	var problems []error
	for _, more := range [][]string{{"--user", "--map-root-user"}, nil} {
		command := slices.Concat(base[:1], more, base[1:])
		// A bridge, a veth and a rule are what a world is made of.
		probe := exec.CommandContext(t.Context(), command[0], append(command[1:], "sh", "-c",
			"mount -t tmpfs run /run && ip netns add x && ip link add y type bridge && ip link add v type veth peer name e netns x && nft add table inet z")...)
		probe.Env = environment()
		text, err := probe.CombinedOutput()
		if err == nil {
			return command
		}
		problems = append(problems, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(text)))
	}
	t.Fatalf("this machine gives no namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; or CAP_SYS_ADMIN), "+
		"or its kernel has no bridge, veth or nft:\n%v", errors.Join(problems...))
	return nil
}

// built is the binary, which all worlds share.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// build builds the binary, with the race detector if this test has it.
func build(t *testing.T) (program string) {
	t.Helper()
	built.once.Do(func() {
		// The go command keeps the result of a test while what the test looked at stays as it is. What the build reads is
		// looked at here.
		built.err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".go" {
				_, err = os.Stat(path)
			}
			if err == nil && entry.IsDir() && path != "../.." && strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
			return err
		})
		if built.err != nil {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "chaos-"); built.err != nil { //nolint:usetesting // it outlives this test
			return
		}
		args := []string{"build", "-buildvcs=false", "-o", filepath.Join(built.dir, "twohop")}
		if raceEnabled {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "../../cmd/twohop")...)
		if text, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, text)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "twohop")
}

// newWorld makes an empty world of this process's namespaces.
func newWorld(t *testing.T, program string) *world {
	t.Helper()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // whoever started the world is gone
	}()
	w := &world{t: t, program: program, dir: t.TempDir(), hosts: map[string]*host{}, nodes: map[string]*node{}, books: newBooks()}
	t.Cleanup(func() {
		if t.Failed() {
			w.dump()
		}
		for _, h := range w.hosts {
			h.ns.Close()
		}
	})
	w.command("mount", "-t", "tmpfs", "run", "/run")
	w.command("ip", "link", "set", "lo", "up")
	w.command("ip", "link", "add", "bridge", "type", "bridge")
	w.command("ip", "link", "set", "bridge", "up")
	return w
}

// command runs a command of the world to its end, and returns what it prints.
func (w *world) command(name string, args ...string) string {
	w.t.Helper()
	text, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, text)
	}
	return string(text)
}

// logf notes what happened, and when.
func (w *world) logf(format string, args ...any) {
	w.t.Helper()
	w.t.Logf("%7.3f s  %s", time.Duration(now()-w.books.since).Seconds(), fmt.Sprintf(format, args...))
}

// eventually waits for something that must come within the limit, times slack. It returns how long it took.
func (w *world) eventually(what string, limit time.Duration, come func() bool) time.Duration {
	w.t.Helper()
	from := time.Now()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !come() {
		if time.Since(from) > limit*slack {
			w.t.Fatalf("%7.3f s  not within %v × %d: %s", time.Duration(now()-w.books.since).Seconds(), limit, slack, what)
		}
		w.wantAlive()
		<-look.C
	}
	took := time.Since(from)
	w.logf("after %v: %s", took.Round(time.Millisecond), what)
	return took
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	<-time.After(d)
	w.wantAlive()
}

// patience bounds what a story waits for that it does not measure.
const patience = 20 * time.Second

// watch waits for the end of a process, which must not come before it is expected.
func (w *world) watch(name string, cmd *exec.Cmd, expected func() bool, ended chan<- error) {
	err := cmd.Wait()
	if !expected() {
		w.mu.Lock()
		w.deaths = append(w.deaths, fmt.Errorf("%s ended by itself: %w", name, err))
		w.mu.Unlock()
	}
	ended <- err
	close(ended)
}

// wantAlive fails the story if a process has ended that nobody ended.
func (w *world) wantAlive() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.deaths) > 0 {
		w.t.Fatal(errors.Join(w.deaths...))
	}
}

// dump shows the ends of all logs.
func (w *world) dump() {
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		w.t.Logf("%s:\n  %s", filepath.Base(name), strings.Join(lines[max(0, len(lines)-40):], "\n  "))
	}
}

// finish ends everybody in order, and judges what the ledgers say.
func (w *world) finish() {
	w.t.Helper()
	w.endModules()
	for _, n := range w.nodes {
		n.wantQuiet()
		n.wantNoLeak()
	}
	for _, n := range w.nodes {
		n.stop()
	}
	w.wantAlive()
	w.wantCleanLogs()
	w.books.read(w.t)
	w.judge()
}

// wantCleanLogs fails the story if a process has reported a race or a panic.
func (w *world) wantCleanLogs() {
	w.t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			if at := bytes.Index(text, []byte(sign)); at >= 0 {
				w.t.Errorf("%s: %s", filepath.Base(name), text[at:min(len(text), at+4000)])
			}
		}
	}
}
