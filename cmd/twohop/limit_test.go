package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

func TestLimitsAreSet(t *testing.T) {
	for _, test := range []struct {
		args   []string
		module string
		want   adminclient.Limit
	}{
		{[]string{"fishtrade.SendRocket", "1000/s"}, "fishtrade", adminclient.Limit{PerSecond: 1000, Per: "cluster"}},
		{[]string{"fishtrade", "90/m", "--burst", "7", "--per", "node", "--each-caller"}, "fishtrade", adminclient.Limit{PerSecond: 1.5, Burst: 7, Per: "node", Each: "caller"}},
		{[]string{"fishtrade", "36/h", "--per", "instance"}, "fishtrade", adminclient.Limit{PerSecond: 0.01, Per: "instance"}},
		{[]string{"--caller", "web", "2.5/s", "--pace", "100ms"}, "", adminclient.Limit{PerSecond: 2.5, Per: "cluster", Over: "pace", MaxWaitMS: 100}},
		{[]string{"--caller", "web", "1/s", "--alarm-only"}, "", adminclient.Limit{PerSecond: 1, Per: "cluster", Over: "alarm"}},
	} {
		f := switches(t)
		code, _, errs := f.run("", append(append([]string{"limit"}, test.args...), "--reason", "x", "--yes")...)
		sent := f.sent()
		if code != exitOK || len(sent) != 1 || sent[0].Action != "limit" || sent[0].Module != test.module || *sent[0].Limit != test.want {
			t.Errorf("%q: %d, %q, %+v", test.args, code, errs, sent)
		}
	}
	f := switches(t)
	if _, _, errs := f.runAt("n\n", "limit", "fishtrade.SendRocket", "1000/s", "--reason", "x"); !strings.Contains(errs, "Limit fishtrade.SendRocket to 1000/s? [y/N]") || len(f.sent()) != 0 {
		t.Errorf("%q", errs)
	}
}

func TestLimitsThatAreNotSet(t *testing.T) {
	for says, args := range map[string][]string{
		`the limit is missing`: {}, `the limit is "fishtrade", must be a number of calls per time, as 1000/s`: {"fishtrade"},
		`the limit is "1000", must`: {"fishtrade", "1000"}, `the limit is "x/s", must`: {"fishtrade", "x/s"}, `the limit is "1/d", must`: {"fishtrade", "1/d"},
		`the limit is "NaN/s", must`: {"fishtrade", "NaN/s"}, `the limit is "0/s", must be more than 0: ` + "`twohop off`": {"fishtrade", "0/s"},
		`--per is "mesh", must be cluster, node, instance`: {"fishtrade", "1/s", "--per", "mesh"},
		`--burst is 0, must be at least 1`:                 {"fishtrade", "1/s", "--burst", "0"},
		`--pace and --alarm-only both say`:                 {"fishtrade", "1/s", "--pace", "1s", "--alarm-only"},
		`--pace is 0s, must be at least 1ms`:               {"fishtrade", "1/s", "--pace", "0"},
		`--per instance is enforced by the server SDK`:     {"fishtrade", "1/s", "--per", "instance", "--each-caller"},
		`which calls?`: {"1/s"},
		`"3/s" is too much: a method or module, and a rate`: {"fishtrade", "1/s", "3/s"},
		`"1/s" is too much`: {"fishtrade", "1/s", "--remove"},
		`--burst says how to limit, and --remove takes the limit away`: {"fishtrade", "--remove", "--burst", "3"},
	} {
		f := switches(t)
		code, _, errs := f.run("", append(append([]string{"limit"}, args...), "--reason", "x", "--yes")...)
		if code != exitUsage || !strings.Contains(errs, says) || len(f.sent()) != 0 {
			t.Errorf("%q: %d, %q, want %s", args, code, errs, says)
		}
	}
}

