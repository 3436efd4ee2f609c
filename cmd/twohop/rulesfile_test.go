package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// marked writes a document that was got from version 1.7, and edited.
func marked(t *testing.T, first string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(first+"format: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (f *fakeNode) wantPut(text, match string) {
	f.t.Helper()
	var sent struct {
		Text string `json:"text"`
	}
	if len(f.puts) == 0 || json.Unmarshal([]byte(f.puts[len(f.puts)-1]), &sent) != nil || sent.Text != text || f.match != match {
		f.t.Errorf("put %q from %s, want %q from %s", f.puts, f.match, text, match)
	}
}

// TestADocumentKnowsFromWhichVersionItWasMade by its first line, which is not sent.
func TestADocumentKnowsFromWhichVersionItWasMade(t *testing.T) {
	for first, match := range map[string]string{
		"# twohop rules version 1.7\n": `"1.7"`, "# twohop rules version 1.5\n": `"1.5"`, "# twohop rules version 1.5 \r\n": `"1.5"`, "# twohop rules version 0.0\n": `"0.0"`, "": `"1.7"`,
	} {
		f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": everywhere})
		code, _, errs := f.run("", "rules", "apply", marked(t, first), "--reason", "x", "--yes")
		if code != exitOK {
			t.Errorf("%q: %d, %q", first, code, errs)
		}
		f.wantPut("format: 1\n", match)
		if q := f.questions("POST /v1/rules/validate"); q[0].body != "format: 1\n" {
			t.Errorf("%q: judged %q", first, q[0].body)
		}
	}
	// The flag counts more.
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": everywhere})
	if code, _, errs := f.run("", "rules", "apply", marked(t, "# twohop rules version 1.5\n"), "--reason", "x", "--yes", "--from", "1.7"); code != exitOK {
		t.Errorf("%d, %q", code, errs)
	}
	f.wantPut("format: 1\n", `"1.7"`)
	// A line that names no version is no comment like others.
	code, _, errs := f.run("", "rules", "apply", marked(t, "# twohop rules version 7\n"), "--reason", "x", "--yes")
	if code != exitUsage || !strings.Contains(errs, `f.yaml:1:24: "7" is no version of the rules, must be epoch.version, as 1.7`) {
		t.Errorf("%d, %q", code, errs)
	}
}

// TestADocumentOfAnOlderVersionIsNotAskedAbout: it is refused before anybody says yes, in a dry run, too.
func TestADocumentOfAnOlderVersionIsNotAskedAbout(t *testing.T) {
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": meanwhile})
	file := marked(t, "# twohop rules version 1.5\n")
	for _, args := range [][]string{{"--reason", "x"}, {"--dry-run"}} {
		code, _, errs := f.runAt("y\n", append([]string{"rules", "apply", file}, args...)...)
		if code != exitConflict || strings.Contains(errs, "[y/N]") || !strings.Contains(errs, "lee@ops has made version 1.8 meanwhile") {
			t.Errorf("%q: %d, %q", args, code, errs)
		}
	}
	for _, put := range f.puts {
		if !strings.Contains(put, `"dry_run":true`) {
			t.Errorf("put %s", put)
		}
	}
	code, out, errs := f.run("", "rules", "diff", file)
	if code != exitOK || !strings.Contains(out, "changed pay-limit") ||
		!strings.Contains(errs, "f.yaml was made from version 1.5, and version 1.7 is in force: `twohop rules diff 1.5 1.7` shows") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if _, _, errs := f.run("", "rules", "diff", marked(t, "# twohop rules version 1.7\n")); strings.Contains(errs, "was made from") {
		t.Errorf("%q", errs)
	}
}

func TestAVersionThatNeverWasIsNobodysChange(t *testing.T) {
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": `412 {"error":"there is no version 1.99: the newest is 1.7; nothing was changed",
		"no_such_version":true,"has":{"mark":{"epoch":1,"version":7},"hash":"77","author":"lee@ops"},"changes":[]}`})
	code, _, errs := f.run("", "rules", "apply", document(t), "--reason", "x", "--yes", "--from", "1.99")
	if code != exitUsage || strings.Contains(errs, "lee") || !strings.Contains(errs, "twohop: there is no version 1.99: the newest is 1.7; nothing was changed") {
		t.Errorf("%d, %q", code, errs)
	}
}

// TestProblemsStandWhereTheyAreInTheFile: the line that is not sent is counted.
func TestProblemsStandWhereTheyAreInTheFile(t *testing.T) {
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedWrong})
	file := marked(t, "# twohop rules version 1.7\n")
	for _, args := range [][]string{{"apply", file, "--reason", "x", "--yes"}, {"validate", file}, {"diff", file}} {
		code, out, errs := f.run("", append([]string{"rules"}, args...)...)
		if code != exitUsage || !strings.Contains(out+errs, file+":5:9: per_secnod") || !strings.Contains(out+errs, file+":10:1: second") {
			t.Errorf("%q: %d, %q, %q", args, code, out, errs)
		}
	}
	f = newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedRight, "PUT /v1/rules": `400 {"error":"invalid","problems":[{"line":2,"column":3,"message":"until: is in the past"}]}`})
	if _, _, errs := f.run("", "rules", "apply", file, "--reason", "x", "--yes"); !strings.Contains(errs, file+":4:7: module: nobody") || !strings.Contains(errs, file+":3:3: until") {
		t.Errorf("%q", errs)
	}
	wrong := "# twohop rules version 1.7\nformat: 1\nrules:\n  - {id: x, module: pay, rate: {per_secnod: 1}}\n"
	if code, out, _ := f.run(wrong, "rules", "validate", "-", "--local"); code != exitUsage || !strings.Contains(out, "stdin:4:") {
		t.Errorf("%d, %q", code, out)
	}
}

const (
	shownFrom = `"mark":{"epoch":1,"version":8},"from":{"epoch":1,"version":7},"hash":"7","warnings":[],"changes":[{"op":"added","id":"off:x","kind":"off"}]`
	fasterLee = `412 {"error":"the rules have changed meanwhile","has":{"mark":{"epoch":1,"version":8},"hash":"77","author":"lee@ops","reason":"ticket 2",
		"at":"2026-11-20T11:00:00Z"},"changes":[{"op":"changed","id":"limit:fishtrade","kind":"rate","keys":[{"key":"rate.per_second","old":"5","new":"50"}]}]}`
)

// limitX are rules with a limit.
const limitX = `{"node":"a","mark":{"epoch":1,"version":7},"hash":"7","rules":[],"text":"format: 1\nrules:\n  - {id: 'limit:x', module: pay, rate: {per_second: 5}}\n"}`

// TestAChangeIsMadeForWhatWasShown: if somebody else was faster while the question stood there, nothing is done.
func TestAChangeIsMadeForWhatWasShown(t *testing.T) {
	for path, args := range map[string][][]string{
		"POST /v1/switches": {
			{"off", "fishtrade", "--reason", "x"}, {"on", "fishtrade"}, {"limit", "fishtrade", "5/s", "--reason", "x"}, {"limit", "--remove", "--id", "limit:x"},
		},
		"POST /v1/rules/rollback": {{"rules", "rollback", "1.6", "--reason", "x"}},
	} {
		for _, command := range args {
			for _, answer := range []string{everywhere, fasterLee} {
				f := newFakeNode(t, map[string]string{"/v1/registry": registered, "/v1/rules": limitX, path: answer, "dry " + path: `{"node":"a","action":"off","dry_run":true,"hits":[],` + shownFrom + `}`})
				code, out, errs := f.runAt("y\n", command...)
				asked := f.questions(path)
				if len(asked) != 2 || asked[0].match != "" || asked[1].match != `"1.7"` {
					t.Errorf("%q: asked %+v", command, asked)
				}
				if answer == everywhere {
					if code != exitOK {
						t.Errorf("%q: %d, %q", command, code, errs)
					}
					continue
				}
				if code != exitConflict || strings.Contains(out, "in force") || !strings.HasSuffix(errs, "twohop: lee@ops has made version 1.8 meanwhile, at 2026-11-20 11:00:00 UTC: ticket 2\n"+
					"  changed limit:fishtrade: rate.per_second 5 → 50\ntwohop: nothing was changed: the same command shows what it would do now\n") {
					t.Errorf("%q: %d, %q, %q", command, code, out, errs)
				}
			}
		}
	}
}
