package main

import (
	"strings"
	"testing"
)

const (
	refusedCall = `{"node":"b","at":"2026-11-20T10:00:00Z","rpc_id":"4611686018427387904","caller":"web","caller_instance":"w1","caller_ip":"10.0.0.7","module":"fishtrade",
		"method":"SendRocket","group":"g1","code":23,"code_name":"DEGRADED","rule_id":"off:x","rule_version":7,"rule_epoch":1,"explanation":{"decided":"off:x"},"text":"web → fishtrade.SendRocket: refused\n  off:x \u001b[1m\n"}`
	elsewhere = `"nodes":[{"node":"a"},{"node":"c","error":"late"}]`
)

func TestACallIsExplained(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/rules/explain": `{"node":"a","rpc_id":"4611686018427387904","refusals":[` + refusedCall + `],` + elsewhere + `}`})
	code, out, errs := f.run("", "rules", "explain", "4611686018427387904")
	if code != exitOK || errs != "twohop: node c was not heard, what it has refused is missing here: late\n" {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "call 4611686018427387904 of web (w1 at 10.0.0.7) to fishtrade.SendRocket was refused at node b at 2026-11-20 10:00:00 UTC: DEGRADED, by rule off:x of version 1.7",
		"such a call now:", "web → fishtrade.SendRocket: refused", "off:x ?[1m")
	if q := f.questions("/v1/rules/explain"); q[0].query.Get("rpc_id") != "4611686018427387904" {
		t.Errorf("asked %v", q)
	}
	if _, out, _ := f.run("", "rules", "explain", "1", "--json"); !strings.Contains(out, `"decided": "off:x"`) {
		t.Errorf("as JSON: %s", out)
	}
	f.answers["/v1/rules/explain"] = `404 {"error":"no node that was heard has refused that call","refusals":[],` + elsewhere + `}`
	code, out, errs = f.run("", "rules", "explain", "7")
	if code != exitUsage || out != "" || !strings.Contains(errs, "node c was not heard, the call may have been refused there: late\n") || !strings.Contains(errs, "has refused that call") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

func TestACallIsExplainedThatNobodyHasMade(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/rules/explain": `{"node":"a","call":{"caller":"web"},"explanation":{"rules":[]},"text":"web → x: admitted\n  l1 (rate): 5 left\n"}`})
	code, out, errs := f.run("", "rules", "explain", "--what-if", "caller=web", "rpc=pay.eu.Charge", "group=g1", "ip=10.0.0.7", "instance=i", "external=true")
	if code != exitOK || errs != "" || out != "web → x: admitted\n  l1 (rate): 5 left\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if got, want := f.questions("/v1/rules/explain")[0].query.Encode(), "caller=web&external=true&group=g1&instance=i&ip=10.0.0.7&method=Charge&module=pay.eu"; got != want {
		t.Errorf("asked %s", got)
	}
	for says, args := range map[string][]string{
		"which call? As in":                                           {"--what-if"},
		"rpc is missing: a call goes to a method":                     {"--what-if", "caller=web"},
		`rpc is "fishtrade", must be MODULE.METHOD`:                   {"--what-if", "rpc=fishtrade"},
		`ip is "10.0.0", must be an address`:                          {"--what-if", "rpc=a.b", "ip=10.0.0"},
		`external is "1", must be true or false`:                      {"--what-if", "rpc=a.b", "external=1"},
		`"module" is no fact, only rpc, caller`:                       {"--what-if", "module=a"},
		`"web" is no fact, must be FACT=VALUE`:                        {"--what-if", "web"},
		`caller stands twice`:                                         {"--what-if", "caller=a", "caller=b"},
		`"x" is not the id of a call, must be a number`:               {"x"},
		`want the id of one call, or with --what-if its facts, as`:    {"caller=web"},
		`want the id of one call, or with --what-if its facts, as: t`: {},
	} {
		if code, _, errs := f.run("", append([]string{"rules", "explain"}, args...)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%q: %d, %q, want %s", args, code, errs, says)
		}
	}
}

func TestRefusedCallsAreListed(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/registry": registered, "/v1/rules/refused": `{"node":"a","refusals":[` + refusedCall + `],` + elsewhere + `}`})
	code, out, errs := f.run("", "rules", "refused", "--caller", "web", "--rpc", "fishtrade.SendRocket", "--rule", "off:x", "--limit", "5")
	if code != exitOK || !strings.Contains(errs, "node c was not heard") {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "AT NODE RPC ID CALLER ADDRESS METHOD GROUP STATUS RULE",
		"2026-11-20 10:00:00 UTC b 4611686018427387904 web 10.0.0.7 fishtrade.SendRocket g1 DEGRADED off:x")
	if got := f.questions("/v1/rules/refused")[0].query.Encode(); got != "caller=web&limit=5&method=SendRocket&module=fishtrade&rule=off%3Ax&scope=mesh" {
		t.Errorf("asked %s", got)
	}
	f.answers["/v1/rules/refused"] = `{"node":"a","refusals":[],"nodes":[]}`
	if _, out, _ := f.run("", "rules", "refused"); out != "no such call was refused by a rule in the last 10 minutes\n" {
		t.Errorf("%q", out)
	}
}
