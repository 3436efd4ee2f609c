package cluster

import (
	"net/http"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// offForWeb is what switches pay off for the callers of the module web.
func offForWeb() map[string]any {
	return map[string]any{
		"module": "pay", "caller": "web",
		"off": map[string]any{"fallback": `{"later":true}`, "fallback_type": "application/json"},
	}
}

// A module is switched off for one caller while calls are in flight.
func offWithCallsInFlight(t *testing.T, g *governed) {
	gate := g.gate()
	pay1, pay2 := g.serveAt("pay", "pay-1", gate.echo, "a"), g.serveAt("pay", "pay-2", gate.echo, "b")
	g.serveAt("map", "map-1", echo, "b")
	webs := []*caller{g.clientAt("web", "a"), g.clientAt("web", "b"), g.clientAt("web", "c")}
	app := g.clientAt("app", "b")
	byWeb, byApp := webs[0].crowd(40, "pay.Do", 0), app.crowd(40, "pay.Do", 0)
	g.wantRunning(80, pay1, pay2)
	others := app.stream(2, "map.Do", 0)
	others.wantFlow(20)

	kim := g.operatorAt("kim", "c")
	off := kim.turns("off", offForWeb())
	for _, web := range webs {
		e := web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version)
		if string(e.Fallback) != `{"later":true}` || e.FallbackType != "application/json" {
			t.Errorf("the call is answered with %q of %q, want the rule's fallback", e.Fallback, e.FallbackType)
		}
		web.wantOK("map.Do")
	}
	more := app.crowd(20, "pay.Do", 0)
	g.wantRunning(100, pay1, pay2)
	gate.opens()
	byWeb.wantEnds(5 * time.Second).wantAll()
	byApp.wantEnds(5 * time.Second).wantAll()
	more.wantEnds(5 * time.Second).wantAll()
	app.crowd(50, "pay.Do", 0).wantEnds(5 * time.Second).wantAll()
	others.wantFlow(80)
	others.wantUnharmed()

	on := g.operatorAt("lee", "b").turns("on", map[string]any{"module": "pay", "caller": "web"})
	if on.Mark.Version != off.Mark.Version+1 {
		t.Errorf("on makes version %v of %v", on.Mark, off.Mark)
	}
	for _, web := range webs {
		web.wantOK("pay.Do")
	}
	if c, status := kim.turn("on", map[string]any{"module": "pay", "caller": "web"}); status != http.StatusNotFound || c.Error == "" {
		t.Errorf("on again: %d %+v, want 404: there is no such switch", status, c)
	}
}

// A node that has not heard of a switch lets calls in; they are refused next to the handler.
func anOlderNodeIsNoWayAround(t *testing.T, g *governed) {
	pay := g.serveAt("pay", "pay-1", echo, "a", "c")
	web, app := g.clientAt("web", "c"), g.clientAt("app", "c")
	web.wantOK("pay.Do")
	before := g.operatorAt("lee", "c").rules().Mark
	for _, other := range []string{"a", "b"} {
		g.net.split(other, "c")
		g.wantDown(other, "c")
	}

	off, status := g.operatorAt("kim", "b").turn("off", offForWeb())
	if status != http.StatusOK || off.Converged {
		t.Fatalf("off at b: %d %+v, want it made, and not everywhere", status, off)
	}
	lee := g.operatorAt("lee", "c")
	g.within(soon, "the server has heard of the switch at a", func() bool { return web.tries("pay.Do") != nil })
	ran := pay.started.Load()
	e := web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version)
	if e.Node == "c" || string(e.Fallback) != `{"later":true}` {
		t.Errorf("%v with the body %q: want the server to refuse it, with the rule's fallback", e, e.Fallback)
	}
	if m := lee.rules().Mark; m != before {
		t.Errorf("VOID: node c has the rules %v", m)
	}
	if n := pay.started.Load(); n != ran {
		t.Errorf("the handler ran %d times", n-ran)
	}
	app.wantOK("pay.Do")

	for _, other := range []string{"a", "b"} {
		g.net.heal(other, "c")
	}
	g.wantUp()
	lee.wantMark(off.Mark, soon)
	if e := web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version); e.Node != "c" {
		t.Errorf("%v: want node c to refuse it by now", e)
	}
}

// A switch outlives the processes of all nodes, and a node that starts while the keeper is away knows of it.
func offOutlivesAllNodes(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b", "c")
	web, app := g.clientAt("web", "b", "c"), g.clientAt("app", "b", "c")
	off := g.operatorAt("kim", "c").turns("off", offForWeb())
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version)

	g.stopAll()
	g.startNode("b") // the keeper, a, is away
	at := g.operatorAt("lee", "b")
	if v := at.rules(); v.Mark != off.Mark || v.Source != "cache" {
		t.Errorf("node b has the rules %v from the %s, want %v from its cache", v.Mark, v.Source, off.Mark)
	}
	g.wantKnown("pay", "pay-1")
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version)
	app.wantOK("pay.Do")
	g.startNode("a")
	g.startNode("c")
	g.wantUp()
	for _, name := range abc {
		g.operatorAt("lee", name).wantMark(off.Mark, soon)
	}
	web.wantRefused("pay.Do", rpcclient.CodeDegraded, off.ID, off.Mark.Version)
	g.wantKnown("pay", "pay-1")
	at.turns("on", map[string]any{"module": "pay", "caller": "web"})
	web.wantOK("pay.Do")
}

// A switch with an end is over at its time, at nodes and in servers, and nobody has to do anything.
func offEndsByItself(t *testing.T, g *governed) {
	pay := g.serveAt("pay", "pay-1", echo, "b")
	webs := []*caller{g.clientAt("web", "a"), g.clientAt("web", "b"), g.clientAt("web", "c")}
	const lasts = 2500 * time.Millisecond
	fields := offForWeb()
	fields["for_seconds"] = lasts.Seconds()
	asked := time.Now()
	off := g.operatorAt("kim", "c").turns("off", fields)
	made := time.Now()
	refused := 0
	for _, web := range webs {
		var over time.Time
		g.within(lasts, "the switch is over for a caller", func() bool {
			err := web.tries("pay.Do")
			over = time.Now()
			if err != nil {
				refused++
				wantCode(t, err, rpcclient.CodeDegraded)
			}
			return err == nil
		})
		// The node turns its end into its own clock's time once a second.
		if took := over.Sub(asked); took < lasts-50*time.Millisecond {
			t.Errorf("calls succeed after %v, want the switch to last %v", took, lasts)
		}
		if late := over.Sub(made) - lasts; late > 2*time.Second {
			t.Errorf("calls succeed %v after the end of the switch", late)
		}
	}
	if refused == 0 {
		t.Error("VOID: no call was refused")
	}
	if n := pay.started.Load(); n != int64(len(webs)) {
		t.Errorf("%d handlers started, want the %d of the calls that succeeded", n, len(webs))
	}
	for _, name := range abc {
		at := g.operatorAt("lee", name)
		if m := at.rules().Mark; m != off.Mark || !at.rule(off.ID).Ended {
			t.Errorf("node %s has the rules %v with %+v, want %v, with the switch ended", name, m, at.rule(off.ID), off.Mark)
		}
	}
}
