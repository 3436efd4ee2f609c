package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// View is what a node holds of another node's registry. It outlives links: who returns unchanged says nothing twice. An
// Exchange changes it.
type View struct {
	node    string
	mark    Mark
	entries map[uint64]*router.Registration
	digest  Digest
	hasher  hasher
	words   map[string]string // strings that many entries share, one copy of each
}

// NewView returns an empty view of a node that was never heard of.
func NewView(node string) *View {
	return &View{node: node, entries: make(map[uint64]*router.Registration), words: make(map[string]string)}
}

// Node returns whose view it is.
func (v *View) Node() string { return v.node }

// Mark returns the state that is held.
func (v *View) Mark() Mark { return v.mark }

// Digest returns the digest of the state.
func (v *View) Digest() Digest { return v.digest }

// Known returns what this node says of it in its HELLO.
func (v *View) Known() Known { return Known{Mark: v.mark, Digest: v.digest} }

// Count returns how many entries there are.
func (v *View) Count() int { return len(v.entries) }

// Highest returns the highest incarnation that the node was seen with, 0 if it never was.
func (v *View) Highest() uint64 { return v.mark.Incarnation }

// Each calls yield for each entry, in no order, until it returns false.
func (v *View) Each(yield func(*router.Registration) bool) {
	for _, r := range v.entries {
		if !yield(r) {
			return
		}
	}
}

// Meet takes the incarnation of the node's HELLO. A higher one than ever is that of a node that has restarted: all entries
// are gone, and the changes say so. A lower one is not ok: the node is to be told Highest, and to come back above it.
func (v *View) Meet(incarnation uint64) (changes []router.Change, ok bool) {
	switch {
	case incarnation < v.mark.Incarnation || incarnation == 0 || incarnation > maxIncarnation:
		return nil, false
	case incarnation == v.mark.Incarnation:
		return nil, true
	}
	changes = v.empty()
	v.mark.Incarnation = incarnation
	return changes, true
}

// Forget drops the entries of a node that is no member any more. What is remembered is the incarnation.
func (v *View) Forget() []router.Change { return v.empty() }

// empty goes to version 0 of the incarnation, which is the empty registry.
func (v *View) empty() []router.Change {
	changes := make([]router.Change, 0, len(v.entries))
	for _, session := range slices.Sorted(maps.Keys(v.entries)) {
		changes = append(changes, router.Change{Session: session})
	}
	clear(v.entries)
	clear(v.words)
	v.mark.Version, v.digest = 0, Digest{}
	return changes
}

// Check computes the digest from the entries and compares it. A view that is wrong takes the digest that its entries have: the
// next heartbeat differs from it, and a snapshot repairs it.
func (v *View) Check() error {
	var sum Digest
	for _, r := range v.entries {
		sum = sum.plus(v.hasher.hash(r))
	}
	if was := v.digest; sum != was {
		v.digest = sum
		return fmt.Errorf("registry: the digest of the %d entries of node %s at %v was %v, must be %v", len(v.entries), v.node, v.mark, was, sum)
	}
	return nil
}

// read takes an entry. One that is held already, unchanged, is returned as it is; a changed one keeps its time of login.
func (v *View) read(e *pb.Entry, contracts map[uint64]*router.Methods, now time.Duration) (*router.Registration, error) {
	methods := contracts[e.GetContractHash()]
	if methods == nil {
		return nil, breach("entry %016x: contract %016x is not in the same message", e.GetSession(), e.GetContractHash())
	}
	r := router.Registration{
		Session: e.GetSession(), Module: e.GetModule(), Instance: e.GetInstance(), UUID: e.GetInstanceUuid(), Group: e.GetGroup(),
		Weight: e.GetWeight(), Zone: e.GetZone(), AppVersion: e.GetAppVersion(),
		Stamp: router.Stamp{N: e.GetStamp().GetN(), Node: e.GetStamp().GetNode()}, Methods: methods, Draining: e.GetDraining(),
		Since: now - time.Duration(e.GetAgeMs())*time.Millisecond,
	}
	old := v.entries[r.Session]
	if old != nil && same(&r, old) {
		return old, nil
	}
	if err := check(&r); err != nil {
		return nil, err
	}
	if old != nil {
		r.Since = old.Since
	}
	r.Module, r.Group, r.Zone = v.word(r.Module), v.word(r.Group), v.word(r.Zone)
	r.AppVersion, r.Stamp.Node = v.word(r.AppVersion), v.word(r.Stamp.Node)
	return &r, nil
}

// word returns the copy of s that entries share.
func (v *View) word(s string) string {
	if s == "" {
		return ""
	}
	if w, ok := v.words[s]; ok {
		return w
	}
	const spare = 1024
	if len(v.words) >= spare+2*len(v.entries) {
		clear(v.words) // most are of entries that are gone
	}
	v.words[s] = s
	return s
}

// swap takes a whole state and returns the changes that lead to it.
func (v *View) swap(to Mark, digest Digest, entries map[uint64]*router.Registration) []router.Change {
	var changes []router.Change
	for session := range v.entries {
		if entries[session] == nil {
			changes = append(changes, router.Change{Session: session})
		}
	}
	for session, r := range entries {
		if old := v.entries[session]; old == nil || old != r && !same(old, r) {
			changes = append(changes, router.Change{Session: session, Registration: r})
		}
	}
	v.mark, v.digest, v.entries = to, digest, entries
	return inOrder(changes)
}

// weigh returns digest and count of the state that a delta leads to.
func (v *View) weigh(puts map[uint64]*router.Registration, dels map[uint64]struct{}) (digest Digest, count int) {
	digest, count = v.digest, len(v.entries)
	for session, r := range puts {
		if old := v.entries[session]; old != nil {
			digest = digest.minus(v.hasher.hash(old))
			count--
		}
		digest = digest.plus(v.hasher.hash(r))
		count++
	}
	for session := range dels {
		if old := v.entries[session]; old != nil {
			digest = digest.minus(v.hasher.hash(old))
			count--
		}
	}
	return digest, count
}

// edit applies a delta that was weighed and returns its changes.
func (v *View) edit(to Mark, digest Digest, puts map[uint64]*router.Registration, dels map[uint64]struct{}) []router.Change {
	changes := make([]router.Change, 0, len(puts)+len(dels))
	for session := range dels {
		if v.entries[session] != nil {
			delete(v.entries, session)
			changes = append(changes, router.Change{Session: session})
		}
	}
	for session, r := range puts {
		if v.entries[session] != r {
			v.entries[session] = r
			changes = append(changes, router.Change{Session: session, Registration: r})
		}
	}
	v.mark, v.digest = to, digest
	return inOrder(changes)
}

// inOrder puts what is gone before what is there, each in the order of sessions: a process that came back has left first.
func inOrder(changes []router.Change) []router.Change {
	slices.SortFunc(changes, func(a, b router.Change) int {
		if gone := a.Registration == nil; gone != (b.Registration == nil) {
			if gone {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Session, b.Session)
	})
	return changes
}
