package registry

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// partSize is what a part has at most, in bytes, if it has more than one entry.
const partSize = 48 << 10

// transfer takes a receiver to one state of the owner, in parts. What it says is fixed when it begins: registrations are
// immutable, and what the owner does meanwhile is the next one's business.
type transfer struct {
	snapshot bool
	from     uint64 // of a delta
	to       Mark
	digest   Digest
	count    uint32
	puts     []*router.Registration // what is left to say
	dels     []uint64
	limit    int // entries in a part
	index    uint32
	done     bool
}

// transfer begins what leads from a state to the present one, with so many entries in a part.
func (o *Own) transfer(from Mark, limit int) *transfer {
	t := &transfer{to: o.mark, digest: o.digest, count: uint32(len(o.entries)), limit: limit}
	var keys []uint64
	ok := from.Incarnation == o.mark.Incarnation
	if ok {
		keys, ok = o.ring.since(from.Version)
	}
	if !ok || len(keys) > max(len(o.entries), limit) {
		t.snapshot, t.puts = true, o.all()
		return t
	}
	t.from = from.Version
	for _, session := range keys {
		if r := o.entries[session]; r != nil {
			t.puts = append(t.puts, r)
		} else {
			t.dels = append(t.dels, session)
		}
	}
	slices.SortFunc(t.puts, byContract)
	return t
}

// next returns the next part. There is one until done.
func (t *transfer) next(now time.Duration) (wire.Kind, proto.Message) {
	p := builder{named: make(map[*router.Methods]struct{}, 1)}
	for len(t.puts) > 0 && len(p.entries) < t.limit && p.put(t.puts[0], now) {
		t.puts = t.puts[1:]
	}
	n := min(len(t.dels), maxDels, max((partSize-p.size)/8, 0))
	if len(t.puts) > 0 {
		n = 0
	}
	dels := t.dels[:n]
	t.dels = t.dels[n:]
	t.done = len(t.puts) == 0 && len(t.dels) == 0
	index := t.index
	t.index++
	if t.snapshot {
		return wire.KindSnapshot, &pb.Snapshot{
			Incarnation: t.to.Incarnation, Version: t.to.Version, Index: index, Last: t.done, Count: t.count, Digest: t.digest[:],
			Entries: p.entries, Contracts: p.contracts,
		}
	}
	return wire.KindDelta, &pb.Delta{
		Incarnation: t.to.Incarnation, FromVersion: t.from, ToVersion: t.to.Version, Index: index, Last: t.done, Count: t.count,
		Digest: t.digest[:], Put: p.entries, Del: dels, Contracts: p.contracts,
	}
}

// builder gathers the entries of one part, and each contract that they name.
type builder struct {
	entries   []*pb.Entry
	contracts []*pb.Contract
	named     map[*router.Methods]struct{}
	size      int
}

// put adds an entry, if there is room; there always is for one.
func (b *builder) put(r *router.Registration, now time.Duration) bool {
	const framing = 4 // tag and length
	e, methods := toEntry(r, now), methodsOf(r)
	size := proto.Size(e) + framing
	var c *pb.Contract
	if _, known := b.named[methods]; !known {
		c = toContract(methods)
		size += proto.Size(c) + framing
	}
	if len(b.entries) > 0 && b.size+size > partSize {
		return false
	}
	b.size += size
	b.entries = append(b.entries, e)
	if c != nil {
		b.contracts = append(b.contracts, c)
		b.named[methods] = struct{}{}
	}
	return true
}
