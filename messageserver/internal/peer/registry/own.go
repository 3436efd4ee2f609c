package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/twohop/twohop/messageserver/internal/router"
)

// Own is the registry that a node speaks for: its own sessions.
type Own struct {
	mark    Mark
	entries map[uint64]*router.Registration
	digest  Digest
	ring    ring
	frozen  []*router.Registration // all entries, nil until somebody wants them
	unfit   uint64
	hasher  hasher
}

// NewOwn returns an empty registry, at version 0.
func NewOwn(incarnation uint64) *Own {
	return &Own{
		mark: Mark{Incarnation: max(incarnation, 1)}, entries: make(map[uint64]*router.Registration),
		ring: ring{maxVersions: ringVersions, maxKeys: ringKeys},
	}
}

// Apply puts a batch of changes into force and reports whether that made a version: what does not change an entry does not
// count, and of several changes of one session only the last. The registrations belong to Own from then on.
func (o *Own) Apply(changes []router.Change) bool {
	last := make(map[uint64]*router.Registration, len(changes))
	for _, c := range changes {
		last[c.Session] = c.Registration
	}
	var keys []uint64
	for session, r := range last {
		old := o.entries[session]
		if r != nil && old != nil && same(r, old) {
			continue
		}
		if r != nil && (r.Session != session || old == nil && len(o.entries) >= maxEntries || !sayable(r)) {
			o.unfit++
			r = nil
		}
		if o.put(session, old, r) {
			keys = append(keys, session)
		}
	}
	if len(keys) == 0 {
		return false
	}
	o.mark.Version++
	o.ring.push(o.mark.Version, keys)
	o.frozen = nil
	return true
}

// put replaces an entry, or removes it where r is nil, and reports whether that is a change.
func (o *Own) put(session uint64, old, r *router.Registration) bool {
	if old == nil && r == nil {
		return false
	}
	if old != nil {
		o.digest = o.digest.minus(o.hasher.hash(old))
	}
	if r == nil {
		delete(o.entries, session)
		return true
	}
	o.digest = o.digest.plus(o.hasher.hash(r))
	o.entries[session] = r
	return true
}

// Mark returns the state.
func (o *Own) Mark() Mark { return o.mark }

// Digest returns the digest of the state.
func (o *Own) Digest() Digest { return o.digest }

// Count returns how many entries there are.
func (o *Own) Count() int { return len(o.entries) }

// Unfit returns how many changes said what no receiver takes: their sessions are left out. Sessions are checked before they
// are registered, so it is 0.
func (o *Own) Unfit() uint64 { return o.unfit }

// Each calls yield for each entry, in no order, until it returns false.
func (o *Own) Each(yield func(*router.Registration) bool) {
	for _, r := range o.entries {
		if !yield(r) {
			return
		}
	}
}

// Reincarnate begins another incarnation with the entries that there are: every receiver gets a snapshot. One that is not
// above the present one changes nothing.
func (o *Own) Reincarnate(incarnation uint64) {
	if incarnation <= o.mark.Incarnation {
		return
	}
	o.mark = Mark{Incarnation: incarnation}
	if len(o.entries) > 0 {
		o.mark.Version = 1 // version 0 is the empty registry
	}
	o.ring.clear()
	o.digest = o.sum()
}

func (o *Own) sum() (d Digest) {
	for _, r := range o.entries {
		d = d.plus(o.hasher.hash(r))
	}
	return d
}

// Check computes the digest from the entries and compares it, and what else must be so. The error names every difference;
// a new incarnation (Reincarnate) repairs the digest.
func (o *Own) Check() error {
	var errs []error
	if sum := o.sum(); sum != o.digest {
		errs = append(errs, fmt.Errorf("registry: the digest of this node's %d entries at %v is %v, must be %v", len(o.entries), o.mark, o.digest, sum))
	}
	if o.mark.Version == 0 && len(o.entries) > 0 {
		errs = append(errs, fmt.Errorf("registry: %d entries at version 0, must be none", len(o.entries)))
	}
	if n := len(o.ring.versions); n > 0 && o.ring.first+uint64(n)-1 != o.mark.Version {
		errs = append(errs, fmt.Errorf("registry: the ring ends with version %d, must end with %d", o.ring.first+uint64(n)-1, o.mark.Version))
	}
	return errors.Join(errs...)
}

// all returns every entry, in byContract's order. The slice is shared, and nobody changes it.
func (o *Own) all() []*router.Registration {
	if o.frozen == nil {
		o.frozen = slices.SortedFunc(o.Each, byContract)
	}
	return o.frozen
}

// byContract puts entries with the same contract side by side, so that few parts have to bring it.
func byContract(a, b *router.Registration) int {
	return cmp.Or(cmp.Compare(methodsOf(a).Hash, methodsOf(b).Hash), cmp.Compare(a.Session, b.Session))
}
