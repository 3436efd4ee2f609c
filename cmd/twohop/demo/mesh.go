package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

// place is where a node listens, for modules, operators and other nodes. A node that is killed comes back at the same place.
type place struct{ listen, admin, peers string }

// Ports below those that systems give to connections: while a node is away nobody gets one of its by chance.
const (
	firstPort = 20_000
	lastPort  = 29_999
)

// freePlaces returns n places that nobody listens at now.
func freePlaces(n int) (places []place, err error) {
	const tries = 1000
	var held []net.Listener // until all are chosen, so that none is chosen twice
	defer func() {
		for _, l := range held {
			_ = l.Close() // nobody has connected
		}
	}()
	for range tries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)                            //nolint:gosec // any free one
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it takes no time
		if err != nil {
			continue
		}
		held = append(held, l)
		if len(held) == 3*n {
			for trio := range slices.Chunk(held, 3) {
				places = append(places, place{trio[0].Addr().String(), trio[1].Addr().String(), trio[2].Addr().String()})
			}
			return places, nil
		}
	}
	return nil, fmt.Errorf("of %d ports from %d to %d only %d are free, must be %d", tries, firstPort, lastPort, len(held), 3*n)
}

// startNodes starts the nodes, and returns when all listen.
func (c *cast) startNodes(ctx context.Context) error {
	const tries = 3 // somebody else may take a port before the node does
	for try := 1; ; try++ {
		places, err := c.choose(len(c.nodes))
		if err != nil {
			return err
		}
		err = c.startNodesAt(ctx, places)
		if err == nil || try == tries || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
		for _, p := range living(c.nodes) {
			c.family.kill(p)
			c.family.forgive(p)
		}
	}
}

// startNodesAt is one try of startNodes.
func (c *cast) startNodesAt(ctx context.Context, places []place) error {
	c.places = places
	file := filepath.Join(c.directory, "members.yaml")
	if err := c.writeMembers(file); err != nil {
		return err
	}
	for i, n := range c.nodes {
		at := places[i]
		n.args = []string{
			"messageserver", "--node", n.name, "--number", strconv.Itoa(i + 1), "--mesh", "demo",
			"--listen", at.listen, "--admin", at.admin, "--drain-timeout", "2s",
			"--set", "data_dir=" + filepath.Join(c.directory, n.name),
			"--set", "peers.listen=" + at.peers, "--set", "peers.members_file=" + file, "--set", "keeper=" + c.nodes[0].name,
		}
		if _, err := n.start(c.family); err != nil {
			return err
		}
	}
	for i, n := range c.nodes {
		if err := places[i].await(ctx, n.current()); err != nil {
			return err
		}
	}
	return nil
}

// writeMembers writes the list of members that all nodes read.
func (c *cast) writeMembers(file string) error {
	text := []byte("members:\n")
	for i, n := range c.nodes {
		text = fmt.Appendf(text, "  - {node: %s, number: %d, address: %q}\n", n.name, i+1, c.places[i].peers)
	}
	return os.WriteFile(file, text, 0o600)
}

// await returns when a node listens where it was told to.
func (at place) await(ctx context.Context, p *process) error {
	text, err := p.waitReady(ctx)
	if err != nil {
		return err
	}
	var ready struct {
		Listen string `json:"listen"`
		Admin  string `json:"admin"`
		Peers  string `json:"peers"`
	}
	if err := json.Unmarshal(text, &ready); err != nil {
		return fmt.Errorf("%s says in its ready file: %q, must be JSON with its addresses", p, text)
	}
	if got := (place{ready.Listen, ready.Admin, ready.Peers}); got != at {
		return fmt.Errorf("%s says in its ready file that it listens at %v, must be %v", p, got, at)
	}
	return nil
}

// awaitWhole returns when the mesh is whole (see missing), or when a process has died that was not told to end.
func (c *cast) awaitWhole(ctx context.Context) error {
	late, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if err := c.family.deaths(); err != nil {
			return err
		}
		missing := c.missing(late)
		if missing == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-late.Done():
			if err := ctx.Err(); err != nil {
				return err
			}
			return fmt.Errorf("the mesh is not whole after %s: %w", startTimeout, missing)
		}
	}
}

// sessionsPerInstance is with how many nodes an instance has a session: the SDK's default.
const sessionsPerInstance = 2

// missing says what the mesh lacks to be whole, the first of it: all links up, and every instance with all its sessions known
// to every node.
func (c *cast) missing(ctx context.Context) error {
	for i, n := range c.nodes {
		node, err := adminclient.New(c.places[i].admin)
		if err != nil {
			return err
		}
		info, err := node.Info(ctx)
		if err != nil {
			return err
		}
		if p := info.Peers; p == nil || p.LinksUp < len(c.nodes)-1 {
			return fmt.Errorf("%s has not all its links up", n.name)
		}
		modules, err := node.Registry(ctx)
		if err != nil {
			return err
		}
		for _, instance := range c.instances {
			if ways := usable(modules, instance); ways < sessionsPerInstance {
				return fmt.Errorf("%s knows %d ways to %s, must be %d", n.name, ways, instance.name, sessionsPerInstance)
			}
		}
	}
	return nil
}

// usable returns how many ways to an instance calls can take.
func usable(modules []adminclient.Module, instance *part) (ways int) {
	for _, m := range modules {
		for _, i := range m.Instances {
			if m.Module != instance.role || i.Instance != instance.name {
				continue
			}
			for _, p := range i.Paths {
				if p.Usable != nil && *p.Usable {
					ways++
				}
			}
		}
	}
	return ways
}

// How long processes may take to end. Callers wait for the calls that they have begun.
const (
	callersPatience   = callTimeout + 3*time.Second
	instancesPatience = 5 * time.Second
	nodesPatience     = 5 * time.Second
)
