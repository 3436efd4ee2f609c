package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cast is who plays: nodes, instances, callers.
type cast struct {
	// Static after construction.
	family    *family
	directory string
	opts      *Options
	instances []*instance

	// Written while they are started, in this order.
	nodes     []*process
	addresses []string // of nodes, where modules connect
	admin     string   // of the first node
	callers   []*process
}

// instance is one of fishtrade or rank. Chaos kills its process, and another one takes its place, with the same ledger.
type instance struct {
	name, module string

	// Guarded by mu.
	mu      sync.Mutex
	process *process
	down    bool
}

// nodeNames are the nodes of the mesh.
var nodeNames = []string{"node-1"}

// perModule is how many instances a module has, and how many callers there are.
const perModule = 2

func newCast(f *family, directory string, o *Options) *cast {
	c := &cast{family: f, directory: directory, opts: o}
	// rank first: fishtrade is ready when rank has answered it.
	for _, module := range []string{moduleRank, moduleTrade} {
		for i := range perModule {
			c.instances = append(c.instances, &instance{name: module + "-" + strconv.Itoa(i+1), module: module})
		}
	}
	return c
}

// start starts everybody, and returns when all are connected.
func (c *cast) start(ctx context.Context) error {
	if err := c.startNodes(ctx); err != nil {
		return err
	}
	for _, i := range c.instances {
		if err := c.startInstance(i); err != nil {
			return err
		}
	}
	for i := range perModule {
		name := moduleWeb + "-" + strconv.Itoa(i+1)
		p, err := c.family.start(name, c.member("caller", name, "--number", strconv.Itoa(i+1), "--in-flight", strconv.Itoa(c.opts.InFlight))...)
		if err != nil {
			return err
		}
		c.callers = append(c.callers, p)
	}
	for _, i := range c.instances {
		if _, err := i.current().waitReady(ctx); err != nil {
			return err
		}
	}
	for _, p := range c.callers {
		if _, err := p.waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startNodes starts the nodes, and returns when all listen.
func (c *cast) startNodes(ctx context.Context) error {
	for i, name := range nodeNames {
		p, err := c.family.start(name, "messageserver", "--node", name, "--number", strconv.Itoa(i),
			"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-timeout", "2s")
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, p)
	}
	for i, p := range c.nodes {
		text, err := p.waitReady(ctx)
		if err != nil {
			return err
		}
		var ready struct {
			Listen string `json:"listen"`
			Admin  string `json:"admin"`
		}
		if err := json.Unmarshal(text, &ready); err != nil || ready.Listen == "" {
			return fmt.Errorf("%s says in its ready file: %q, must be JSON with its addresses", p, text)
		}
		c.addresses = append(c.addresses, ready.Listen)
		if i == 0 {
			c.admin = ready.Admin
		}
	}
	return nil
}

// member returns the command line of an instance or a caller.
func (c *cast) member(command, name string, more ...string) []string {
	return append([]string{
		"demo", command, "--name", name, "--nodes", strings.Join(c.addresses, ","), "--ledger", ledgerPath(c.directory, name),
	}, more...)
}

// startInstance starts an instance's process, for the first time or again.
func (c *cast) startInstance(i *instance) error {
	p, err := c.family.start(i.name, c.member("instance", i.name, "--module", i.module, "--work", c.opts.Work.String())...)
	if err != nil {
		return err
	}
	i.mu.Lock()
	i.process, i.down = p, false
	i.mu.Unlock()
	return nil
}

func (i *instance) current() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

func (i *instance) isDown() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.down
}

// ended is closed when all callers have ended.
func (c *cast) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		for _, p := range c.callers {
			<-p.ended
		}
		close(ended)
	}()
	return ended
}

// How long processes may take to end. Callers wait for the calls that they have begun.
const (
	callersPatience   = callTimeout + 3*time.Second
	instancesPatience = 5 * time.Second
	nodesPatience     = 5 * time.Second
)

// leave ends everybody in the order of a call's way, so that each ledger is complete.
func (c *cast) leave() error {
	problems := []error{c.family.end(callersPatience, c.callers...)}
	for _, module := range []string{moduleTrade, moduleRank} {
		var list []*process
		for _, i := range c.instances {
			if i.module == module && i.current() != nil && !i.isDown() {
				list = append(list, i.current())
			}
		}
		problems = append(problems, c.family.end(instancesPatience, list...))
	}
	return errors.Join(append(problems, c.family.end(nodesPatience, c.nodes...))...)
}
