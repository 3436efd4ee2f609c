package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	inForce = `{"node":"a","mark":{"epoch":1,"version":7},"hash":"00112233445566778899","author":"kim@ops","reason":"ticket 1",
		"at":"2026-11-20T10:00:00Z","since":"2026-11-20T10:00:01Z","source":"store","text":"format: 1\n# by hand\nrules: []\n","rules":[],"troubles":[]}`
	judgedRight = `{"node":"a","valid":true,"problems":[],"mark":{"epoch":1,"version":7},
		"warnings":[{"line":3,"column":7,"message":"module: nobody has registered pai; did you mean pay?"}],
		"changes":[{"op":"changed","id":"pay-limit","kind":"rate","keys":[{"key":"rate.per_second","old":"100","new":"200"}]},
			{"op":"removed","id":"old","kind":"off","keys":[]}]}`
	judgedWrong = `{"node":"a","valid":false,"warnings":[],"changes":[],"mark":{"epoch":1,"version":7},
		"problems":[{"line":4,"column":9,"message":"per_secnod is no key of rate; did you mean per_second?"},{"line":9,"column":1,"message":"second"}]}`
	everywhere = `{"node":"a","mark":{"epoch":1,"version":8},"hash":"99","changes":[],"warnings":[],"converged":true,"nodes":[
		{"node":"a","mark":{"epoch":1,"version":8},"servers":2,"enforcing":2,"in_force_ms":1.25,"sdk_ms":8.4},
		{"node":"b","mark":{"epoch":1,"version":8},"servers":0,"enforcing":0,"in_force_ms":14}]}`
	notEverywhere = `{"node":"a","mark":{"epoch":1,"version":8},"hash":"99","changes":[],"warnings":[],"converged":false,"nodes":[
		{"node":"a","mark":{"epoch":1,"version":8},"servers":3,"enforcing":2,"in_force_ms":1.25},
		{"node":"b","mark":{"epoch":1,"version":7},"servers":0,"enforcing":0},
		{"node":"c","error":"the link to it is waiting"}]}`
	meanwhile = `412 {"error":"the rules have changed meanwhile","has":{"mark":{"epoch":1,"version":8},"hash":"77","author":"lee@ops","reason":"ticket 2",
		"at":"2026-11-20T11:00:00Z"},"changes":[{"op":"added","id":"web-off","kind":"off","keys":[{"key":"module","new":"pay"}]}]}`
)

// document writes a document that a test applies.
func document(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("format: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRulesAreGotToBeEdited(t *testing.T) {
	f := newFakeNode(t, map[string]string{
		"/v1/rules":              inForce,
		"/v1/rules/versions/1.3": `{"node":"a","mark":{"epoch":1,"version":3},"hash":"33","author":"\u001b[1m","at":"2026-11-19T10:00:00Z","text":"format: 1\n"}`,
	})
	code, out, errs := f.run("", "rules", "get")
	if code != exitOK || out != "# twohop rules version 1.7\nformat: 1\n# by hand\nrules: []\n" || errs != "# version 1.7 by kim@ops at 2026-11-20 10:00:00 UTC: ticket 1\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	code, out, errs = f.run("", "rules", "get", "--version", "1.3")
	if code != exitOK || out != "# twohop rules version 1.3\nformat: 1\n" || errs != "# version 1.3 by ?[1m at 2026-11-19 10:00:00 UTC: no reason given\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if _, out, _ := f.run("", "rules", "get", "--json"); !strings.Contains(out, `"text": "format: 1\n# by hand`) {
		t.Errorf("as JSON: %s", out)
	}
	if code, _, errs := f.run("", "rules", "get", "--version", "7"); code != exitUsage || !strings.Contains(errs, `"7" is no version of the rules, must be epoch.version, as 1.7`) {
		t.Errorf("%d, %q", code, errs)
	}
	f = newFakeNode(t, map[string]string{"/v1/rules": `{"node":"a","mark":{"epoch":0,"version":0},"hash":"","text":"","rules":[]}`})
	if code, out, errs := f.run("", "rules", "get"); code != exitOK || out != "# twohop rules version 0.0\n" || !strings.Contains(errs, "# there is no document yet") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

func TestDocumentsAreJudged(t *testing.T) {
	file := document(t)
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedWrong})
	code, out, errs := f.run("", "rules", "validate", file)
	want := file + ":4:9: per_secnod is no key of rate; did you mean per_second?\n" + file + ":9:1: second\n"
	if code != exitUsage || out != want || errs != "twohop: "+file+" has 2 problems\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if q := f.questions("POST /v1/rules/validate"); len(q) != 1 || q[0].body != "format: 1\n" || q[0].kind != "application/yaml" {
		t.Errorf("asked %+v", q)
	}
	if code, out, _ := f.run("", "rules", "validate", file, "--json"); code != exitUsage || !strings.Contains(out, `"valid": false`) {
		t.Errorf("as JSON: %d, %s", code, out)
	}

	f = newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight})
	code, out, errs = f.run("format: 1\n", "rules", "validate", "-")
	if code != exitOK || errs != "" || out != "stdin:3:7: warning: module: nobody has registered pai; did you mean pay?\n"+
		"stdin is valid, with 2 changes from version 1.7 (twohop rules diff)\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

