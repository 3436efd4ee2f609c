//go:build linux

package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMovedNode is F32: the machine of c gets another address, and nobody is started again. First its name is made to
// mean the new address, then the list of members is changed while everybody runs.
func TestMovedNode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mesh = []memberLine{
			{"a", 1, w.host("a").ip + ":7072"},
			{"b", 2, w.host("b").ip + ":7072"},
			{"c", 3, "c.chaos:7072"},
		}
		w.names = map[string]string{"c": "c.modules"}
		hosts := filepath.Join(w.dir, "hosts")
		w.resolve(hosts, "c.chaos", "c.modules")
		w.command("mount", "--bind", hosts, "/etc/hosts")
		w.startNodes("a", "b", "c")
		w.serve("pay", "pay-b", "b", "b")
		w.serve("mid", "mid-c", "c", "c")
		aside := w.call("aside", "pay.Do", "a", steady, "a")
		over := w.serveAndCall("over", "mid.Do", "a", steady, "a")
		w.wantFlow(now(), aside, over)
		started := map[string]int{}
		for name, n := range w.nodes {
			started[name] = n.cmd.Process.Pid
		}

		moved := now()
		w.move("c")
		w.wantDown("a", "c", dead)
		w.resolve(hosts, "c.chaos", "c.modules")
		w.wantConverged(converged)
		w.wantOverlap(span{moved, now()})
		w.wantOpened("mid-c", moved)
		w.wantKnown("mid", "mid-c")
		w.wantFlow(now(), over)

		moved = now()
		w.move("c")
		w.wantDown("a", "c", dead)
		w.mesh[2].address = w.host("c").ip + ":7072"
		w.resolve(hosts, "c.modules") // nodes have the list
		list := filepath.Join(w.dir, "members.yaml")
		if err := os.WriteFile(list, []byte(w.listText()), 0o600); err != nil {
			w.t.Fatal(err)
		}
		text := w.nodes["a"].host.must(w.program, "mesh", "set", list)
		w.logf("twohop mesh set:\n%s", text)
		w.wantConverged(converged)
		w.wantOverlap(span{moved, now()})
		for name, n := range w.nodes {
			file, err := os.ReadFile(filepath.Join(n.dir, "members.yaml"))
			if err != nil || !strings.Contains(string(file), w.mesh[2].address) {
				w.t.Errorf("the members of node %s are %q, %v", name, file, err)
			}
			if n.cmd.Process.Pid != started[name] {
				w.t.Errorf("node %s was started again", name)
			}
			w.eventually("node "+name+" sees no trouble", converged, func() bool {
				_, troubles := n.links()
				return !slices.ContainsFunc(troubles, func(t trouble) bool { return t.Kind != "link_slow" })
			})
		}
		w.wantOpened("mid-c", moved)
		w.wantKnown("mid", "mid-c")
		whole := now()
		w.wantFlow(whole, over)
		w.wantAllOK(over, span{from: whole})
		w.wantAllOK(aside, span{from: w.books.since})
	})
}

// resolve makes names mean where c is, and no other names mean anything. The file keeps its place, because it is mounted over
// the machine's.
func (w *world) resolve(file string, names ...string) {
	w.t.Helper()
	text := "127.0.0.1 localhost\n"
	for _, name := range names {
		text += w.host("c").ip + " " + name + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
