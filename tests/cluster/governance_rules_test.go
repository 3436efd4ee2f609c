package cluster

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rpcclient "github.com/twohop/twohop/rpcclient-sdk"
)

// A call that was refused at one node is explained at another one.
func aRefusedCallIsExplained(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b")
	web := g.clientAt("web", "b")
	kim := g.operatorAt("kim", "a")
	made := kim.puts(
		"id: all-callers, module: pay, callers: {allow: [web, app]}",
		"id: no-web, module: pay, method: Do, caller: web, callers: {deny: [web]}",
		"id: pay-limit, module: pay, rate: {per_second: 100}",
	)
	e := web.wantRefused("pay.Do", rpcclient.CodeDenied, "no-web", made.Mark.Version)
	if e.RPCID == 0 || e.Node != "b" {
		t.Fatalf("%v: want an rpc_id, by node b", e)
	}

	var v struct {
		Refusals []struct {
			Node     string `json:"node"`
			RPCID    string `json:"rpc_id"`
			Caller   string `json:"caller"`
			Method   string `json:"method"`
			CodeName string `json:"code_name"`
			RuleID   string `json:"rule_id"`
			Text     string `json:"text"`

			Explanation struct {
				Decided string `json:"decided"`
				Rules   []struct {
					ID      string `json:"id"`
					Refuses string `json:"refuses"`
				} `json:"rules"`
			} `json:"explanation"`
		} `json:"refusals"`
	}
	id := strconv.FormatUint(e.RPCID, 10)
	for _, node := range abc {
		at := g.operatorAt("lee", node)
		at.get(query("/v1/rules/explain", "rpc_id", id), &v)
		if len(v.Refusals) != 1 {
			t.Fatalf("node %s knows %d refusals of the call %s: %+v", node, len(v.Refusals), id, v)
		}
		r := v.Refusals[0]
		if r.Node != "b" || r.RPCID != id || r.Caller != "web" || r.Method != "Do" || r.CodeName != "DENIED" || r.RuleID != "no-web" {
			t.Errorf("node %s: %+v, want the call of web, denied at b by no-web", node, r)
		}
		if x := r.Explanation; x.Decided != "no-web" || len(x.Rules) != 3 || x.Rules[0].Refuses != "yes" || x.Rules[1].Refuses != "no" {
			t.Errorf("node %s explains it with %+v, want no-web to decide, before all-callers and pay-limit", node, x)
		}
		if !strings.Contains(r.Text, "no-web") {
			t.Errorf("node %s says %q", node, r.Text)
		}
		at.get("/v1/rules/refused?scope=mesh&rule=no-web", &v)
		if len(v.Refusals) != 1 || v.Refusals[0].RPCID != id {
			t.Errorf("node %s lists %+v, want the one call", node, v)
		}
	}
}

// A document that denies everybody is taken back.
func aBadDocumentIsRolledBack(t *testing.T, g *governed) {
	g.serveAt("pay", "pay-1", echo, "b")
	all := []*caller{g.clientAt("web", "a"), g.clientAt("app", "b"), g.clientAt("web", "c")}
	kim, lee := g.operatorAt("kim", "b"), g.operatorAt("lee", "c")
	good := kim.puts("id: pay-limit, module: pay, rate: {per_second: 10000}")
	bad := kim.puts("id: nobody, callers: {allow: [nobody-at-all]}")
	for _, who := range all {
		who.wantRefused("pay.Do", rpcclient.CodeDenied, "nobody", bad.Mark.Version)
	}

	noticed := time.Now()
	var h struct {
		Versions []struct {
			Mark mark `json:"mark"`
		} `json:"versions"`
	}
	lee.get("/v1/rules/history", &h)
	if len(h.Versions) != 2 || h.Versions[0].Mark != bad.Mark || h.Versions[1].Mark != good.Mark {
		t.Fatalf("the history is %+v, want %v and %v", h, bad.Mark, good.Mark)
	}
	c, status := lee.change(http.MethodPost, "/v1/rules/rollback", map[string]string{
		"to": h.Versions[1].Mark.String(), "reason": "it denies everybody", "author": "lee",
	})
	lee.wantMade(c, status)
	for _, who := range all {
		who.wantOK("pay.Do")
	}
	if took := time.Since(noticed); took > 3*time.Second {
		t.Errorf("calls succeed %v after the operator has begun", took)
	}
	if v := kim.rules(); !strings.Contains(v.Text, "pay-limit") || v.Mark != c.Mark || c.Mark.Version != bad.Mark.Version+1 {
		t.Errorf("in force is %v, want the text of %v as the version after %v", v, good.Mark, bad.Mark)
	}
}

