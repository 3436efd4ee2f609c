package discovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// trio are three members with nothing wrong.
func trio() List {
	return List{{"a", 1, "10.0.0.11:7072"}, {"b", 2, "node-b.example.com:7072"}, {"c", 3, "[fd00::13]:7072"}}
}

func TestValidateListsEveryProblemAtOnce(t *testing.T) {
	if err := trio().Validate(); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
	err := List{
		{"a", 1, "10.0.0.11:7072"},
		{"a", 2, "10.0.0.12:7072"},
		{"_node", 1, "10.0.0.13:7072"},
		{"", 512, "10.0.0.14"},
		{"e f", -1, "10.0.0.11:7072"},
	}.Validate()
	want := `members[1].node: "a" stands twice: first in members[0]
members[2].node: "_node" is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _
members[2].number: 1 stands twice: first in members[0]; each node has a number of its own
members[3].node: "" is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _
members[3].number: is 512, must be 0 to 511
members[3].address: "10.0.0.14" is not host:port, as 10.0.0.11:7072 or [fd00::11]:7072
members[4].node: "e f" is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _
members[4].number: is -1, must be 0 to 511
members[4].address: "10.0.0.11:7072" stands twice: first in members[0]`
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAMeshHas1To512Members(t *testing.T) {
	if err := (List{}).Validate(); err == nil || !strings.Contains(err.Error(), "there are no members") {
		t.Errorf("none: %v", err)
	}
	var l List
	for n := range MaxMembers {
		l = append(l, Member{fmt.Sprint("n", n), n, fmt.Sprintf("n%d:7072", n)})
	}
	if err := l.Validate(); err != nil {
		t.Errorf("%d members: %v", len(l), err)
	}
	l = append(l, Member{"n512", 512, "n512:7072"})
	if err := l.Validate(); err == nil || !strings.Contains(err.Error(), "there are 513 members, a mesh has at most 512") {
		t.Errorf("%d members: %v", len(l), err)
	}
}

func TestAnAddressCanBeDialled(t *testing.T) {
	for address, good := range map[string]bool{
		"10.0.0.1:7072": true, "[::1]:7072": true, "[fe80::1%eth0]:7072": true, "a:1": true, "a.b-c.example:65535": true, "a.b.:7072": true, "node_1:7072": true,
		"": false, "a": false, ":7072": false, "a:": false, "a:0": false, "a:65536": false, "a:http": false, "a:+1": false, "a:07072": false,
		"0.0.0.0:7072": false, "[::]:7072": false, "224.0.0.1:7072": false, "10.0.0:7072": false, "10.0.0.256:7072": false,
		"a b:7072": false, "a..b:7072": false, "-a:7072": false, "a-:7072": false, "ä:7072": false, "http://a:7072": false, "::1:7072": false, "unix:/run/x": false,
		strings.Repeat("a", 64) + ":7072": false, strings.Repeat("a.", 127) + "a:1": false,
	} {
		err := List{{"a", 1, address}}.Validate()
		if good != (err == nil) {
			t.Errorf("%q: %v, want good: %v", address, err, good)
		}
	}
}

func TestAddressesOfOneMeaningAreOne(t *testing.T) {
	for _, pair := range [][2]string{
		{"Node-A:7072", "node-a:7072"}, {"[::1]:7072", "[0:0:0:0:0:0:0:1]:7072"}, {"10.0.0.1:7072", "[::ffff:10.0.0.1]:7072"},
	} {
		if err := (List{{"a", 1, pair[0]}, {"b", 2, pair[1]}}).Validate(); err == nil || !strings.Contains(err.Error(), "stands twice") {
			t.Errorf("%q: %v", pair, err)
		}
	}
}

func TestHashIsOfTheContent(t *testing.T) {
	l := trio()
	h := l.Hash()
	slices.Reverse(l)
	if l.Hash() != h {
		t.Error("another order has another hash")
	}
	if got := (List{{"a", 1, "x:1"}}).Hash(); got != 0x4de4ced4085b5ea4 {
		t.Errorf("the definition changed: other nodes make another hash of the same list: %#x", got)
	}
	for name, change := range map[string]func(List) List{
		"node":    func(l List) List { l[1].Node = "B"; return l },
		"number":  func(l List) List { l[1].Number = 4; return l },
		"address": func(l List) List { l[1].Address = "node-b.example.com:7073"; return l },
		"fewer":   func(l List) List { return l[:2] },
		"more":    func(l List) List { return append(l, Member{"d", 4, "d:1"}) },
	} {
		if change(trio()).Hash() == h {
			t.Errorf("%s: the hash is the same", name)
		}
	}
}

func TestANodeFindsItself(t *testing.T) {
	if err := trio().CheckSelf("b", 2); err != nil {
		t.Error(err)
	}
	if err := trio().CheckSelf("d", 2); err == nil || err.Error() != `this node, "d", is not in the list of members` {
		t.Error(err)
	}
	if err := trio().CheckSelf("b", 3); err == nil || err.Error() != `this node, "b", has the number 3, and 2 in the list of members` {
		t.Error(err)
	}
}

func TestTheNumberOfAMemberStays(t *testing.T) {
	l := List{{"a", 1, "elsewhere:1"}, {"b", 9, "b:1"}, {"d", 4, "d:1"}}
	if err := l.CheckChange(trio()); err == nil || !strings.Contains(err.Error(), "the number of node b is 2, and 9 in the new list") ||
		strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	if err := l.CheckChange(List{{"a", 1, "a:1"}}); err != nil {
		t.Error(err)
	}
}

func TestSortedLeavesTheListAlone(t *testing.T) {
	l := List{{"b", 2, "b:1"}, {"a", 1, "a:1"}}
	if s := l.Sorted(); s[0].Node != "a" || l[0].Node != "b" {
		t.Errorf("sorted %v, the list %v", s, l)
	}
}
