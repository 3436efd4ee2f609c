package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// rig is the processes that carry a contender's calls: brokers and services.
type rig struct {
	target   string // what the caller connects to
	brokers  []*process
	services []*process
	admins   []string // the operators' listeners of twohop's nodes
	atRest   int      // bytes of memory of the first broker before the first call
}

func (r *rig) stop() {
	for _, p := range append(r.services, r.brokers...) {
		p.stop()
	}
}

// processes returns all of them with the names that results know them by.
func (r *rig) processes() map[string]*process {
	all := map[string]*process{}
	for _, p := range append(r.brokers, r.services...) {
		all[p.name] = p
	}
	return all
}

// rigs builds each by its name.
var rigs = map[string]func(o *options, dir string, r *rig) error{
	"twohop-1": func(o *options, dir string, r *rig) error { return buildTwohop(o, dir, r, 1) },
	"twohop-2": func(o *options, dir string, r *rig) error { return buildTwohop(o, dir, r, 2) },
	"nats-1":   func(o *options, _ string, r *rig) error { return buildNATS(o, r, 1) },
	"nats-2":   func(o *options, _ string, r *rig) error { return buildNATS(o, r, 2) },
	"floor-1":  func(_ *options, _ string, r *rig) error { return buildFloor(r, 1) },
	"floor-2":  func(_ *options, _ string, r *rig) error { return buildFloor(r, 2) },
	"grpc":     func(_ *options, _ string, r *rig) error { return buildGRPC(r) },
}

// serve starts the two instances of the service. Those that listen themselves get an address each.
func (r *rig) serve(peer string, target string, listens bool) (addresses []string, err error) {
	for i := range 2 {
		at := target
		if listens {
			if at, err = freeAddress(); err != nil {
				return nil, err
			}
			addresses = append(addresses, at)
		}
		p, err := playing(fmt.Sprintf("service_%d", i+1), nil, "service", peer, at)
		if err != nil {
			return nil, err
		}
		r.services = append(r.services, p)
	}
	return addresses, nil
}

// broker starts one.
func (r *rig) broker(path string, args ...string) error {
	name := "node_" + string(rune('a'+len(r.brokers)))
	p, err := launch(name, nil, path, args...)
	if err == nil {
		r.brokers = append(r.brokers, p)
	}
	return err
}

// addresses returns so many free ones.
func addresses(n int) (free []string, err error) {
	for range n {
		a, err := freeAddress()
		if err != nil {
			return nil, err
		}
		free = append(free, a)
	}
	return free, nil
}

// buildTwohop starts a mesh. The caller is at its first node, the services are at its last one.
func buildTwohop(o *options, dir string, r *rig, nodes int) error {
	listen, err := addresses(nodes)
	if err != nil {
		return err
	}
	link, err := addresses(nodes)
	if err != nil {
		return err
	}
	var members strings.Builder
	members.WriteString("members:\n")
	for i, at := range link {
		fmt.Fprintf(&members, "  - node: n%d\n    number: %d\n    address: %s\n", i, i, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "members.yaml"), []byte(members.String()), 0o600); err != nil {
		return err
	}
	for i := range nodes {
		admin, err := freeAddress()
		if err != nil {
			return err
		}
		r.admins = append(r.admins, admin)
		config := fmt.Sprintf("node: n%d\nnumber: %d\nmesh: bench\nlisten: %s\nadmin:\n  listen: %q\n", i, i, listen[i], admin)
		if nodes > 1 {
			config += fmt.Sprintf("data_dir: data%d\npeers:\n  listen: %s\n  members_file: members.yaml\n", i, link[i])
		}
		file := filepath.Join(dir, fmt.Sprintf("n%d.yaml", i))
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		if err := r.broker(o.twohop, "messageserver", "--config", file); err != nil {
			return err
		}
	}
	r.target = listen[0]
	_, err = r.serve("twohop", listen[nodes-1], false)
	return err
}

// buildNATS starts a server, or a cluster of two. The caller is at the first one, the services are at the last one.
func buildNATS(o *options, r *rig, servers int) error {
	listen, err := addresses(servers)
	if err != nil {
		return err
	}
	routes, err := addresses(servers)
	if err != nil {
		return err
	}
	for i, at := range listen {
		host, port, _ := strings.Cut(at, ":")
		args := []string{"-a", host, "-p", port}
		if servers > 1 {
			args = append(args, "--cluster_name", "bench", "--cluster", "nats://"+routes[i], "--routes", "nats://"+strings.Join(routes, ",nats://"))
		}
		if err := r.broker(o.nats, args...); err != nil {
			return err
		}
	}
	r.target = "nats://" + listen[0]
	_, err = r.serve("nats", "nats://"+listen[servers-1], false)
	return err
}

// buildGRPC starts the services only: the caller calls them itself, in turn.
func buildGRPC(r *rig) error {
	at, err := r.serve("grpc", "", true)
	r.target = strings.Join(at, ",")
	return err
}

// buildFloor starts the services, and relays before them.
func buildFloor(r *rig, relays int) error {
	next, err := r.serve("floor", "", true)
	if err != nil {
		return err
	}
	for range relays {
		at, err := freeAddress()
		if err != nil {
			return err
		}
		p, err := playing("node_"+string(rune('a'+len(r.brokers))), nil, "relay", at, strings.Join(next, ","))
		if err != nil {
			return err
		}
		r.brokers = append(r.brokers, p)
		next = []string{at}
	}
	r.target = next[0]
	return nil
}
