package registry

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twohop/twohop/messageserver/internal/router"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Field numbers of pb.Entry and of the Stamp in it. 12, age_ms, is not part of the canonical encoding: it changes by itself.
const (
	fieldSession      = 1
	fieldModule       = 2
	fieldInstance     = 3
	fieldInstanceUUID = 4
	fieldGroup        = 5
	fieldWeight       = 6
	fieldZone         = 7
	fieldAppVersion   = 8
	fieldStamp        = 9
	fieldContractHash = 10
	fieldDraining     = 11

	fieldStampN    = 1
	fieldStampNode = 2
)

// noMethods is the contract of who registered none.
var noMethods = router.NewMethods(nil)

// methodsOf is never nil.
func methodsOf(r *router.Registration) *router.Methods {
	if r.Methods == nil {
		return noMethods
	}
	return r.Methods
}

// appendEntry appends the canonical encoding of an entry: what its hash is computed over.
func appendEntry(dst []byte, r *router.Registration) []byte {
	dst = appendFixed(dst, fieldSession, r.Session)
	dst = appendString(dst, fieldModule, r.Module)
	dst = appendString(dst, fieldInstance, r.Instance)
	dst = appendString(dst, fieldInstanceUUID, r.UUID)
	dst = appendString(dst, fieldGroup, r.Group)
	dst = appendVarint(dst, fieldWeight, uint64(r.Weight))
	dst = appendString(dst, fieldZone, r.Zone)
	dst = appendString(dst, fieldAppVersion, r.AppVersion)
	var stamp [24 + wire.MaxName]byte
	s := appendVarint(stamp[:0], fieldStampN, r.Stamp.N)
	s = appendString(s, fieldStampNode, r.Stamp.Node)
	dst = protowire.AppendTag(dst, fieldStamp, protowire.BytesType)
	dst = protowire.AppendBytes(dst, s)
	dst = appendFixed(dst, fieldContractHash, methodsOf(r).Hash)
	return appendVarint(dst, fieldDraining, protowire.EncodeBool(r.Draining))
}

func appendFixed(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), v)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), s)
}

// hasher computes what entries add to a digest. It lends its buffer to one after another.
type hasher struct{ buffer []byte }

func (h *hasher) hash(r *router.Registration) Digest {
	h.buffer = appendEntry(h.buffer[:0], r)
	return hashOf(h.buffer)
}

// same reports whether two registrations are one entry: all but the age, and what is said on this node only.
func same(a, b *router.Registration) bool {
	return a.Session == b.Session && a.Module == b.Module && a.Instance == b.Instance && a.UUID == b.UUID &&
		a.Group == b.Group && a.Weight == b.Weight && a.Zone == b.Zone && a.AppVersion == b.AppVersion &&
		a.Stamp == b.Stamp && a.Draining == b.Draining && methodsOf(a) == methodsOf(b)
}

// toEntry is what a node says of a session at now.
func toEntry(r *router.Registration, now time.Duration) *pb.Entry {
	return &pb.Entry{
		Session: r.Session, Module: r.Module, Instance: r.Instance, InstanceUuid: r.UUID, Group: r.Group, Weight: r.Weight,
		Zone: r.Zone, AppVersion: r.AppVersion, Stamp: &pb.Stamp{N: r.Stamp.N, Node: r.Stamp.Node},
		ContractHash: methodsOf(r).Hash, Draining: r.Draining,
		AgeMs: uint32(min(max((now-r.Since).Milliseconds(), 0), math.MaxUint32)),
	}
}

// toContract is a set of methods in the order of their names.
func toContract(m *router.Methods) *pb.Contract {
	c := &pb.Contract{Hash: m.Hash, Methods: make([]*pb.Method, 0, len(m.ByName))}
	for _, name := range slices.Sorted(maps.Keys(m.ByName)) {
		k := m.ByName[name]
		c.Methods = append(c.Methods, &pb.Method{
			Name: name, Idempotent: k.Idempotent, Reachable: k.Reachable, RunLate: k.RunLate, DefaultTimeoutMs: k.DefaultTimeoutMS,
			Visibility: pb.Visibility(pb.Visibility_value["VISIBILITY_"+strings.ToUpper(k.Visibility)]),
		})
	}
	return c
}

// readContract takes a set of methods, whose hash must be that of its content.
func readContract(c *pb.Contract) (*router.Methods, error) {
	if err := wire.CheckMethods(c.GetMethods()); err != nil {
		return nil, breach("contract %016x: %s", c.GetHash(), reason(err))
	}
	byName := make(map[string]router.Contract, len(c.GetMethods()))
	for _, m := range c.GetMethods() {
		byName[m.GetName()] = router.Contract{
			Idempotent: m.GetIdempotent(), Reachable: m.GetReachable(), RunLate: m.GetRunLate(), DefaultTimeoutMS: m.GetDefaultTimeoutMs(),
			Visibility: strings.ToLower(strings.TrimPrefix(m.GetVisibility().String(), "VISIBILITY_")),
		}
	}
	methods := router.NewMethods(byName)
	if methods.Hash != c.GetHash() {
		return nil, breach("contract %016x has the hash %016x", c.GetHash(), methods.Hash)
	}
	return methods, nil
}
