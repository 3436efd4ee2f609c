package registry

import (
	"errors"
	"time"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
)

// part is a SNAPSHOT or a DELTA as it came.
type part struct {
	snapshot  bool
	from      uint64 // of a delta
	to        Mark
	index     uint32
	last      bool
	count     uint32
	digest    Digest
	puts      []*pb.Entry
	dels      []uint64
	contracts []*pb.Contract
}

func readSnapshot(m *pb.Snapshot) (p part, err error) {
	p = part{
		snapshot: true, to: Mark{m.GetIncarnation(), m.GetVersion()}, index: m.GetIndex(), last: m.GetLast(), count: m.GetCount(),
		puts: m.GetEntries(), contracts: m.GetContracts(),
	}
	if p.digest, err = readDigest(m.GetDigest()); err != nil {
		return p, err
	}
	return p, p.check()
}

func readDelta(m *pb.Delta) (p part, err error) {
	p = part{
		from: m.GetFromVersion(), to: Mark{m.GetIncarnation(), m.GetToVersion()}, index: m.GetIndex(), last: m.GetLast(),
		count: m.GetCount(), puts: m.GetPut(), dels: m.GetDel(), contracts: m.GetContracts(),
	}
	if p.digest, err = readDigest(m.GetDigest()); err != nil {
		return p, err
	}
	return p, p.check()
}

// check looks at what a part says of itself.
func (p *part) check() error {
	switch {
	case len(p.puts) > maxPuts || len(p.contracts) > maxPuts:
		return breach("a part has %d entries and %d contracts, must have at most %d of each", len(p.puts), len(p.contracts), maxPuts)
	case len(p.dels) > maxDels:
		return breach("a part removes %d entries, must remove at most %d", len(p.dels), maxDels)
	case p.count > maxEntries:
		return breach("count is %d, must be at most %d", p.count, maxEntries)
	case !p.snapshot && p.from >= p.to.Version:
		return breach("a delta leads from version %d to %d, must lead to a later one", p.from, p.to.Version)
	}
	return checkMark(p.to)
}

// assembly is what a receiver has of a transfer. The view knows nothing of it before it is whole.
type assembly struct {
	head part // the first part, without content
	next uint32
	puts map[uint64]*router.Registration
	dels map[uint64]struct{}
	sum  Digest // of puts, in a snapshot
}

func newAssembly(p *part) *assembly {
	a := &assembly{head: *p, puts: make(map[uint64]*router.Registration), dels: make(map[uint64]struct{})}
	a.head.puts, a.head.dels, a.head.contracts = nil, nil, nil
	return a
}

// ofSame reports whether a part is of the transfer that is under way.
func (a *assembly) ofSame(p *part) bool {
	return a != nil && a.head.snapshot == p.snapshot && a.head.from == p.from && a.head.to == p.to &&
		a.head.count == p.count && a.head.digest == p.digest
}

// errMixed says that two parts have the same session, or that there are more entries than announced: the parts are not of
// one transfer.
var errMixed = errors.New("registry: the parts do not belong together")

// add takes the content of the next part. The error is a breach, or errMixed.
func (a *assembly) add(v *View, p *part, now time.Duration) error {
	contracts := make(map[uint64]*router.Methods, len(p.contracts))
	for _, c := range p.contracts {
		m, err := readContract(c)
		if err != nil {
			return err
		}
		contracts[c.GetHash()] = m
	}
	here := make(map[uint64]struct{}, len(p.puts)+len(p.dels))
	twice := false
	see := func(session uint64) error {
		if _, again := here[session]; again {
			return breach("entry %016x stands twice in a part", session)
		}
		here[session] = struct{}{}
		_, gone := a.dels[session]
		twice = twice || gone || a.puts[session] != nil
		return nil
	}
	for _, e := range p.puts {
		if err := see(e.GetSession()); err != nil {
			return err
		}
		r, err := v.read(e, contracts, now)
		if err != nil {
			return err
		}
		a.puts[r.Session] = r
		if p.snapshot {
			a.sum = a.sum.plus(v.hasher.hash(r))
		}
	}
	if len(a.dels)+len(p.dels) > maxEntries {
		return breach("more than %d entries are gone", maxEntries)
	}
	for _, session := range p.dels {
		if err := see(session); err != nil {
			return err
		}
		a.dels[session] = struct{}{}
	}
	a.next++
	if twice || uint64(len(a.puts)) > uint64(a.head.count) {
		return errMixed
	}
	return nil
}