// TestDocumentsAreJudgedWithoutANode: what is wrong in the text is the same everywhere.
func TestDocumentsAreJudgedWithoutANode(t *testing.T) {
	f := newFakeNode(t, nil) // it must not be asked
	wrong := "format: 1\nrules:\n  - id: x\n    module: pay\n    rate: {per_secnod: 1}\n"
	code, out, errs := f.run(wrong, "rules", "validate", "-", "--local")
	if code != exitUsage || !strings.HasPrefix(out, "stdin:5:") || !strings.Contains(out, "per_second") || !strings.Contains(errs, "problem") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	past := "format: 1\nrules:\n  - {id: x, module: pay, until: 2001-01-01T00:00:00Z, off: {}}\n"
	if code, out, _ := f.run(past, "rules", "validate", "-", "--local"); code != exitUsage || !strings.Contains(out, "in the past") {
		t.Errorf("%d, %q", code, out)
	}
	right := "format: 1\nrules:\n  - {id: x, module: pay, off: {}}\n"
	if code, out, errs := f.run(right, "rules", "validate", "-", "--local"); code != exitOK || out != "stdin is valid: 1 rule\n" || errs != "" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if len(f.asked) != 0 {
		t.Errorf("with --local it asks %v", f.asked)
	}
	f.address = "127.0.0.1:1"
	code, out, errs = f.run(right, "rules", "validate", "-")
	if code != exitOK || out != "stdin is valid: 1 rule\n" || !strings.Contains(errs, "no node answers at 127.0.0.1:1: the document is judged here") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if code, _, errs := f.run("", "rules", "validate", "nowhere.yaml"); code != exitUsage || !strings.Contains(errs, "nowhere.yaml: no such file") {
		t.Errorf("%d, %q", code, errs)
	}
	if code, _, errs := f.run(strings.Repeat("#", maxDocument+1), "rules", "validate", "-"); code != exitUsage || !strings.Contains(errs, "more than 10485760 bytes") {
		t.Errorf("%d, %q", code, errs)
	}
}

func TestDifferencesAreShown(t *testing.T) {
	f := newFakeNode(t, map[string]string{
		"POST /v1/rules/validate": judgedRight, "/v1/rules": inForce,
		"/v1/rules/diff": `{"node":"a","from":{"epoch":1,"version":3},"to":{"epoch":1,"version":7},"changes":[{"op":"added","id":"x","kind":"off","keys":[{"key":"module","new":"p\u001b"}]}]}`,
	})
	code, out, errs := f.run("", "rules", "diff", document(t))
	if code != exitOK || out != "changed pay-limit: rate.per_second 100 → 200\nremoved old:\n" || !strings.Contains(errs, "f.yaml:3:7: module: nobody") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	for _, args := range [][]string{{"1.3", "1.7"}, {"1.3"}} {
		code, out, errs := f.run("", append([]string{"rules", "diff"}, args...)...)
		if code != exitOK || out != "added x: module p?\n" || errs != "" {
			t.Errorf("%v: %d, %q, %q", args, code, out, errs)
		}
	}
	for _, q := range f.questions("/v1/rules/diff") {
		if q.query.Get("from") != "1.3" || q.query.Get("to") != "1.7" {
			t.Errorf("asked %v", q.query)
		}
	}
	if code, _, errs := f.run("", "rules", "diff", "1.3", "f.yaml"); code != exitUsage || !strings.Contains(errs, `"f.yaml" is no version`) {
		t.Errorf("%d, %q", code, errs)
	}
}