// Two operators change the rules from the same version at two nodes, again and again: one is made, the other is told what is new.
func twoOperatorsAtOnce(t *testing.T, g *governed) {
	operators := []*operator{g.operatorAt("kim", "b"), g.operatorAt("lee", "c")}
	g.operatorAt("kim", "a").puts()
	rules := []string{}
	for round := range 20 {
		base := etag(operators[0].rules().Mark)
		g.within(soon, "both have the same rules", func() bool { return operators[0].rules().Mark == operators[1].rules().Mark })
		var did [2]changed
		var status [2]int
		var going sync.WaitGroup
		name := func(i int) string { return operators[i].name + "-" + strconv.Itoa(round) }
		for i, o := range operators {
			going.Go(func() {
				did[i], status[i] = o.put(base, append(slices.Clip(rules), "id: "+name(i)+", module: pay, off: {}")...)
			})
		}
		going.Wait()
		won, lost := 0, 1
		if status[won] != http.StatusOK {
			won, lost = 1, 0
		}
		if status[won] != http.StatusOK || status[lost] != http.StatusPreconditionFailed {
			t.Fatalf("round %d: %d %+v and %d %+v, want one 200 and one 412", round, status[0], did[0], status[1], did[1])
		}
		refused := did[lost]
		if refused.Has.Mark != did[won].Mark || refused.Has.Author != operators[won].name {
			t.Errorf("round %d: %s is told that %+v is there, want %v", round, operators[lost].name, refused.Has, did[won].Mark)
		}
		if len(refused.Changes) != 1 || refused.Changes[0].Op != "added" || refused.Changes[0].ID != name(won) {
			t.Errorf("round %d: %s is told that %+v has changed, want the rule %s added", round, operators[lost].name, refused.Changes, name(won))
		}
		rules = append(rules, "id: "+name(won)+", module: pay, off: {}")
		if round%2 == 1 {
			continue // the one that was refused gives up
		}
		c, again := operators[lost].put(etag(refused.Has.Mark), append(rules, "id: "+name(lost)+", module: pay, off: {}")...)
		if again != http.StatusOK {
			t.Fatalf("round %d: %s from the newest version: %d %+v", round, operators[lost].name, again, c)
		}
		rules = append(rules, "id: "+name(lost)+", module: pay, off: {}")
	}
	last := operators[0].rules().Mark
	if last.Version != uint64(1+len(rules)) {
		t.Errorf("the last version is %v, want one for each of %d changes", last, 1+len(rules))
	}
	for _, node := range abc {
		at := g.operatorAt("max", node)
		at.wantMark(last, soon)
		if text := at.rules().Text; text != document(rules...) {
			t.Errorf("node %s has %s, want the rule of each change that was made:\n%s", node, text, document(rules...))
		}
	}
}

func etag(m mark) string { return `"` + m.String() + `"` }

// What is too large, and what would grow without bounds, is refused whole and at once.
func hugeDocumentsAreRefused(t *testing.T, g *governed) {
	kim := g.operatorAt("kim", "b")
	before := kim.puts("id: pay-limit, module: pay, rate: {per_second: 10}").Mark
	bomb := "format: 1\nrules:\n  - id: bomb\n    module: &a0 pay\n"
	last := "a0"
	for i := range 30 {
		next := "a" + strconv.Itoa(i+1)
		bomb += "    x" + next + ": &" + next + " [*" + last + ", *" + last + ", *" + last + ", *" + last + "]\n"
		last = next
	}
	for _, c := range []struct {
		name, text, word string
		status           int
	}{
		{"more than 10 MiB", document() + strings.Repeat("# filler\n", 10<<20/9+1), "10485760", http.StatusRequestEntityTooLarge},
		{"one rule of almost 10 MiB", "format: 1\nrules:\n  - id: big\n    module: pay\n    off: {}\n    note: " + strings.Repeat("x", 10<<20-100) + "\n", "", http.StatusBadRequest},
		{"20,001 rules", "format: 1\nrules:\n" + manyRules(20_001), "20000", http.StatusBadRequest},
		{"brackets in brackets", "format: 1\nrules: " + strings.Repeat("[", 1<<20), "", http.StatusBadRequest},
		{"aliases of aliases", bomb, "", http.StatusBadRequest},
	} {
		began := time.Now()
		did, status := kim.change(http.MethodPut, "/v1/rules", c.text, "If-Match", "*", "X-Reason", "a story", "X-Author", "kim")
		took := time.Since(began)
		if status != c.status || did.Error == "" || !strings.Contains(strings.ReplaceAll(did.Error, ",", ""), c.word) || len(did.Error) > 4<<10 {
			t.Errorf("%s: %d %.300s, want %d and why in few words", c.name, status, did.Error, c.status)
		}
		if took > 2*time.Second*slack {
			t.Errorf("%s is refused after %v", c.name, took)
		}
		t.Logf("%s: %d after %v: %.150s", c.name, status, took.Round(time.Millisecond), did.Error)
	}
	for _, node := range abc {
		if m := g.operatorAt("lee", node).rules().Mark; m != before {
			t.Errorf("node %s has the rules %v, want %v", node, m, before)
		}
	}
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("  - {id: r" + strconv.Itoa(i) + ", module: m" + strconv.Itoa(i) + ", off: {}}\n")
	}
	return b.String()
}
