package discovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxNumber is the largest number of a node.
	MaxNumber = 511
	// MaxMembers is how many nodes a mesh may have: each has a number of its own.
	MaxMembers = MaxNumber + 1
)

// Member is one node of the mesh.
type Member struct {
	Node    string `yaml:"node"`
	Number  int    `yaml:"number"`  // 0 to MaxNumber
	Address string `yaml:"address"` // where other nodes dial it, host:port
}

// List are the members, sorted by node. It is not changed once it was given away.
type List []Member

// Sorted returns a copy of the list that is sorted by node.
func (l List) Sorted() List {
	l = slices.Clone(l)
	slices.SortStableFunc(l, func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
	return l
}

// Find returns the member of that name.
func (l List) Find(node string) (Member, bool) {
	for _, m := range l {
		if m.Node == node {
			return m, true
		}
	}
	return Member{}, false
}

// CheckSelf reports that the list has no such node, or has another number for it.
func (l List) CheckSelf(node string, number int) error {
	m, ok := l.Find(node)
	switch {
	case !ok:
		return fmt.Errorf("this node, %q, is not in the list of members", node)
	case m.Number != number:
		return fmt.Errorf("this node, %q, has the number %d, and %d in the list of members", node, number, m.Number)
	}
	return nil
}

// CheckChange reports members of the list in force that have another number in this one: a number is part of every id that a
// node makes, and nodes that have it from two lists refuse each other.
func (l List) CheckChange(inForce List) error {
	var found []string
	for _, m := range l.Sorted() {
		if before, ok := inForce.Find(m.Node); ok && before.Number != m.Number {
			found = append(found, fmt.Sprintf("the number of node %s is %d, and %d in the new list: the number of a member does not change; "+
				"remove it from the list, start it with the other number, and add it", m.Node, before.Number, m.Number))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return errors.New(strings.Join(found, "\n"))
}

// Hash is the same for two lists exactly if they have the same members, in any order: the first 8 bytes, big-endian, of
// SHA-256 over "node number address\n" of each, sorted by node.
func (l List) Hash() uint64 {
	var text []byte
	for _, m := range l.Sorted() {
		text = fmt.Appendf(text, "%s %d %s\n", m.Node, m.Number, m.Address)
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}
