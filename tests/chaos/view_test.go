//go:build linux

package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// get reads JSON of the node's admin listener. It reports whether the node answered.
func (n *node) get(path string, into any) bool {
	r, err := n.admin.Get("http://127.0.0.1:7071" + path)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK && json.NewDecoder(r.Body).Decode(into) == nil
}

// link is one node's end of a link, as /v1/links has it.
type link struct {
	Peer         string  `json:"peer"`
	State        string  `json:"state"`
	Seconds      float64 `json:"state_seconds"`
	Cause        string  `json:"cause"`
	RTTMicros    int64   `json:"rtt_us"`
	UnansweredMS int64   `json:"oldest_unanswered_ms"`
	Incarnation  string  `json:"incarnation"`
	Version      string  `json:"version"`
	Digest       string  `json:"digest"`
	InFlight     int     `json:"in_flight"`
	QueuedBytes  int     `json:"queued_bytes"`
}

type trouble struct {
	Kind  string `json:"kind"`
	Peer  string `json:"peer"`
	Cause string `json:"cause"`
}

// links returns the node's ends of its links, by the other node. It asks no other node.
func (n *node) links() (links map[string]link, troubles []trouble) {
	var answer struct {
		Nodes []struct {
			Links    []link    `json:"links"`
			Troubles []trouble `json:"troubles"`
		} `json:"nodes"`
	}
	links = map[string]link{}
	if n.get("/v1/links?scope=node", &answer) && len(answer.Nodes) > 0 {
		for _, l := range answer.Nodes[0].Links {
			links[l.Peer] = l
		}
		troubles = answer.Nodes[0].Troubles
	}
	return links, troubles
}

// path is one session of an instance, as a node knows it.
type path struct {
	Node    string `json:"node"`
	Session string `json:"session"`
	Usable  bool   `json:"usable"`
	Local   bool   `json:"local"`
}

// registry returns all sessions that a node knows of, by module and instance.
func (n *node) registry() (known map[string][]path, ok bool) {
	var answer struct {
		Modules []struct {
			Module    string `json:"module"`
			Instances []struct {
				Instance string `json:"instance"`
				Paths    []path `json:"paths"`
			} `json:"instances"`
		} `json:"modules"`
	}
	if !n.get("/v1/registry", &answer) {
		return nil, false
	}
	known = map[string][]path{}
	for _, m := range answer.Modules {
		for _, i := range m.Instances {
			known[m.Module+"/"+i.Instance] = i.Paths
		}
	}
	return known, true
}

// pathsOf returns the nodes over which a node can reach an instance, sorted.
func (n *node) pathsOf(moduleName, instance string) (nodes []string) {
	known, _ := n.registry()
	for _, p := range known[moduleName+"/"+instance] {
		if p.Usable {
			nodes = append(nodes, p.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// sessionsOf returns what a node knows of another one's sessions, or of its own, as text that can be compared.
func (n *node) sessionsOf(owner string) (sessions []string, ok bool) {
	known, ok := n.registry()
	for name, paths := range known {
		for _, p := range paths {
			if p.Node == owner {
				sessions = append(sessions, fmt.Sprintf("%s %s usable=%t", name, p.Session, p.Usable))
			}
		}
	}
	slices.Sort(sessions)
	return sessions, ok
}

// metrics returns the values of the node's metrics, by name with labels.
func (n *node) metrics() map[string]float64 {
	n.world.t.Helper()
	r, err := n.admin.Get("http://127.0.0.1:7071/metrics")
	if err != nil {
		n.world.t.Fatalf("node %s: %v", n.name, err)
	}
	defer r.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		name, text, found := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil && found && name != "#" {
			values[name] = value
		}
	}
	return values
}
