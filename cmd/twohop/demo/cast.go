package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// cast is who plays: nodes, instances, callers.
type cast struct {
	// Static after construction.
	family    *family
	directory string
	opts      *Options
	choose    func(n int) ([]place, error) // freePlaces, but in tests
	nodes     []*part
	instances []*part

	// Written while they are started, in this order.
	places  []place // of nodes
	callers []*process
}

// nodeCount is how many nodes the mesh has, and perModule how many instances a module, and how many callers there are.
const (
	nodeCount = 3
	perModule = 2
)

// seats are the nodes, by index, whose addresses an instance or caller is told; of the others it hears from them. An instance
// has sessions with two nodes, so each of these stays away from the one that it is not told of. Each caller is at a node that
// one instance of fishtrade is at, and one is not: there are calls of one hop and calls of two.
var seats = map[string][]int{
	"web-1": {0}, "web-2": {1},
	"fishtrade-1": {1, 2}, "fishtrade-2": {0, 2},
	"rank-1": {0, 1}, "rank-2": {1, 2},
}

func newCast(f *family, directory string, o *Options) *cast {
	c := &cast{family: f, directory: directory, opts: o, choose: freePlaces}
	for i := range nodeCount {
		c.nodes = append(c.nodes, &part{name: numbered(roleNode, i), role: roleNode})
	}
	// rank first: fishtrade is ready when rank has answered it.
	for _, module := range []string{moduleRank, moduleTrade} {
		for i := range perModule {
			c.instances = append(c.instances, &part{name: numbered(module, i), role: module})
		}
	}
	return c
}

// numbered returns the name of the i-th of a role.
func numbered(role string, i int) string { return role + "-" + strconv.Itoa(i+1) }

// parts returns those of a role.
func (c *cast) parts(role string) (list []*part) {
	if role == roleNode {
		return c.nodes
	}
	for _, p := range c.instances {
		if p.role == role {
			list = append(list, p)
		}
	}
	return list
}

// start starts everybody, and returns when all are connected and every node knows all instances.
func (c *cast) start(ctx context.Context) error {
	if err := c.startNodes(ctx); err != nil {
		return err
	}
	var starting []*process
	for _, i := range c.instances {
		i.args = c.member("instance", i.name, "--module", i.role, "--work", c.opts.Work.String())
		p, err := i.start(c.family)
		if err != nil {
			return err
		}
		starting = append(starting, p)
	}
	for i := range perModule {
		name := numbered(moduleWeb, i)
		p, err := c.family.start(name, c.member("caller", name, "--number", strconv.Itoa(i+1), "--in-flight", strconv.Itoa(c.opts.InFlight))...)
		if err != nil {
			return err
		}
		c.callers = append(c.callers, p)
		starting = append(starting, p)
	}
	for _, p := range starting {
		if _, err := p.waitReady(ctx); err != nil {
			return err
		}
	}
	return c.awaitWhole(ctx)
}

// ledgerFlag tells a process where its ledger is.
const ledgerFlag = "--ledger"

// member returns the command line of an instance or a caller.
func (c *cast) member(command, name string, more ...string) []string {
	var addresses []string
	for _, node := range seats[name] {
		addresses = append(addresses, c.places[node].listen)
	}
	return append([]string{
		"demo", command, "--name", name, "--nodes", strings.Join(addresses, ","), ledgerFlag, ledgerPath(c.directory, name),
	}, more...)
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

// leave ends everybody in the order of a call's way, so that each ledger is complete.
func (c *cast) leave() error {
	problems := []error{c.family.end(callersPatience, c.callers...)}
	for _, module := range []string{moduleTrade, moduleRank} {
		problems = append(problems, c.family.end(instancesPatience, living(c.parts(module))...))
	}
	return errors.Join(append(problems, c.family.end(nodesPatience, living(c.nodes)...))...)
}

// String counts who plays, for people.
func (c *cast) String() string {
	return fmt.Sprintf("%d nodes, %d instances, %d callers", len(c.nodes), len(c.instances), len(c.callers))
}
