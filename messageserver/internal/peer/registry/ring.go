package registry

import "slices"

// Bounds of a ring. Who is further behind gets a snapshot.
const (
	ringVersions = 4096
	ringKeys     = 64 << 10 // over all versions
)

// ring remembers which sessions the last versions changed.
type ring struct {
	maxVersions, maxKeys int // static

	first    uint64     // the oldest version that is here, if any is
	versions [][]uint64 // the keys of first, first + 1, …
	keys     int
}

// push adds the version that comes next, and forgets old ones where that is too much.
func (r *ring) push(version uint64, keys []uint64) {
	if len(r.versions) == 0 {
		r.first = version
	}
	r.versions = append(r.versions, keys)
	r.keys += len(keys)
	for len(r.versions) > r.maxVersions || r.keys > r.maxKeys {
		r.keys -= len(r.versions[0])
		r.versions[0] = nil
		r.versions = r.versions[1:]
		r.first++
	}
}

// clear forgets everything.
func (r *ring) clear() { *r = ring{maxVersions: r.maxVersions, maxKeys: r.maxKeys} }

// since returns the keys that were changed after a version, each once and in order. It is not ok where the ring does not
// reach back.
func (r *ring) since(version uint64) (keys []uint64, ok bool) {
	if len(r.versions) == 0 || version+1 < r.first || version+1 >= r.first+uint64(len(r.versions))+1 {
		return nil, false
	}
	for _, batch := range r.versions[version+1-r.first:] {
		keys = append(keys, batch...)
	}
	slices.Sort(keys)
	return slices.Compact(keys), true
}
