//go:build linux

package chaos

import (
	"net"
	"slices"
	"testing"
	"time"
)

// TestHostsVanish is F21: the machines of an instance, of a caller and of a node disappear at once, and say nothing.
func TestHostsVanish(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMesh("a", "b", "c")
		w.serve("near", "near-a", "a", "a")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("pay", "pay-m", "m", "a")
		w.serve("mid", "mid-c", "c", "c")
		home := w.call("home", "near.Do", "a", steady, "a")
		pays := w.serveAndCall("pays", "pay.Do", "a", load{workers: 60, every: 450 * time.Millisecond, timeout: 2 * time.Second}, "a")
		user := w.call("user", "near.Do", "u", gentle, "a")
		w.wantFlow(now(), home, pays, user)

		fault := now()
		for _, name := range []string{"m", "u", "c"} {
			w.vanish(name)
		}
		w.wantDown("a", "c", dead)
		w.wantDown("b", "c", dead)
		w.eventually("node c is called dead", dead, func() bool {
			_, troubles := w.nodes["a"].links()
			return slices.ContainsFunc(troubles, func(t trouble) bool { return t.Kind == "node_dead" && t.Peer == "c" })
		})
		w.eventually("the sessions of the hosts that vanished are freed", freed-time.Duration(now()-fault), func() bool {
			return len(w.nodes["a"].sessionsFrom("m")) == 0 && len(w.nodes["a"].sessionsFrom("u")) == 0
		})
		gone := now()
		w.wantFlow(gone, pays)
		w.pass(held(time.Second, 30*time.Second))
		healing := now()
		w.wantOverlap(span{fault, healing})
		w.heal()
		w.wantConverged(converged)
		w.wantKnown("pay", "pay-m")
		whole := now()
		w.wantFlow(whole, home, pays, user)

		w.wantAllOK(home, span{from: w.books.since})
		w.wantAllOK(pays, span{gone, healing})
		w.wantAllOK(pays, span{from: whole})
		w.wantAllOK(user, span{from: whole})
	})
}

// sessionsFrom returns the sessions that a node has with modules on a host.
func (n *node) sessionsFrom(host string) (remotes []string) {
	var answer struct {
		Sessions []struct {
			Remote string `json:"remote"`
		} `json:"sessions"`
	}
	if !n.get("/v1/sessions", &answer) {
		return []string{"not heard"}
	}
	for _, s := range answer.Sessions {
		if ip, _, err := net.SplitHostPort(s.Remote); err == nil && ip == n.world.host(host).ip {
			remotes = append(remotes, s.Remote)
		}
	}
	return remotes
}
