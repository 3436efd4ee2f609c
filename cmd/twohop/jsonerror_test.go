package main

import (
	"encoding/json"
	"testing"
)

// TestRefusalsAreJSONToo: with --json stdout always has an object, also where nothing was done.
func TestRefusalsAreJSONToo(t *testing.T) {
	f := newFakeNode(t, map[string]string{
		"/v1/links": `503 {"error":"the node ends"}`, "/v1/registry": registered, "dry POST /v1/switches": wouldSwitch, "POST /v1/switches": meanwhile,
	})
	type object struct {
		Error    string `json:"error"`
		ExitCode int    `json:"exit_code"`
		Has      *struct {
			Author string `json:"author"`
		} `json:"has"`
	}
	ask := func(want int, args ...string) (o object, errs string) {
		t.Helper()
		code, out, errs := f.run("", append(args, "--json")...)
		if err := json.Unmarshal([]byte(out), &o); code != want || err != nil || o.ExitCode != code || o.Error == "" {
			t.Errorf("%q: %d, %v, %q", args, code, err, out)
		}
		return o, errs
	}
	o, errs := ask(exitConflict, "off", "fishtrade.SendRocket", "--reason", "ticket 1", "--yes")
	if o.Has == nil || o.Has.Author != "lee@ops" || errs == "" {
		t.Errorf("got %+v, stderr %q", o, errs)
	}
	ask(exitUsage, "off", "fishtrade.SendRocket")
	ask(exitUsage, "off", "--nonsense", "a.b")
	ask(exitUsage, "links")
	ask(exitUsage, "call", "hello.Say", "{")
	if code, out, _ := f.run("", "links"); code != exitUsage || out != "" {
		t.Errorf("without --json: %d, %q", code, out)
	}
}

// TestOneObjectIsEnough: a command that has printed its own says nothing more, whatever its exit code.
func TestOneObjectIsEnough(t *testing.T) {
	f := newFakeNode(t, map[string]string{"POST /v1/rules/validate": judgedWrong})
	code, out, _ := f.run("format: 1\n", "rules", "validate", "-", "--json")
	var object map[string]any
	if err := json.Unmarshal([]byte(out), &object); code != exitUsage || err != nil || object["error"] != nil {
		t.Errorf("%d, %v, %q", code, err, out)
	}
}
