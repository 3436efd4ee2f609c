package discovery

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReadsWhatPeopleWrite(t *testing.T) {
	want := List{{"a", 1, "10.0.0.11:7072"}, {"b", 2, "[fd00::12]:7072"}}
	for name, text := range map[string]string{
		"block":  "members:\n  - node: b\n    number: 2\n    address: '[fd00::12]:7072'\n  - node: a\n    address: 10.0.0.11:7072\n    number: 1\n",
		"flow":   "# c\nmembers: [{node: b, number: 2, address: \"[fd00::12]:7072\"}, {node: a, number: 1, address: \"10.0.0.11:7072\"}]\n",
		"json":   `{"members":[{"node":"b","number":2,"address":"[fd00::12]:7072"},{"node":"a","number":1,"address":"10.0.0.11:7072"}]}` + "\n",
		"a mark": "---\nmembers:\n- {node: a, number: 1, address: 10.0.0.11:7072} # yes\n- {node: b, number: 2, address: '[fd00::12]:7072'}\n...\n",
	} {
		got, err := Parse([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestParseNamesEveryProblemWithItsPlace(t *testing.T) {
	_, err := Parse([]byte(`membres: []
members:
  - node: a
    number: 1
    adddress: 10.0.0.11:7072
  - {node: a, number: one, address: 10.0.0.12}
  - {node: [c], number: 1, number: 3, address: }
  - d
  - {node: e, number: 512, address: "10.0.0.15:7072", zone: x}
  - {node: e, number: 1, address: "10.0.0.15:7072"}
  - {node: g, number: &n 0, address: "g:1"}
  - {node: h, number: *n, address: "h:1"}
`))
	want := `line 1, column 1: "membres" is not a key; members is
line 3, column 5: address is missing
line 5, column 5: "adddress" is not a key; address is
line 6, column 12: node: "a" stands twice: first in line 3
line 6, column 23: number: is "one", must be a whole number from 0 to 511
line 6, column 37: address: "10.0.0.12" is not host:port, as 10.0.0.11:7072 or [fd00::11]:7072
line 7, column 12: node: must be a single value
line 7, column 25: number: 1 stands twice: first in line 3; each node has a number of its own
line 7, column 28: number stands twice: first in line 7
line 7, column 48: address: has no value: is it half written?
line 8, column 5: is not a member: it has the keys node, number and address
line 9, column 23: number: is 512, must be 0 to 511
line 9, column 55: "zone" is not a key; the keys here are: node, number, address
line 10, column 12: node: "e" stands twice: first in line 9
line 10, column 23: number: 1 stands twice: first in line 3; each node has a number of its own
line 10, column 35: address: "10.0.0.15:7072" stands twice: first in line 9
line 12, column 5: number is missing
line 12, column 23: number: is an alias: write the value out`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFilesThatAreNoList(t *testing.T) {
	const one = "members:\n  - {node: a, number: 1, address: 'a:1'}\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "line 1, column 1: the file is empty: is it half written?"},
		{"blank", "\n \n", "line 1, column 1: the file is empty: is it half written?"},
		{"comments", "# members\n", "line 1, column 1: the file has comments only: is it half written?"},
		{"a key", "members:\n", "line 1, column 9: members is empty: is it half written?"},
		{"an empty list", "members: []\n", "line 1, column 10: members is empty: is it half written?"},
		{"other keys", "{}\n", "line 1, column 1: members is missing"},
		{"cut in a line", one + "  - {node: b, number: 2, address: 'b:70", "line 3, column 40: the last line does not end: is it half written?"},
		{"cut at the end", strings.TrimSuffix(one, "\n"), "line 2, column 41: the last line does not end: is it half written?"},
		{"cut in an item", one + "  - node: b\n", "line 3, column 5: number is missing\nline 3, column 5: address is missing"},
		{"cut in brackets", one + "  - {node: b,\n", "line 3, column 1: not YAML: "},
		{"a tab", "members:\n\t- x\n", "line 2, column 1: not YAML: "},
		{"a list", "- {node: a, number: 1, address: 'a:1'}\n", `line 1, column 1: is not a list of members: the file begins with "members:"`},
		{"a word", "members: a\n", "line 1, column 10: members must be a list"},
		{"two documents", one + "---\n" + one, "line 3, column 1: a second document begins"},
		{"bytes", "\x00\x01\n", "line 1, column 1: not YAML: "},
		{"a number that is none", "members:\n  - {node: a, number: 0x1, address: 'a:1'}\n", `line 2, column 23: number: is "0x1", must be a whole number`},
		{"many problems", "members:\n" + strings.Repeat("  - x\n", 50), "and 30 more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.text))
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestTheSampleIsAList(t *testing.T) {
	list, err := Load("../../../configs/mesh/members.yaml")
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"members:\n  - {node: a, number: 1, address: 'a:1'}\n  - {node: b, number: 2, address: 'b:1'}\n",
		"members: &a [*a]\n", "members:\n- node: a\n  number: 1\n  address: [::]:1\n", "{members: [{<<: {}}]}\n", "a: b\n---\n", "!!binary |\n",
		"members:\n  - {node: 'no', number: 1, address: 'null:1'}\n",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "members.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse([]byte(text))
		if err != nil {
			if list != nil {
				t.Fatalf("a list with problems: %v, %v", list, err)
			}
			return
		}
		if err := list.Validate(); err != nil {
			t.Fatalf("the list is wrong, and was taken: %v", err)
		}
		if err := Save(path, list); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if diff := cmp.Diff(list, again); diff != "" || err != nil {
			t.Fatalf("what was saved is another list: %v\n%s", err, diff)
		}
	})
}
