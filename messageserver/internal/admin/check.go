package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// check is one answer of /readyz.
type check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning,omitempty"` // it does not decide whether the node is ready
	Message string `json:"message"`
}

// checks answers every question that readiness has.
func (src *Sources) checks() []check {
	checks := []check{
		pass("listener", src.Listening(), "modules can connect to "+src.Address, "the listener is closed: modules cannot connect"),
		pass("draining", !src.Draining(), "the node takes sessions and calls", "the node stops, or is not of the mesh any more: it takes no new sessions and no new calls"),
		consistent(src.differences()),
		needed(src.Needs()),
	}
	if src.Peers != nil {
		checks = append(checks, linksUp(src.Peers.Links(), src.Peers.Troubles()))
	}
	return checks
}

// linksUp warns of links that are not up. It leaves the node ready, also when no link is: the modules that are here are served.
func linksUp(links []Link, troubles []Trouble) check {
	c := check{Name: "links", Warning: true}
	var down []string
	for i := range links {
		if links[i].State != "up" {
			down = append(down, fmt.Sprintf("%s is %s", links[i].Peer, links[i].text(troubles)))
		}
	}
	slices.Sort(down)
	up := len(links) - len(down)
	c.OK, c.Message = len(down) == 0, fmt.Sprintf("%d of %d links are up", up, len(links))
	switch {
	case c.OK:
	case up == 0:
		c.Message = "no link is up, and only the modules of this node are served: " + strings.Join(down, "; ")
	default:
		c.Message += ": " + strings.Join(down, "; ")
	}
	return c
}

func isReady(checks []check) bool {
	return !slices.ContainsFunc(checks, func(c check) bool { return !c.OK && !c.Warning })
}

func pass(name string, ok bool, yes, no string) check {
	if !ok {
		yes = no
	}
	return check{Name: name, OK: ok, Message: yes}
}

func consistent(err error) check {
	if err != nil {
		return check{Name: "consistency", Message: err.Error()}
	}
	return check{Name: "consistency", OK: true, Message: "what the rooms count is what they hold"}
}

func needed(missing map[string][]string) check {
	c := check{Name: "needs", OK: len(missing) == 0, Warning: true, Message: "every module that a session needs is served"}
	if c.OK {
		return c
	}
	var lines []string
	for module, by := range missing {
		slices.Sort(by)
		more := ""
		if n := len(by) - maxNeeding; n > 0 {
			by, more = by[:maxNeeding], fmt.Sprintf(" and %d more", n)
		}
		lines = append(lines, fmt.Sprintf("nobody serves %s, which %s%s needs", module, strings.Join(by, ", "), more))
	}
	slices.Sort(lines)
	c.Message = strings.Join(lines, "; ")
	return c
}

// maxNeeding is how many sessions are named for one module that they miss.
const maxNeeding = 3

// differences asks the rooms for differences in their books. One that is not found again on the second look was a change
// that was under way.
func (src *Sources) differences() error {
	if src.Consistency() == nil {
		return nil
	}
	return src.Consistency()
}

// health answers /healthz.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
		Node   string `json:"node"`
	}{"ok", s.src.Node})
}

// ready answers /readyz.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	checks := s.src.checks()
	ready, status := isReady(checks), http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, struct {
		Ready  bool    `json:"ready"`
		Node   string  `json:"node"`
		Checks []check `json:"checks"`
	}{ready, s.src.Node, checks})
}

// check answers /debug/check.
func (s *Server) check(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.src.differences(); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
