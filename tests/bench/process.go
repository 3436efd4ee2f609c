package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs beside this one.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // its end ends the roles of this program
	said  beginning
	ended chan struct{}
}

// beginning keeps the beginning of what a process writes to stderr, to show when it fails: that is the first error.
type beginning struct {
	mu  sync.Mutex
	buf []byte
}

func (t *beginning) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	t.buf = t.buf[:min(len(t.buf), 4<<10)]
	return len(b), nil
}

func (t *beginning) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// launch starts a program. stdout may be nil.
func launch(name string, stdout io.Writer, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	// Ctrl-C is for this process, which stops the others in order; should it be killed, they end, too.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.cmd.Stdout, p.cmd.Stderr = stdout, &p.said
	if stdout == nil {
		p.cmd.Stdout = &p.said
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // who cares looks at ProcessState
		close(p.ended)
	}()
	return p, nil
}

// playing starts this program in a role.
func playing(name string, stdout io.Writer, role string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return launch(name, stdout, self, append([]string{"role", role}, args...)...)
}

// stop ends a process and waits for it.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// kill ends a process at once.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// wait waits for the end of a process that ends by itself.
func (p *process) wait() error {
	<-p.ended
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s: %s", p.name, p.cmd.ProcessState, p.said.String())
	}
	return nil
}

// look returns what the system says about a process.
func (p *process) look(file string) ([]byte, error) {
	said, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return nil, fmt.Errorf("%s has ended: %s", p.name, p.said.String())
	}
	return said, nil
}

// cpu returns the processor time that a process has had, in seconds; the system counts it in hundredths.
func (p *process) cpu() (float64, error) {
	stat, err := p.look("stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may hold blanks: fields are counted behind it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: /proc/PID/stat has %d fields", p.name, len(fields))
	}
	ticks := 0.0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks / 100, nil
}

// memory returns what a process holds of the machine's memory, in bytes.
func (p *process) memory() (int, error) {
	status, err := p.look("status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 {
		return 0, fmt.Errorf("%s: /proc/PID/status has no VmRSS", p.name)
	}
	kib, err := strconv.Atoi(fields[0])
	return kib << 10, err
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// untilStdinEnds waits for the end of who started this process, or ctx.
func untilStdinEnds(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
