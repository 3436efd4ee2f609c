package cluster

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/messageserver"
	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// A node that was away while the rules changed, and does not reach the keeper, has them from whom it reaches.
func aNodeThatWasAwayHasTheRules(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "c")
	kim := g.operatorAt("kim", "a")
	kim.puts("id: old, module: pay, off: {}")
	g.stopNode("b")
	made, status := kim.put("*", "id: new, module: pay, off: {}")
	if status != http.StatusOK || made.Converged {
		t.Fatalf("a change while b is away: %d %+v, want it made, and not everywhere", status, made)
	}

	g.net.split("a", "b")
	g.startNode("b")
	g.wantLink("b", "c", "up")
	at := g.operatorAt("lee", "b")
	at.wantMark(made.Mark, soon)
	if v := at.rules(); v.Source != "peer" || !strings.Contains(v.Text, "id: new") {
		t.Errorf("node b has the rules %v from the %s, want them from another node", v.Mark, v.Source)
	}
	g.wantKnownAt("b", "pay", "pay-1")
	g.clientAt("web", "b").wantRefused("pay.Do", rpcclient.CodeDegraded, "new", made.Mark.Version)
	at.wantAlarm("rules_store_down", "")
	if found := at.alarms("rules_differ"); len(found) > 0 {
		t.Errorf("the nodes have the same rules, and alarm %+v", found)
	}
	g.net.heal("a", "b")
	g.wantUp()
	g.within(healed, "node b reaches the store", func() bool { return at.trouble("rules_store_down") == "" })
	at.turns("on", map[string]any{"module": "pay"})
}

// The keeper is away: rules stay in force and cannot change, and the operator is told what to do.
func theKeeperIsAway(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b")
	g.serveAt("map", "map-1", echo, "c")
	web, app := g.clientAt("web", "c"), g.clientAt("app", "b")
	kim := g.operatorAt("kim", "b")
	made := kim.puts("id: no-web, module: pay, caller: web, off: {}", "id: limit, module: map, rate: {per_second: 0.1, burst: 1}")
	g.stopNode("a")

	away := func() {
		t.Helper()
		web.wantRefused("pay.Do", rpcclient.CodeDegraded, "no-web", made.Mark.Version)
		app.wantOK("pay.Do")
		kim.wantCannotChange("keeper", made.Mark)
	}
	away()
	y := app.crowd(20, "map.Do", 0).wantEnds(5 * time.Second)
	if y.ok > 3 || y.codes[rpcclient.CodeRateLimited]+y.ok != 20 {
		t.Errorf("%v: want them limited", y)
	}
	found := kim.wantAlarm("rules_store_down", "")
	if !slices.Contains(found.Reporters, "b") && !slices.Contains(found.Reporters, "c") {
		t.Errorf("the alarm is %+v", found)
	}
	away()

	g.startNode("a")
	g.wantUp()
	kim.wantChanges(made.Mark)
	web.wantOK("pay.Do")
	kim.wantNoAlarm("rules_store_down")
}

// Redis keeps the rules. It is killed, comes back, and comes back empty.
func redisKeepsTheRules(t *testing.T) {
	redis := testkit.Redis(t)
	g := governWith(t, false, func(o *messageserver.Options) { o.Redis.Addresses = []string{redis.Address} }, abc...)
	g.serveAt("pay", "pay-1", echo, "b")
	web, app := g.clientAt("web", "c"), g.clientAt("app", "a")
	kim, lee := g.operatorAt("kim", "b"), g.operatorAt("lee", "c")
	made := kim.puts("id: no-web, module: pay, caller: web, off: {}")

	redis.Kill()
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, "no-web", made.Mark.Version)
	app.wantOK("pay.Do")
	kim.wantCannotChange("redis", made.Mark)
	kim.wantAlarm("rules_store_down", "")
	redis.Start()
	g.within(healed, "the store is there again", func() bool { return kim.trouble("rules_store_down")+lee.trouble("rules_store_down") == "" })
	made = lee.puts("id: not-web, module: pay, caller: web, off: {}")
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, "not-web", made.Mark.Version)

	redis.Wipe()
	redis.Start()
	var h struct {
		Versions []struct {
			Mark mark `json:"mark"`
		} `json:"versions"`
	}
	g.within(healed, "what was in force is in the empty store", func() bool {
		a := kim.ask(http.MethodGet, "/v1/rules/history", nil)
		h.Versions = nil
		if a.status == http.StatusOK {
			a.into(g, &h)
		}
		return len(h.Versions) == 1 && h.Versions[0].Mark == made.Mark
	})
	lee.wantAlarm("rules_store_older", "")
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, "not-web", made.Mark.Version)
	for _, node := range abc {
		if m := g.operatorAt("max", node).rules().Mark; m != made.Mark {
			t.Errorf("node %s has the rules %v, want %v", node, m, made.Mark)
		}
	}
	g.within(healed, "the store is there again", func() bool { return kim.trouble("rules_store_down")+lee.trouble("rules_store_down") == "" })
	kim.wantChanges(made.Mark)
	web.wantOK("pay.Do")
	kim.wantNoAlarm("rules_store_down")
}

// wantCannotChange wants changes of all kinds to be refused, because the store is away, and to have done nothing.
func (o *operator) wantCannotChange(word string, has mark) {
	o.g.t.Helper()
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, "/v1/rules", document("id: anything, module: pay, off: {}")},
		{http.MethodPost, "/v1/switches", map[string]any{"action": "off", "module": "map", "reason": "a story"}},
		{http.MethodPost, "/v1/rules/rollback", map[string]any{"to": has.String(), "reason": "a story"}},
	} {
		did, status := o.change(c.method, c.path, c.body, "If-Match", "*", "X-Reason", "a story")
		if status != http.StatusServiceUnavailable || !strings.Contains(did.Error, word) || !strings.Contains(did.Error, "nothing") {
			o.g.t.Errorf("%s %s while the store is away: %d %+v, want 503, that nothing has changed, and what is away (%s)", c.method, c.path, status, did, word)
		}
	}
	for _, h := range o.g.running() {
		if m := o.g.operatorAt("max", h.name).rules().Mark; m != has {
			o.g.t.Errorf("node %s has the rules %v, want %v", h.name, m, has)
		}
	}
}

// wantChanges takes all rules away, as the version after has.
func (o *operator) wantChanges(has mark) {
	o.g.t.Helper()
	if c := o.puts(); c.Mark.Epoch != has.Epoch || c.Mark.Version != has.Version+1 {
		o.g.t.Errorf("the next version is %v, want the one after %v", c.Mark, has)
	}
}