func TestADocumentIsAppliedFromWhatWasShown(t *testing.T) {
	file := document(t)
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": everywhere})
	code, out, errs := f.runAt("y\n", "rules", "apply", file, "--reason", "ticket 4711", "--author", "kim")
	if code != exitOK || !strings.Contains(errs, "Make 2 changes to the rules, in place of version 1.7? [y/N] ") {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "changed pay-limit: rate.per_second 100 → 200", "version 1.8 is in force at node a", "NODE VERSION IN FORCE SERVERS ENFORCED WHY",
		"a 1.8 after 1.2 ms 2/2 after 8.4 ms -", "b 1.8 after 14 ms 0/0 - -")
	var sent map[string]string
	if len(f.puts) != 1 || json.Unmarshal([]byte(f.puts[0]), &sent) != nil || f.match != `"1.7"` ||
		sent["text"] != "format: 1\n" || sent["reason"] != "ticket 4711" || sent["author"] != "kim" {
		t.Errorf("put %q from %s", f.puts, f.match)
	}

	// Who says no, or nothing, changes nothing.
	for _, typed := range []string{"n\n", "\n", "\x04"} {
		f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight})
		code, _, errs := f.runAt(typed, "rules", "apply", file, "--reason", "x")
		if code != exitUsage || !strings.Contains(errs, "nothing was changed") || len(f.puts) != 0 {
			t.Errorf("%q: %d, %q, %q", typed, code, errs, f.puts)
		}
	}

	// A script names its version, and is not asked.
	f = newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": everywhere})
	code, out, errs = f.run("format: 1\n", "rules", "apply", "-", "--reason", "x", "--yes", "--from", "1.5", "--json")
	if code != exitOK || f.match != `"1.5"` || !json.Valid([]byte(out)) || !strings.Contains(errs, "changed pay-limit") {
		t.Errorf("%d, %s, %q, %q", code, f.match, out, errs)
	}
	if len(f.puts) != 2 || !strings.Contains(f.puts[0], `"dry_run":true`) || strings.Contains(f.puts[1], "dry_run") {
		t.Fatalf("put %q", f.puts)
	}
	if who := author(); !strings.Contains(f.puts[1], `"author":"`+who+`"`) || who == "" {
		t.Errorf("%q by %q", f.puts[1], who)
	}

	// A dry run needs no reason and writes nothing.
	f = newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight})
	code, out, _ = f.run("format: 1\n", "rules", "apply", "-", "--dry-run")
	if code != exitOK || len(f.puts) != 0 || !strings.HasSuffix(out, "2 changes would be made; nothing was changed\n") {
		t.Errorf("%d, %q", code, out)
	}
}

func TestADocumentIsNotApplied(t *testing.T) {
	file := document(t)
	for _, test := range []struct {
		name string
		put  string
		args []string
		code int
		says string
	}{
		{"no reason", everywhere, []string{"--yes"}, exitUsage, `--reason is missing: it says why, as --reason "ticket 4711"`},
		{"nobody to ask", everywhere, []string{"--reason", "x"}, exitUsage, "there is no terminal to ask at: --yes makes the change without asking"},
		{"no version", everywhere, []string{"--reason", "x", "--yes", "--from", "x"}, exitUsage, `"x" is no version`},
		{"somebody was faster", meanwhile, []string{"--reason", "x", "--yes"}, exitConflict, "twohop: lee@ops has made version 1.8 meanwhile, at 2026-11-20 11:00:00 UTC: ticket 2\n" +
			"  added web-off: module pay\ntwohop: nothing was changed: look at version 1.8, make your change again from it, and apply it with --from 1.8\n"},
		{"wrong in the end", `400 {"error":"invalid","problems":[{"line":2,"column":3,"message":"until: is in the past"}]}`, []string{"--reason", "x", "--yes"}, exitUsage,
			file + ":2:3: until: is in the past\ntwohop: 1 problem: nothing was changed\n"},
		{"the audit log is full", `503 {"error":"the audit log: no space left"}`, []string{"--reason", "x", "--yes"}, exitUsage, "refuses /v1/rules: the audit log: no space left"},
		{"an answer that is none", "<html>", []string{"--reason", "x", "--yes"}, exitUncertain, "the change may be made or not: `twohop rules status` says it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": test.put})
			code, out, errs := f.run("", append([]string{"rules", "apply", file}, test.args...)...)
			if code != test.code || !strings.Contains(errs, test.says) || strings.Contains(out, "in force") {
				t.Errorf("%d, %q, %q", code, out, errs)
			}
		})
	}
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedWrong})
	if code, _, errs := f.run("", "rules", "apply", file, "--reason", "x", "--yes"); code != exitUsage || !strings.Contains(errs, file+":9:1: second\ntwohop: 2 problems: nothing was changed\n") {
		t.Errorf("%d, %q", code, errs)
	}
	if code, _, errs := f.run("", "rules", "apply", "-", "--reason", "x"); code != exitUsage || !strings.Contains(errs, "comes from stdin, so there is nobody to ask") {
		t.Errorf("%d, %q", code, errs)
	}
}

func TestAChangeThatIsNotEverywhereIsAnError(t *testing.T) {
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": notEverywhere})
	for _, more := range [][]string{{}, {"--json"}} {
		code, out, errs := f.run("", append([]string{"rules", "apply", document(t), "--reason", "x", "--yes"}, more...)...)
		if code != exitNotAll || !strings.Contains(errs, "version 1.8 is made, but it is not in force at b, c; server sessions do not enforce it themselves: 1 at node a") {
			t.Errorf("%d, %q", code, errs)
		}
		if len(more) == 0 {
			wantLines(t, out, "a 1.8 after 1.2 ms 2/3 not yet 1 of its server sessions have not said that they enforce it",
				"b 1.7 not yet 0/0 - -", "c - - - - not heard: the link to it is waiting")
		}
	}
}

