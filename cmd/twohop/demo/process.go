package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is one that the demo has started.
type process struct {
	// Static after start.
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   string
	ready string // the file that is there when the process is ready
	keeps bool   // it has a ledger, which it may be killed within a write to
	ended chan struct{}
	err   error // how it ended; read it after ended

	// Guarded by family.mu.
	expected bool // it has been told to end, before it did
	killed   bool // by kill
}

// died says how a process ended that was not told to.
func (p *process) died() error {
	how := "it ended by itself"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s died: %s%s", p, how, lastLines(p.log, 5))
}

// String names the process for logs.
func (p *process) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.cmd.Process.Pid) }

// lastLines returns the end of a log, indented, after a line break.
func lastLines(path string, n int) string {
	text, err := os.ReadFile(path) //nolint:gosec // the demo made it
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// startTimeout is how long a process may take to get ready.
const startTimeout = 15 * time.Second

// waitReady returns what a process says in its ready file, as soon as that is there.
func (p *process) waitReady(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s is not ready after %s", p, startTimeout))
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		text, err := os.ReadFile(p.ready)
		if err == nil {
			return text, nil
		}
		select {
		case <-p.ended:
			return nil, p.died()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w%s", context.Cause(ctx), lastLines(p.log, 5))
		case <-look.C:
		}
	}
}
