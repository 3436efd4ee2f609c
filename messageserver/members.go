package messageserver

import (
	"fmt"

	"github.com/twohop/twohop/messageserver/internal/admin"
	"github.com/twohop/twohop/messageserver/internal/discovery"
	"github.com/twohop/twohop/messageserver/internal/peer"
)

// ParseMembers reads a list of members as Options.Peers.MembersFile has it, YAML or JSON, sorted by name. The error names every
// problem with line and column. Other than in a file that somebody may be writing just now, the last line need not end.
func ParseMembers(text []byte) ([]Member, error) {
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text[:n:n], '\n')
	}
	list, err := discovery.Parse(text)
	if err != nil {
		return nil, err
	}
	members := make([]Member, 0, len(list))
	for _, one := range list {
		members = append(members, Member(one))
	}
	return members, nil
}

// SetMembers puts another list of members in force while the node runs, and writes it to Options.Peers.MembersFile where there
// is one. The error names every problem of the list; then nothing has changed. The number of a member that stays cannot change.
// A node that is alone has no list.
func (s *Server) SetMembers(members []Member) error {
	if s.mesh == nil {
		return errAlone
	}
	return s.mesh.set(memberList(members), nil)
}

// adopt puts a list in force that was found in the file, unless the file has another one by now: one that was written and put in
// force while it was read.
func (m *mesh) adopt(list discovery.List) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if now, err := discovery.Load(m.file); err != nil || now.Hash() != list.Hash() {
		return nil // Watch sees that, too
	}
	if err := m.check(list); err != nil {
		return err
	}
	return m.enforce(list)
}

// check says what is wrong with a list that is to follow the one in force.
func (m *mesh) check(list discovery.List) error {
	if err := list.Validate(); err != nil {
		return err
	}
	if err := list.CheckChange(m.inForce()); err != nil {
		return err
	}
	if err := m.server.opts.checkSecret(list); err != nil {
		return fmt.Errorf("peers.secret: %w", err)
	}
	return m.peers.CheckMembers(peerMembers(list))
}

// set checks a list, writes it, and puts it in force, if the one in force is the one from which it was made; from nil stands for
// any. The list that is in force already is taken whatever it was made from, and is written once more.
func (m *mesh) set(list discovery.List, from *string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	have, want := hashText(m.inForce()), hashText(list)
	if from != nil && *from != have && want != have {
		return &admin.OtherListError{Node: m.server.opts.Node, Has: have, From: *from}
	}
	if err := m.check(list); err != nil {
		return err
	}
	if m.file != "" {
		if err := discovery.Save(m.file, list); err != nil {
			return err
		}
	}
	return m.enforce(list)
}

// inForce returns the list in force.
func (m *mesh) inForce() discovery.List {
	members := m.peers.Members()
	list := make(discovery.List, 0, len(members))
	for _, one := range members {
		list = append(list, discovery.Member(one))
	}
	return list
}

// CheckMembers implements admin.Mesh.
func (m *mesh) CheckMembers(members []admin.Member) error { return m.check(adminList(members)) }

// SetMembers implements admin.Mesh.
func (m *mesh) SetMembers(from string, members []admin.Member) error {
	return m.set(adminList(members), &from)
}

// Members implements admin.Mesh.
func (m *mesh) Members() []admin.Member {
	list := m.inForce()
	all := make([]admin.Member, 0, len(list))
	for _, one := range list {
		all = append(all, admin.Member(one))
	}
	return all
}

// hashMembers identifies a list for operators.
func hashMembers(members []admin.Member) string { return hashText(adminList(members)) }

func hashText(list discovery.List) string { return fmt.Sprintf("%016x", list.Hash()) }

// adminList returns a list that came from operators.
func adminList(members []admin.Member) discovery.List {
	list := make(discovery.List, 0, len(members))
	for _, one := range members {
		list = append(list, discovery.Member(one))
	}
	return list
}

// peerMembers returns a list as the peers take it.
func peerMembers(list discovery.List) []peer.Member {
	all := make([]peer.Member, 0, len(list))
	for _, one := range list {
		all = append(all, peer.Member(one))
	}
	return all
}