func TestRulesAreRolledBack(t *testing.T) {
	f := newFakeNode(t, map[string]string{
		"dry POST /v1/rules/rollback": `{"node":"a","dry_run":true,"mark":{"epoch":1,"version":7},"hash":"7","warnings":[],"changes":[{"op":"removed","id":"x","kind":"off","keys":[]}]}`,
		"POST /v1/rules/rollback":     everywhere,
	})
	code, out, errs := f.runAt("yes\n", "rules", "rollback", "1.6", "--reason", "wrong limit")
	if code != exitOK || !strings.Contains(errs, "Go back to version 1.6, which is 1 change? [y/N]") {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "removed x:", "version 1.8 is in force at node a")
	asked := f.questions("POST /v1/rules/rollback")
	if len(asked) != 2 || !strings.Contains(asked[1].body, `"to":"1.6"`) || strings.Contains(asked[1].body, "dry_run") {
		t.Errorf("asked %+v", asked)
	}
	f = newFakeNode(t, map[string]string{"POST /v1/rules/rollback": `404 {"error":"there is no such version"}`})
	if code, _, errs := f.run("", "rules", "rollback", "1.99", "--reason", "x", "--yes"); code != exitUsage || !strings.Contains(errs, "there is no such version") {
		t.Errorf("%d, %q", code, errs)
	}
}

func TestTheHistoryIsListed(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/rules/history": `{"node":"a","versions":[{"mark":{"epoch":1,"version":7},"hash":"00112233445566","author":"kim","reason":"r 1","at":"2026-11-20T10:00:00Z"},
		{"mark":{"epoch":1,"version":6},"hash":"01","author":"file:/etc/r.yaml","at":"2026-11-20T09:00:00Z"}]}`})
	_, out, _ := f.run("", "rules", "history", "--limit", "2")
	wantLines(t, out, "VERSION AT AUTHOR HASH REASON", "1.7 2026-11-20 10:00:00 UTC kim 001122334455 r 1", "1.6 2026-11-20 09:00:00 UTC file:/etc/r.yaml 01 -")
	if q := f.questions("/v1/rules/history"); q[0].query.Get("limit") != "2" {
		t.Errorf("asked %v", q)
	}
	if out := f.completes("rules", "rollback", "--admin", f.address, ""); !slices.Contains(strings.Split(out, "\n"), "1.7\tkim: r 1") {
		t.Errorf("completes %q", out)
	}
}

func TestTheStatusSaysWhetherNodesAgree(t *testing.T) {
	status := func(converged, second string) string {
		return strings.TrimSuffix(strings.TrimSpace(inForce), "}") + `,"converged":` + converged + `,"nodes":[{"node":"a","mark":{"epoch":1,"version":7},
			"hash":"00112233445566778899","rules":3,"servers":2,"enforcing":2,"source":"change"},` + second + `]}`
	}
	f := newFakeNode(t, map[string]string{"/v1/rules": status("true", `{"node":"b","mark":{"epoch":1,"version":7},"hash":"00112233445566778899","rules":3,"servers":0,"enforcing":0,"source":"peer"}`)})
	code, out, errs := f.run("", "rules", "status")
	if code != exitOK || errs != "" {
		t.Errorf("%d, %q", code, errs)
	}
	wantLines(t, out, "version 1.7 by kim@ops at 2026-11-20 10:00:00 UTC: ticket 1", "in force everywhere, as node a sees it",
		"a 1.7 001122334455 3 - 2/2 change -", "b 1.7 001122334455 3 - 0/0 peer -")
	f = newFakeNode(t, map[string]string{"/v1/rules": status("false", `{"node":"b","error":"late"}`)})
	code, out, _ = f.run("", "rules", "status")
	if code != exitNotAll {
		t.Errorf("exit code %d", code)
	}
	wantLines(t, out, "NOT in force everywhere, as node a sees it", "b not heard - - - - - late")
	if code, out, _ := f.run("", "rules", "status", "--json"); code != exitNotAll || strings.Contains(out, "by hand") || !strings.Contains(out, `"converged": false`) {
		t.Errorf("as JSON: %d, %s", code, out)
	}
	if code, _, errs := newFakeNode(t, map[string]string{"/v1/rules": `404 {"error":"there is no /v1/rules","paths":["/v1/info"]}`}).run("", "rules", "status"); code != exitUsage ||
		!strings.Contains(errs, "does not know /v1/rules: it is older than this command") {
		t.Errorf("%d, %q", code, errs)
	}
}
