package messageserver

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/messageserver/internal/discovery"
)

// trio is the list with which node a is started.
var trio = discovery.List{{Node: "a", Number: 1, Address: "127.0.0.1:7072"}, {Node: "b", Number: 2, Address: "127.0.0.1:7172"}, {Node: "c", Number: 3, Address: "127.0.0.1:7272"}}

// newMember returns node a of a mesh of three that is not run, with its list in a file.
func newMember(t *testing.T) *Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "members.yaml")
	if err := discovery.Save(file, trio); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Node: "a", Number: 1, Listen: "127.0.0.1:0", DataDir: t.TempDir(), Admin: AdminOptions{Listen: "off"},
		Peers: PeerOptions{Listen: "127.0.0.1:0", MembersFile: file, Secret: "0123456789abcdef"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestOfTwoChangesOfOneListOneIsTaken: comparing and setting are one step, and the file is that of who was faster.
func TestOfTwoChangesOfOneListOneIsTaken(t *testing.T) {
	m := newMember(t).mesh
	from := hashText(m.inForce())
	errs := make([]error, 8)
	var setting sync.WaitGroup
	for i := range errs {
		list := append(m.Members(), admin.Member{Node: "d", Number: 4, Address: fmt.Sprintf("127.0.0.1:%d", 1+i)})
		setting.Go(func() { errs[i] = m.SetMembers(from, list) })
	}
	setting.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else if other, is := errors.AsType[*admin.OtherListError](err); !is || other.Has != hashText(m.inForce()) || other.From != from || other.Node != "a" {
			t.Error(err)
		}
	}
	file, err := discovery.Load(m.file)
	if err != nil || taken != 1 || file.Hash() != m.peers.MembershipHash() {
		t.Errorf("%d changes were taken; the file: %v, %v; in force: %v", taken, file, err, m.inForce())
	}
	if err := m.SetMembers(from, m.Members()); err != nil {
		t.Errorf("the list that is in force is refused: %v", err)
	}
}

func TestTheNumberOfAMemberThatStaysIsKept(t *testing.T) {
	s := newMember(t)
	m := s.mesh
	list := slices.Clone(trio)
	list[1].Number = 9
	const want = "the number of node b is 2, and 9 in the new list"
	for who, err := range map[string]error{
		"check": m.CheckMembers(adminMembers(list)),
		"set":   m.SetMembers(hashText(trio), adminMembers(list)),
		"file":  errors.Join(discovery.Save(m.file, list), m.adopt(list)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", who, err, want)
		}
	}
	without := append(slices.Clone(trio[:1]), trio[2])
	if err := errors.Join(m.set(without, nil), m.set(list, nil)); err != nil {
		t.Errorf("removed and added: %v", err)
	}
}

func adminMembers(list discovery.List) (members []admin.Member) {
	for _, m := range list {
		members = append(members, admin.Member(m))
	}
	return members
}

// TestAFileThatWasReadTooEarlyIsNotTaken: another list was written and put in force meanwhile.
func TestAFileThatWasReadTooEarlyIsNotTaken(t *testing.T) {
	m := newMember(t).mesh
	early, err := discovery.Load(m.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.set(trio[:2], nil); err != nil {
		t.Fatal(err)
	}
	if err := m.adopt(early); err != nil || len(m.inForce()) != 2 {
		t.Errorf("%v, in force: %v", err, m.inForce())
	}
	if err := errors.Join(discovery.Save(m.file, early), m.adopt(early)); err != nil || len(m.inForce()) != 3 {
		t.Errorf("%v, in force: %v", err, m.inForce())
	}
}

func TestListsOfMembersAreParsed(t *testing.T) {
	for _, text := range []string{
		"members:\n  - {node: b, number: 2, address: 'b:1'}\n  - {node: a, number: 1, address: 'a:1'}",
		`{"members":[{"node":"a","number":1,"address":"a:1"},{"node":"b","number":2,"address":"b:1"}]}`,
		"{\n\t\"members\": [\n\t\t{\"node\": \"a\", \"number\": 1, \"address\": \"a:1\"},\n\t\t{\"node\": \"b\", \"number\": 2, \"address\": \"b:1\"}\n\t]\n}\n",
	} {
		got, err := ParseMembers([]byte(text))
		if err != nil || !slices.Equal(got, []Member{{"a", 1, "a:1"}, {"b", 2, "b:1"}}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseMembers([]byte("members:\n- {node: a, number: 1}")); err == nil || err.Error() != "line 2, column 3: address is missing" {
		t.Error(err)
	}
	if _, err := ParseMembers(nil); err == nil {
		t.Error("nothing is a list")
	}
}
