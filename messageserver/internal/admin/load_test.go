package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/proto/wire"
)

func TestEveryNodeShowsItsLoad(t *testing.T) {
	w := meet(t, "a", "b")
	b := w.nodes["b"]
	b.register("pay", "1", "Charge")
	b.register("pay", "2", "Charge")
	b.sessions = []Session{{Role: "server"}, {Role: "both"}, {Role: "caller"}}
	b.draining = true
	n := b.router.Counters()
	n.Submitted.Add(12)
	n.Settled[wire.NotExecuted].Add(5)
	n.OneWay.Add(3)
	n.OneHop.Add(4)
	n.TwoHop.Add(6)
	n.Transit.Submitted.Add(8)
	w.cut("b", "a", "down", "dead")
	w.peers["b"].links[0].FramesIn, w.peers["b"].links[0].BytesOut = 8, 9
	w.peers["b"].troubles = make([]Trouble, 2)
	var got struct {
		Nodes []struct {
			Error string
			load
		}
	}
	w.nodes["a"].wantJSON("/v1/load?scope=mesh", http.StatusOK, &got)
	if len(got.Nodes) != 2 || got.Nodes[0].Node != "a" || got.Nodes[0].State != "ready" || got.Nodes[0].LinksUp != 1 {
		t.Fatalf("got %+v", got)
	}
	l := got.Nodes[1].load
	if l.Node != "b" || l.Number != 7 || l.Version != "v1" || l.State != "draining" || l.Uptime <= 0 || l.Sessions != 3 || l.Servers != 2 ||
		l.Instances != 2 || l.Links != 1 || l.LinksUp != 0 || l.Troubles != 2 || l.Submitted != 12 || l.Settled["NOT_EXECUTED"] != 5 ||
		l.OneWay != 3 || l.OneHop != 4 || l.TwoHop != 6 || l.Transit != 8 || l.LinkFramesIn != 8 || l.LinkBytesOut != 9 {
		t.Errorf("got %+v", l)
	}
	if l.Goroutines < 2 || l.Heap == 0 || l.Memory < l.Heap || l.CPU <= 0 {
		t.Errorf("the process: %+v", l)
	}
	if v, ok := l.Settled["SUCCESS"]; !ok || v != 0 {
		t.Errorf("a class without calls is missing: %+v", l.Settled)
	}
	status, body, _ := w.nodes["a"].get("/v1/load")
	if status != http.StatusOK || strings.Count(body, `"uptime_seconds"`) != 1 {
		t.Errorf("%d %s", status, body)
	}
	b.draining, b.closed = false, true
	src := b.sources()
	if state := src.ownLoad().State; state != "not_ready" {
		t.Errorf("a node that does not listen is %s", state)
	}
}
