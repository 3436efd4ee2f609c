package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const whatRulesDid = `{"node":"a","mark":{"epoch":1,"version":7},"hash":"77","author":"kim","text":"secret: x","troubles":[],"converged":false,
	"rules":[{"id":"try","kind":"rate","scope":{"module":"pay","caller":"web"},"line":3,"shadow":true,"refused":0,"shadowed":432,"alarmed":0,"paced":0,"nodes":2},
		{"id":"was","kind":"off","scope":{},"line":4,"shadow":true,"ended":true,"until":"2026-11-20T10:00:00Z","refused":6,"shadowed":1,"alarmed":2,"paced":3,"in_flight":4,"nodes":1}],
	"nodes":[{"node":"a","mark":{"epoch":1,"version":7},"hash":"77"},{"node":"b","mark":{"epoch":1,"version":6},"hash":"66"},{"node":"c","error":"late"}],
	"summed":[{"node":"a"},{"node":"b"},{"node":"c","error":"late"}]}`

func TestRulesAreListedWithWhatTheyDid(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/rules": whatRulesDid})
	code, out, errs := f.run("", "rules", "ls")
	if code != exitOK || errs != "twohop: node c was not heard, what its rules did is missing here: late\n" {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "version 1.7, in force at 1 of 3 nodes, as node a sees it: 2 rules", "ID KIND SCOPE UNTIL STATE REFUSED WOULD REFUSE ALARMED PACED",
		"try rate pay, caller web - shadow 0 432 0 0", "was off every call 2026-11-20 10:00:00 UTC shadow, ended 6 1 2 3")
	if q := f.questions("/v1/rules"); len(q) != 1 || q[0].query.Get("scope") != "mesh" {
		t.Errorf("asked %+v", q)
	}
	code, out, _ = f.run("", "rules", "ls", "--json")
	var got struct {
		Rules []struct {
			Shadowed int  `json:"shadowed"`
			Nodes    int  `json:"nodes"`
			InFlight *int `json:"in_flight"`
		} `json:"rules"`
	}
	if err := json.Unmarshal([]byte(out), &got); code != exitOK || err != nil || len(got.Rules) != 2 || got.Rules[0].Shadowed != 432 || got.Rules[0].Nodes != 2 ||
		got.Rules[1].InFlight == nil || *got.Rules[1].InFlight != 4 || strings.Contains(out, "secret") {
		t.Errorf("%d, %v, %s", code, err, out)
	}
	f = newFakeNode(t, map[string]string{"/v1/rules": `{"node":"a","mark":{"epoch":0,"version":0},"rules":[],"nodes":[{"node":"a"}],"summed":[{"node":"a"}]}`})
	if _, out, errs := f.run("", "rules", "ls"); out != "there is no document yet, as node a sees it: 0 rules\n" || errs != "" {
		t.Errorf("%q, %q", out, errs)
	}
	f = newFakeNode(t, map[string]string{"/v1/rules": inForce})
	if _, _, errs := f.run("", "rules", "ls"); !strings.Contains(errs, "node a is of a version that does not sum") {
		t.Errorf("%q", errs)
	}
}
