package registry

import (
	"errors"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// TestABreachChangesNothing: each message cannot be true, is refused with the reason, and leaves the view as it was.
func TestABreachChangesNothing(t *testing.T) {
	entry := func(edit func(*pb.Entry)) *pb.Snapshot {
		e := toEntry(login(9), 0)
		edit(e)
		return &pb.Snapshot{
			Incarnation: 100, Version: 9, Last: true, Count: 1, Digest: make([]byte, 16),
			Entries: []*pb.Entry{e}, Contracts: []*pb.Contract{toContract(charging)},
		}
	}
	snapshot := func(edit func(*pb.Snapshot)) *pb.Snapshot {
		s := entry(func(*pb.Entry) {})
		edit(s)
		return s
	}
	delta := func(edit func(*pb.Delta)) *pb.Delta {
		d := &pb.Delta{Incarnation: 100, FromVersion: 1, ToVersion: 2, Last: true, Digest: make([]byte, 16)}
		edit(d)
		return d
	}
	beat := func(edit func(*pb.Heartbeat)) *pb.Heartbeat {
		h := &pb.Heartbeat{Incarnation: 100, Version: 1, Sequence: 100, Digest: make([]byte, 16)}
		edit(h)
		return h
	}
	long := strings.Repeat("x", 128)
	for _, c := range []struct {
		want string
		m    proto.Message
	}{
		{"session 0", entry(func(e *pb.Entry) { e.Session = 0 })},
		{"module has 0 bytes", entry(func(e *pb.Entry) { e.Module = "" })},
		{"module is \"p y\"", entry(func(e *pb.Entry) { e.Module = "p y" })},
		{"module is \"_node\"", entry(func(e *pb.Entry) { e.Module = "_node" })},
		{"instance has 128 bytes", entry(func(e *pb.Entry) { e.Instance = long })},
		{"instance_uuid has 0 bytes", entry(func(e *pb.Entry) { e.InstanceUuid = "" })},
		{"instance_uuid has 65 bytes", entry(func(e *pb.Entry) { e.InstanceUuid = long[:65] })},
		{"group is", entry(func(e *pb.Entry) { e.Group = "ü" })},
		{"zone is", entry(func(e *pb.Entry) { e.Zone = "\x00" })},
		{"weight is 1001", entry(func(e *pb.Entry) { e.Weight = 1001 })},
		{"app_version is \"\\n\"", entry(func(e *pb.Entry) { e.AppVersion = "\n" })},
		{"app_version is \"xxxx", entry(func(e *pb.Entry) { e.AppVersion = long })},
		{"stamp.n is 0", entry(func(e *pb.Entry) { e.Stamp.N = 0 })},
		{"stamp.n is 9223372036854775808", entry(func(e *pb.Entry) { e.Stamp.N = 1 << 63 })},
		{"stamp.node has 0 bytes", entry(func(e *pb.Entry) { e.Stamp = nil })},
		{"contract 0000000000000000 is not", entry(func(e *pb.Entry) { e.ContractHash = 0 })},
		{"is not in the same message", snapshot(func(s *pb.Snapshot) { s.Contracts = nil })},
		{"contract 0000000000000007 has the hash", snapshot(func(s *pb.Snapshot) { s.Contracts[0].Hash = 7 })},
		{"has the hash", snapshot(func(s *pb.Snapshot) { s.Contracts[0].Methods[0].Idempotent = false })},
		{"method is \"_x\"", snapshot(func(s *pb.Snapshot) { s.Contracts[0].Methods[0].Name = "_x" })},
		{"visibility of method \"Charge\" is 9", snapshot(func(s *pb.Snapshot) { s.Contracts[0].Methods[0].Visibility = 9 })},
		{"stands twice", snapshot(func(s *pb.Snapshot) {
			c := s.GetContracts()[0]
			c.Methods = append(c.GetMethods(), c.GetMethods()[0])
		})},
		{"0000000000000009 stands twice in a part", snapshot(func(s *pb.Snapshot) { s.Entries = append(s.GetEntries(), s.GetEntries()[0]) })},
		{"257 entries", snapshot(func(s *pb.Snapshot) { s.Entries = make([]*pb.Entry, 257) })},
		{"257 contracts", snapshot(func(s *pb.Snapshot) { s.Contracts = make([]*pb.Contract, 257) })},
		{"count is 1048577", snapshot(func(s *pb.Snapshot) { s.Count = maxEntries + 1 })},
		{"digest has 15 bytes", snapshot(func(s *pb.Snapshot) { s.Digest = s.GetDigest()[:15] })},
		{"digest has 0 bytes", snapshot(func(s *pb.Snapshot) { s.Digest = nil })},
		{"incarnation is 0", snapshot(func(s *pb.Snapshot) { s.Incarnation = 0 })},
		{"incarnation is 9223372036854775808", delta(func(d *pb.Delta) { d.Incarnation = 1 << 63 })},
		{"from version 2 to 2", delta(func(d *pb.Delta) { d.FromVersion = 2 })},
		{"removes 4097 entries", delta(func(d *pb.Delta) { d.Del = make([]uint64, 4097) })},
		{"0000000000000001 stands twice", delta(func(d *pb.Delta) { d.Del = []uint64{1, 1} })},
		{"0000000000000005 stands twice in a part", delta(func(d *pb.Delta) {
			e := toEntry(login(5), 0)
			d.Put, d.Del, d.Contracts, d.Count = []*pb.Entry{e}, []uint64{5}, []*pb.Contract{toContract(charging)}, 1
		})},
		{"digest has 17 bytes", delta(func(d *pb.Delta) { d.Digest = make([]byte, 17) })},
		{"sequence is 0", beat(func(h *pb.Heartbeat) { h.Sequence = 0 })},
		{"heard_sequence is 2", beat(func(h *pb.Heartbeat) { h.HeardSequence = 2 })},
		{"reaches has 513", beat(func(h *pb.Heartbeat) { h.Reaches = make([]uint32, 513) })},
		{"rules_hash 65 bytes", beat(func(h *pb.Heartbeat) { h.RulesHash = make([]byte, 65) })},
		{"digest has 17 bytes", beat(func(h *pb.Heartbeat) { h.Digest = make([]byte, 17) })},
		{"incarnation is 0", beat(func(h *pb.Heartbeat) { h.Incarnation = 0 })},
	} {
		p := newPair(t)
		p.a.own.Apply([]router.Change{put(p.login(1))})
		p.talk()
		before, mark := maps.Clone(p.b.view.entries), p.b.view.Mark()
		kind := wire.KindHeartbeat
		switch c.m.(type) {
		case *pb.Snapshot:
			kind = wire.KindSnapshot
		case *pb.Delta:
			kind = wire.KindDelta
		}
		result, err := p.b.x.Take(kind, encoded(t, c.m), p.now)
		var refusal *wire.Error
		if !errors.As(err, &refusal) || refusal.Code != wire.BadRequest || !strings.HasPrefix(refusal.Reason, kind.String()+" of node a: ") {
			t.Errorf("%q: %v", c.want, err)
			continue
		}
		if !strings.Contains(refusal.Reason, c.want) {
			t.Errorf("the reason is %q, must say %q", refusal.Reason, c.want)
		}
		if len(result.Changes) > 0 || p.b.view.Mark() != mark || !maps.Equal(p.b.view.entries, before) || p.b.view.Check() != nil {
			t.Errorf("%q: the view has changed", c.want)
		}
		p.a.own.Apply([]router.Change{put(p.login(2))})
		p.pass(3 * time.Second)
		p.wantSame()
	}
}

func TestGarbageIsABreach(t *testing.T) {
	p := newPair(t)
	for kind, header := range map[wire.Kind]string{
		wire.KindSnapshot: "\x08", wire.KindDelta: "\xff", wire.KindHeartbeat: "\x1a\x05", wire.KindResync: "\x0b",
		wire.KindHello: "", wire.KindGoodbye: "", wire.Kind(200): "",
	} {
		var refusal *wire.Error
		if _, err := p.b.x.Take(kind, []byte(header), p.now); !errors.As(err, &refusal) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := p.b.x.Take(wire.KindResync, make([]byte, 1<<16+1), p.now); err == nil {
		t.Error("a message longer than any header is taken")
	}
	if got := p.b.x.Silence(p.now + time.Second); got != time.Second {
		t.Errorf("silent for %v", got)
	}
}

// TestAMessageCostsNoMoreThanItsSize: a full header of the cheapest entries, contracts, methods or keys takes some megabytes
// at most, and is refused.
func TestAMessageCostsNoMoreThanItsSize(t *testing.T) {
	nested := func(outer, inner protowire.Number) []byte {
		var in, out []byte
		for len(in) < 60<<10 {
			in = protowire.AppendBytes(protowire.AppendTag(in, inner, protowire.BytesType), nil)
		}
		return protowire.AppendBytes(protowire.AppendTag(out, outer, protowire.BytesType), in)
	}
	var entries, contracts, dels []byte
	for len(entries) < 60<<10 {
		entries = protowire.AppendBytes(protowire.AppendTag(entries, 7, protowire.BytesType), nil)
		contracts = protowire.AppendBytes(protowire.AppendTag(contracts, 8, protowire.BytesType), nil)
	}
	dels = protowire.AppendBytes(protowire.AppendTag(dels, 5, protowire.BytesType), make([]byte, 60<<10))
	for name, c := range map[string]struct {
		kind   wire.Kind
		header []byte
	}{
		"entries": {wire.KindSnapshot, entries}, "contracts": {wire.KindSnapshot, contracts}, "methods": {wire.KindSnapshot, nested(8, 2)},
		"stamps": {wire.KindSnapshot, nested(7, 9)}, "dels": {wire.KindDelta, dels}, "reaches": {wire.KindHeartbeat, nested(10, 1)},
	} {
		p := newPair(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := p.b.x.Take(c.kind, c.header, p.now)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 16<<20 {
			t.Errorf("%s: %d bytes cost %d", name, len(c.header), cost)
		}
	}
}
