package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
	rpcserver "github.com/twohop/twohop/rpcserver-sdk"
)

// statsRow is what was counted of one caller.
type statsRow struct {
	Caller   string            `json:"caller"`
	Module   string            `json:"module"`
	Method   string            `json:"method"`
	Entered  uint64            `json:"entered"`
	Started  uint64            `json:"started"`
	Finished uint64            `json:"finished"`
	InFlight int64             `json:"in_flight"`
	Classes  map[string]uint64 `json:"classes"`
	Codes    map[string]uint64 `json:"codes"`
}

// stats returns what was counted of pay in the whole mesh since it started, by caller.
func (o *operator) stats() map[string]statsRow {
	o.g.t.Helper()
	var v struct {
		Rows  []statsRow `json:"rows"`
		Nodes []struct {
			Node  string `json:"node"`
			Error string `json:"error"`
		} `json:"nodes"`
	}
	o.get("/v1/stats?scope=mesh&by=caller_method&module=pay&total=true", &v)
	if len(v.Nodes) != len(o.g.running()) {
		o.g.t.Errorf("node %s tells of the nodes %+v", o.node, v.Nodes)
	}
	rows := map[string]statsRow{}
	for _, r := range v.Rows {
		rows[r.Caller] = r
	}
	if len(rows) != len(v.Rows) {
		o.g.t.Errorf("node %s has %d rows of %d callers", o.node, len(v.Rows), len(rows))
	}
	return rows
}

// Two callers make a thousand calls over three nodes, which end in all ways; every node adds up the same.
func statisticsAddUp(t *testing.T, g *governed) {
	moody := func(ctx context.Context, r *rpcserver.Request) ([]byte, error) {
		if strings.Contains(string(r.Body), "fails|") {
			return nil, errors.New("it is in a mood")
		}
		return echo(ctx, r)
	}
	modules := []*module{g.serveAt("pay", "pay-1", moody, "a"), g.serveAt("pay", "pay-2", moody, "b", "c")}
	fails := func(a *caller) *caller {
		moody := *a
		moody.name = a.name + " fails"
		return &moody
	}
	shop := []*caller{g.clientAt("shop", "a"), g.clientAt("shop", "b")}
	web := []*caller{g.clientAt("web", "b"), g.clientAt("web", "c")}
	for _, c := range []*crowd{
		shop[0].crowd(350, "pay.Do", 0), shop[1].crowd(250, "pay.Do", 0), web[0].crowd(100, "pay.Do", 0), web[1].crowd(100, "pay.Do", 0),
	} {
		c.wantEnds(10 * time.Second).wantAll()
	}
	for _, who := range web {
		if y := fails(who).crowd(50, "pay.Do", 0).wantEnds(5 * time.Second); y.class[rpcclient.Executed] != 50 {
			t.Errorf("%v: want the handlers to fail", y)
		}
	}
	g.operatorAt("kim", "a").turns("off", map[string]any{"module": "pay", "caller": "web"})
	for _, who := range web {
		if y := who.crowd(50, "pay.Do", 0).wantEnds(5 * time.Second); y.codes[rpcclient.CodeDegraded] != 50 {
			t.Errorf("%v: want them to be off", y)
		}
	}

	ran := uint64(0)
	for _, m := range modules {
		ran += uint64(m.started.Load())
	}
	want := map[string]statsRow{
		"shop": {Entered: 600, Started: 600, Finished: 600, Classes: map[string]uint64{"success": 600}},
		"web":  {Entered: 400, Started: 300, Finished: 400, Classes: map[string]uint64{"success": 200, "executed": 100, "not_executed": 100}},
	}
	if ran != 900 {
		t.Errorf("the handlers ran %d times, want 900", ran)
	}
	for _, node := range abc {
		at := g.operatorAt("lee", node)
		rows := at.stats()
		if len(rows) != len(want) {
			t.Errorf("node %s has counted %+v, want the two callers", node, rows)
		}
		for caller, w := range want {
			r := rows[caller]
			if r.Module != "pay" || r.Method != "Do" || r.Entered != w.Entered || r.Started != w.Started || r.Finished != w.Finished || r.InFlight != 0 {
				t.Errorf("node %s has counted %+v of %s, want %+v", node, r, caller, w)
			}
			for _, class := range []string{"success", "executed", "not_executed", "unknown"} {
				if r.Classes[class] != w.Classes[class] {
					t.Errorf("node %s has counted %d calls of %s as %s, want %d", node, r.Classes[class], caller, class, w.Classes[class])
				}
			}
		}
		if n := rows["web"].Codes["DEGRADED"]; n != 100 {
			t.Errorf("node %s has counted %d DEGRADED calls of web, want 100: %v", node, n, rows["web"].Codes)
		}
		var top struct {
			Callers []struct {
				Caller string `json:"caller"`
				Calls  uint64 `json:"calls"`
			} `json:"callers"`
		}
		at.get("/v1/stats/callers?scope=mesh&module=pay", &top)
		if c := top.Callers; len(c) != 2 || c[0].Caller != "shop" || c[0].Calls != 600 || c[1].Caller != "web" || c[1].Calls != 400 {
			t.Errorf("node %s names the callers %+v, want 600 calls of shop and 400 of web", node, c)
		}
	}
}
