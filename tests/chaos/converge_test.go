//go:build linux

package chaos

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// wantLinked waits until all links between nodes that run are up.
func (w *world) wantLinked(limit time.Duration) {
	w.t.Helper()
	w.eventually("all links are up", limit, w.linked)
}

func (w *world) linked() bool {
	for _, n := range w.nodes {
		if !n.running() {
			continue
		}
		links, _ := n.links()
		for other, o := range w.nodes {
			if other != n.name && o.running() && links[other].State != "up" {
				return false
			}
		}
	}
	return true
}

// wantConverged waits until all links are up, every node knows exactly the sessions that their owner has, and all
// have heard the same version of it.
func (w *world) wantConverged(limit time.Duration) time.Duration {
	w.t.Helper()
	return w.eventually("all registries are their owners'", limit, func() bool { return w.linked() && w.agreed() })
}

func (w *world) agreed() bool {
	for owner, o := range w.nodes {
		if !o.running() {
			continue
		}
		own, ok := o.sessionsOf(owner)
		if !ok {
			return false
		}
		version := ""
		for name, n := range w.nodes {
			if name == owner || !n.running() {
				continue
			}
			if seen, ok := n.sessionsOf(owner); !ok || !slices.Equal(seen, own) {
				return false
			}
			links, _ := n.links()
			l := links[owner]
			heard := l.Incarnation + " " + l.Version + " " + l.Digest
			if version != "" && version != heard {
				return false
			}
			version = heard
		}
	}
	return true
}

// wantDown waits until a node does not count on its link to another one any more.
func (w *world) wantDown(name, other string, limit time.Duration) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("the link of %s to %s is down", name, other), limit, func() bool {
		links, _ := w.nodes[name].links()
		switch links[other].State {
		case "", "up", "syncing":
			return false
		}
		w.logf("%s says of %s: %s: %s", name, other, links[other].State, links[other].Cause)
		return true
	})
}

// wantStayedUp fails the story if a link has not been up without a break since a time of now.
func (w *world) wantStayedUp(since int64, pairs ...[2]string) {
	w.t.Helper()
	for _, p := range pairs {
		least := time.Duration(now() - since).Seconds()
		links, _ := w.nodes[p[0]].links()
		l := links[p[1]]
		if l.State != "up" || l.Seconds < least {
			w.t.Errorf("the link of %s to %s is %s for %.1f s, must have been up for %.1f s: %s", p[0], p[1], l.State, l.Seconds, least, l.Cause)
		}
	}
}

// wantQuiet waits until nothing is under way at a node whose callers have ended, and looks at its books.
func (n *node) wantQuiet() {
	w := n.world
	w.t.Helper()
	if !n.running() {
		return
	}
	var left string
	w.eventually("nothing is under way at node "+n.name+" "+left, patience, func() bool {
		left = ""
		for name, value := range n.metrics() {
			if value != 0 && (name == "twohop_calls_in_flight" || name == "twohop_calls_kept_bytes" || strings.HasPrefix(name, "twohop_link_in_flight")) {
				left += fmt.Sprintf("%s=%v ", name, value)
			}
		}
		return left == ""
	})
	r, err := n.admin.Get("http://127.0.0.1:7071/debug/check")
	if err != nil {
		w.t.Errorf("node %s: %v", n.name, err)
		return
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text := make([]byte, 4000)
		k, _ := r.Body.Read(text)
		w.t.Errorf("node %s: /debug/check answers %d: %s", n.name, r.StatusCode, text[:k])
	}
}

// wantNoLeak waits until a node has given back what it had for modules, all of which have ended.
func (n *node) wantNoLeak() {
	w := n.world
	w.t.Helper()
	before := w.baseline[n.name]
	if !n.running() || before == nil {
		return
	}
	var left string
	for over := time.Now().Add(patience); ; {
		left = ""
		values := n.metrics()
		for name, value := range values {
			if strings.HasPrefix(name, "twohop_sessions{") && value != 0 {
				left += fmt.Sprintf("%s=%v ", name, value)
			}
		}
		for name, more := range map[string]float64{"go_goroutines": 4, "process_open_fds": 2, "twohop_registry_entries": 0, "twohop_instances": 0} {
			if values[name] > before[name]+more {
				left += fmt.Sprintf("%s=%v, was %v ", name, values[name], before[name])
			}
		}
		if left == "" || time.Now().After(over) {
			break
		}
		w.pass(50 * time.Millisecond)
	}
	if left != "" {
		w.t.Errorf("node %s has kept something: %s", n.name, left)
	}
}
