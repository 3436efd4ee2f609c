package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// family is all processes of a demo. Its methods may be called concurrently.
type family struct {
	// Static after construction.
	program   string // the executable of all
	directory string
	lost      chan struct{} // one slot: a process ended that was not told to; see deaths

	// Guarded by mu.
	mu      sync.Mutex
	started int
	closed  bool // nothing is started any more
	living  []*process
	dead    []*process // that were not told to end
	killed  int        // processes that were living and have ledgers
}

func newFamily(directory string) (*family, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &family{program: program, directory: directory, lost: make(chan struct{}, 1)}, nil
}

// start starts a process of this executable. Its output goes to a log; its stdin stays open until it is told to end.
func (f *family) start(name string, args ...string) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the demo ends")
	}
	f.started++
	p := &process{
		name: name, keeps: slices.Contains(args, ledgerFlag), log: filepath.Join(f.directory, name+".log"), ended: make(chan struct{}),
		ready: filepath.Join(f.directory, fmt.Sprintf("%s.%d.ready", name, f.started)),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(f.program, append(args, "--ready-file", p.ready)...) //nolint:gosec,noctx // itself; it is told to end in order
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()
	p.cmd.Env = environment(os.Environ())
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.living = append(f.living, p)
	go f.watch(p)
	return p, nil
}

// environment leaves out what configures nodes: those of the demo have defaults.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(entry string) bool { return strings.HasPrefix(entry, "TWOHOP_") })
}

// watch waits for the end of a process.
func (f *family) watch(p *process) {
	p.err = p.cmd.Wait()
	f.mu.Lock()
	expected := p.expected
	if !expected {
		f.dead = append(f.dead, p)
	}
	f.living = slices.DeleteFunc(f.living, func(other *process) bool { return other == p })
	f.mu.Unlock()
	if !expected {
		select {
		case f.lost <- struct{}{}:
		default:
		}
	}
	close(p.ended)
}

// forgive takes a death back that was no fault of the story: another process is started in its place. It returns when the
// process has ended.
func (f *family) forgive(p *process) {
	<-p.ended
	f.mu.Lock()
	f.dead = slices.DeleteFunc(f.dead, func(other *process) bool { return other == p })
	none := len(f.dead) == 0
	f.mu.Unlock()
	if none {
		select {
		case <-f.lost:
		default:
		}
	}
}

// deaths returns how processes died that were not told to end.
func (f *family) deaths() error {
	f.mu.Lock()
	dead := slices.Clone(f.dead)
	f.mu.Unlock()
	var all []error
	for _, p := range dead {
		<-p.ended
		all = append(all, p.died())
	}
	return errors.Join(all...)
}

// cutOff returns how many processes may have been ended within a write to their ledger.
func (f *family) cutOff() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.killed
	for _, p := range f.dead {
		if p.keeps {
			n++
		}
	}
	return n
}

// expect notes that the processes are told to end.
func (f *family) expect(list ...*process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range list {
		if slices.Contains(f.living, p) {
			p.expected = true
		}
	}
}

// endsItself reports whether a process was told to end and not killed: how it ended is its own doing.
func (f *family) endsItself(p *process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return p.expected && !p.killed
}

// kill ends a process at once and waits for it.
func (f *family) kill(p *process) {
	f.mu.Lock()
	if slices.Contains(f.living, p) {
		p.expected, p.killed = true, true
		if p.keeps {
			f.killed++
		}
	}
	f.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// end asks processes to end (SIGTERM), and kills those that have not within the time. It waits for all. The error names
// those that did not end well.
func (f *family) end(patience time.Duration, list ...*process) error {
	f.expect(list...)
	for _, p := range list {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.stdin.Close()
	}
	return f.await(patience, list...)
}

// await waits for processes that have been told to end, and kills those that do not within the time.
func (f *family) await(patience time.Duration, list ...*process) error {
	late, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var problems []error
	for _, p := range list {
		select {
		case <-p.ended:
		case <-late.Done():
		}
		select {
		case <-p.ended:
			if p.err != nil && f.endsItself(p) {
				problems = append(problems, p.died())
			}
		default:
			problems = append(problems, fmt.Errorf("%s did not end within %s and was killed%s", p, patience, lastLines(p.log, 5)))
			f.kill(p)
		}
	}
	return errors.Join(problems...)
}

// close kills whatever is left, waits for it, and has nothing started any more.
func (f *family) close() {
	f.mu.Lock()
	f.closed = true
	left := slices.Clone(f.living)
	f.mu.Unlock()
	for _, p := range left {
		f.kill(p)
	}
}
