package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
)

const (
	trio = `{"node":"a","mesh":"m","members_hash":"00ff","troubles":1,"members":[
		{"node":"a","number":1,"address":"h:1","self":true,"state":"up","state_seconds":60,"members_hash":"00ff"},
		{"node":"b","number":2,"address":"h:2","state":"up","state_seconds":60,"members_hash":"00fe"},
		{"node":"c","number":3,"address":"h:3","state":"leaving","state_seconds":9,"cause":"it stops","error":"not linked"},
		{"node":"d","number":4,"address":"h:4","state":"leaving","state_seconds":2,"removed":true}]}`
	allTook = `{"node":"a","members_hash":"00aa","ok":true,"results":[{"node":"a","result":"ok","role":"stays"},
		{"node":"c","result":"not_heard","error":"connection refused","role":"leaves"}]}`
	oneFailed = `{"node":"a","members_hash":"00aa","ok":false,"results":[{"node":"a","result":"ok","role":"stays"},
		{"node":"b","result":"failed","error":"disk full","role":"stays"}]}`
)

func TestTheMembersAreListed(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/mesh": trio})
	code, out, errs := f.run("", "mesh")
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	wantLines(t, out,
		"mesh m as node a sees it: 3 members, list 00ff, 1 trouble (twohop links)",
		"NODE NUMBER ADDRESS LINK SINCE LIST CAUSE",
		"a 1 h:1 itself 1m same -",
		"b 2 h:2 up 1m differs -",
		"c 3 h:3 leaving 9s not heard it stops",
		"d 4 h:4 leaving 2s removed -",
	)
	if _, ls, _ := f.run("", "mesh", "ls"); ls != out {
		t.Errorf("mesh ls prints %s", ls)
	}
	if _, out, _ := f.run("", "mesh", "ls", "--json"); !strings.Contains(out, `"members_hash": "00fe"`) {
		t.Errorf("as JSON: %s", out)
	}
	_, out, _ = f.run("", "__complete", "mesh", "remove", "")
	if strings.Contains(out, "Usage") {
		t.Error("no completion")
	}
}

// TestAChangeIsMadeOfTheListInForce: the whole list is sent, with the hash of the one that it was made from.
func TestAChangeIsMadeOfTheListInForce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte("members:\n  - {node: x, number: 0, address: 'h:9'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  []string
		stdin string
		want  string
		force string
	}{
		{[]string{"mesh", "add", "e", "5", "h:5"}, "", "a1 b2 c3 e5", ""},
		{[]string{"mesh", "remove", "b"}, "", "a1 c3", ""},
		{[]string{"mesh", "rm", "a"}, "", "b2 c3", ""},
		{[]string{"mesh", "set"}, "", "a1 b2 c3", "true"},
		{[]string{"mesh", "set", file}, "", "x0", ""},
		{[]string{"mesh", "set", file, "--force"}, "", "x0", "true"},
		{[]string{"mesh", "set", "-"}, `{"members":[{"node":"y","number":7,"address":"h:9"}]}`, "y7", ""},
	} {
		f := newFakeNode(t, map[string]string{"/v1/mesh": trio, "PUT /v1/members": allTook})
		code, out, errs := f.run(test.stdin, test.args...)
		if code != exitOK || errs != "" || len(f.puts) != 1 || f.match != `"00ff"` || f.force != test.force {
			t.Fatalf("%q: exit code %d, %s, %d changes of %s, force %q", test.args, code, errs, len(f.puts), f.match, f.force)
		}
		wantLines(t, out, "NODE ROLE RESULT WHY", "a stays ok -", "c leaves not heard connection refused")
		var sent struct {
			Members []adminclient.Member `json:"members"`
		}
		if err := json.Unmarshal([]byte(f.puts[0]), &sent); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range sent.Members {
			names = append(names, m.Node+string(rune('0'+m.Number)))
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("%q sends %s, want %s", test.args, got, test.want)
		}
	}
}

