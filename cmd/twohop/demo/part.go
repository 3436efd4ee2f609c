package demo

import "sync"

// part is what a process plays that chaos may kill: a node, or an instance of fishtrade or rank. Another process takes its
// place then, with the same command line: addresses, and the files that outlive a process.
type part struct {
	// Static after construction.
	name string
	role string // roleNode, or the instance's module

	// Static after the first start.
	args []string

	// Guarded by mu.
	mu      sync.Mutex
	process *process // nil before the first start
	down    bool
}

// start starts the part's process, for the first time or again.
func (p *part) start(f *family) (*process, error) {
	process, err := f.start(p.name, p.args...)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.process, p.down = process, false
	p.mu.Unlock()
	return process, nil
}

// kill ends the part's process at once, and waits for it.
func (p *part) kill(f *family) {
	p.mu.Lock()
	p.down = true
	process := p.process
	p.mu.Unlock()
	f.kill(process)
}

func (p *part) current() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

func (p *part) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

// living returns the processes of the parts that are up.
func living(parts []*part) (list []*process) {
	for _, p := range parts {
		if process := p.current(); process != nil && !p.isDown() {
			list = append(list, process)
		}
	}
	return list
}