func TestLimitsAreTakenAwayByTheirNames(t *testing.T) {
	document := func(rules string) *fakeNode {
		f := switches(t)
		text := "format: 1\nrules:\n" + rules
		f.answers["/v1/rules"] = `{"node":"a","mark":{"epoch":1,"version":7},"hash":"7","rules":[],"text":` + strconv.Quote(text) + `}`
		return f
	}
	const some = "  - {id: 'limit:l1', module: fishtrade, method: SendRocket, rate: {per_second: 5}}\n  - {id: 'limit:l2', module: fishtrade, method: SendRocket, caller: web, rate: {per_second: 6}}\n" +
		"  - {id: o, module: fishtrade, off: {}}\n"
	f := document(some)
	code, _, errs := f.run("", "limit", "--remove", "fishtrade.SendRocket", "--yes")
	if code != exitOK || len(f.sent()) != 1 || f.sent()[0].Action != "on" || f.sent()[0].ID != "limit:l1" {
		t.Errorf("%d, %q, %+v", code, errs, f.sent())
	}
	f = document(some)
	if code, _, _ := f.run("", "limit", "--remove", "fishtrade.SendRocket", "--caller", "web", "--yes"); code != exitOK || f.sent()[0].ID != "limit:l2" {
		t.Errorf("%d, %+v", code, f.sent())
	}
	if code, _, _ := f.run("", "limit", "--remove", "--id", "limit:l1", "--yes"); code != exitOK || f.sent()[1].ID != "limit:l1" {
		t.Errorf("%d, %+v", code, f.sent())
	}
	for says, args := range map[string][]string{ // o is off, and no limit
		"there is no limit o; above are":                            {"--id", "o"},
		"there is no limit limit:l1 on all of fishtrade; above are": {"fishtrade", "--id", "limit:l1"},
	} {
		if code, _, errs := f.run("", append([]string{"limit", "--remove", "--yes"}, args...)...); code != exitUsage || !strings.Contains(errs, says) || len(f.sent()) != 2 {
			t.Errorf("%q: %d, %q", args, code, errs)
		}
	}
	f = document(some)
	code, _, errs = f.run("", "limit", "--remove", "fishtrade", "--yes")
	if code != exitUsage || len(f.sent()) != 0 || !strings.Contains(errs, "  limit:l1: 5/s on fishtrade.SendRocket\n  limit:l2: 6/s on fishtrade.SendRocket for web\ntwohop: there is no limit on all of fishtrade; above are") {
		t.Errorf("%d, %q", code, errs)
	}
	f = document("  - {id: 'limit:l1', module: pay, rate: {per_second: 5}}\n  - {id: 'limit:l3', module: pay, rate: {per_second: 6, per: node}}\n")
	if code, _, errs := f.run("", "limit", "--remove", "pay", "--yes"); code != exitUsage || !strings.Contains(errs, "2 limits are on all of pay: say which, with --id: limit:l1, limit:l3") {
		t.Errorf("%d, %q", code, errs)
	}
	f = document("  - {id: by-hand, module: pay, rate: {per_second: 5}}\n")
	if code, _, errs := f.run("", "limit", "--remove", "pay", "--yes"); code != exitUsage || !strings.Contains(errs, "has an id of its own: take it away with --id: by-hand") {
		t.Errorf("%d, %q", code, errs)
	}
	if code, _, errs := f.run("", "limit", "--remove", "--id", "by-hand", "--yes"); code != exitOK || f.sent()[0].ID != "by-hand" {
		t.Errorf("%d, %q, %+v", code, errs, f.sent())
	}
	if code, _, _ := f.run("", "limit", "pay", "5/s", "--id", "incident-7", "--reason", "x", "--yes"); code != exitOK || f.sent()[1].ID != "incident-7" {
		t.Errorf("%d, %+v", code, f.sent())
	}
	f = switches(t)
	f.answers["/v1/rules"] = `{"node":"a","mark":{"epoch":0,"version":0},"hash":"","rules":[],"text":""}`
	if code, _, errs := f.run("", "limit", "--remove", "pay", "--yes"); code != exitUsage || !strings.Contains(errs, "there is no limit on all of pay: there are none in the rules") {
		t.Errorf("%d, %q", code, errs)
	}
}