func TestAChangeThatDoesNotReachAllFails(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/mesh": trio, "PUT /v1/members": oneFailed})
	for _, json := range []bool{false, true} {
		args := []string{"mesh", "set"}
		if json {
			args = append(args, "--json")
		}
		code, out, errs := f.run("", args...)
		if code != exitUsage || !strings.Contains(errs, "not every node has the list: `twohop mesh set` gives it to them again") || !strings.Contains(out, "disk full") {
			t.Errorf("exit code %d, %s, %s", code, out, errs)
		}
	}
}

func TestChangesThatAreNotMade(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"mesh", "add", "b", "9", "h:9"}, "node b is a member already, with number 2 at h:2: `twohop mesh set` changes members"},
		{[]string{"mesh", "remove", "d"}, "node d is no member: a, b, c are"},
		{[]string{"mesh", "remove", "z"}, "node z is no member: a, b, c are"},
	} {
		f := newFakeNode(t, map[string]string{"/v1/mesh": trio, "PUT /v1/members": allTook})
		if code, _, errs := f.run("", test.args...); code != exitUsage || !strings.Contains(errs, test.says) || len(f.puts) != 0 {
			t.Errorf("%q: %d %q, %d changes", test.args, code, errs, len(f.puts))
		}
	}
	f := newFakeNode(t, map[string]string{"/v1/mesh": trio}) // the node refuses
	if code, _, errs := f.run("", "mesh", "set"); code != exitUsage || !strings.Contains(errs, "refuses /v1/members?force=true: look at it again") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestANodeThatHasLeftIsToldAtItsOwnDoor: the others have no link to it any more.
func TestANodeThatHasLeftIsToldAtItsOwnDoor(t *testing.T) {
	f := newFakeNode(t, map[string]string{"/v1/mesh": trio, "PUT /v1/members": `{"node":"a","ok":false,"results":[
		{"node":"a","result":"failed","error":"disk full","role":"stays"},{"node":"c","result":"ok","role":"leaves"}]}`})
	code, _, errs := f.run("", "mesh", "remove", "c")
	if code != exitUsage || !strings.Contains(errs, "node c has left and hears no other node: if it is to stay, it is told so at its own --admin") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestListsOfMembersAreReadStrictly(t *testing.T) {
	sample, err := readMembers("../../configs/mesh/members.yaml", nil)
	if err != nil || len(sample) != 3 || sample[2] != (adminclient.Member{Node: "c", Number: 3, Address: "127.0.0.1:7272"}) {
		t.Errorf("the sample: %v, %v", sample, err)
	}
	for text, says := range map[string]string{
		"":                              "the file is empty",
		"# nobody\n":                    "comments only",
		"members: []":                   "members is empty",
		"members: 7":                    "members must be a list",
		"nodes: []":                     `"nodes" is not a key`,
		"members:\n- {node: a, adr: x}": `line 2, column 13: "adr" is not a key`,
		"members:\n- {node: a, number: x, address: 'y:1'}":                                         `number: is "x"`,
		"members:\n- {node: a, number: 1, number: 2, address: 'y:1'}":                              "number stands twice",
		"members:\n- {node: a, address: 'y:1'}":                                                    "number is missing",
		"members:\n- {node: a, number: 1, address: y}":                                             "is not host:port",
		"members:\n- {node: a, number: 1, address: 'y:1'}\n- {node: b, number: 1, address: 'z:1'}": "number: 1 stands twice",
		"members:\n- {node: a, number: 1, address: 'y:1'}\n---\nmembers: []":                       "the members are one document",
		`{"members":[{"node":"a","number":1,"address":"y:1"}]}{}`:                                  "not YAML",
		`{"members":[{"node":"a","number":1,"address":"y:1","x":1}]}`:                              `"x" is not a key`,
		`{"members":[{"node":"a","number":1}]}`:                                                    "address is missing",
		"members: [{node: a, number: 1, address: y}]" + strings.Repeat(" ", 1<<20+1):               "more than 1048576 bytes",
	} {
		if got, err := readMembers("-", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "stdin: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, %v, want %s", text, got, err, says)
		}
	}
}
