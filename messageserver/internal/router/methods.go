package router

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"runtime"
	"slices"
	"sync"
	"weak"

	"google.golang.org/protobuf/encoding/protowire"
)

// Contract is what a module promises of a method.
type Contract struct {
	Idempotent       bool   `json:"idempotent"`
	Reachable        bool   `json:"reachable"`
	RunLate          bool   `json:"run_late"`
	Visibility       string `json:"visibility"` // internal, external, admin
	DefaultTimeoutMS uint32 `json:"default_timeout_ms"`
}

// visibilities by their number in pb.Visibility.
var visibilities = [...]string{"internal", "external", "admin"}

// Methods is a set of methods with their contracts, immutable. Equal sets are one value for as long as anybody holds it, so
// comparing pointers compares sets.
type Methods struct {
	// ByName is the contract of each method. Nobody changes it.
	ByName map[string]Contract
	// Hash names the set between nodes: the first 8 bytes, big-endian, of the SHA-256 of its encoding, which is that of
	// pb.Methods with the methods in the order of their names (bytewise), fields in the order of their numbers, and zero
	// values left out.
	Hash uint64
}

// interned holds the sets that are in use, by the SHA-256 of their encoding.
var interned = struct {
	// Guarded by mu.
	mu   sync.Mutex
	sets map[[sha256.Size]byte]weak.Pointer[Methods]
}{sets: make(map[[sha256.Size]byte]weak.Pointer[Methods])}

// NewMethods returns the value of a set, which is copied if it is a new one. A visibility that is none, such as "", is
// internal.
func NewMethods(byName map[string]Contract) *Methods {
	sum := sha256.Sum256(encodeMethods(byName))
	interned.mu.Lock()
	defer interned.mu.Unlock()
	if m := interned.sets[sum].Value(); m != nil {
		return m
	}
	m := &Methods{ByName: make(map[string]Contract, len(byName)), Hash: binary.BigEndian.Uint64(sum[:])}
	for name, c := range byName {
		c.Visibility = visibilities[c.visibility()]
		m.ByName[name] = c
	}
	interned.sets[sum] = weak.Make(m)
	runtime.AddCleanup(m, forgetMethods, sum)
	return m
}

// forgetMethods removes a set that nobody holds any more, unless it has come back.
func forgetMethods(sum [sha256.Size]byte) {
	interned.mu.Lock()
	defer interned.mu.Unlock()
	if interned.sets[sum].Value() == nil {
		delete(interned.sets, sum)
	}
}

// Field numbers of pb.Methods and pb.Method.
const (
	fieldMethods = 1

	fieldName             = 1
	fieldIdempotent       = 2
	fieldReachable        = 3
	fieldVisibility       = 4
	fieldDefaultTimeoutMS = 5
	fieldRunLate          = 6
)

// encodeMethods returns what is hashed. It is written by hand: a protobuf library promises no order of bytes.
func encodeMethods(byName map[string]Contract) []byte {
	var all, one []byte
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		c := byName[name]
		one = one[:0]
		if name != "" {
			one = protowire.AppendTag(one, fieldName, protowire.BytesType)
			one = protowire.AppendString(one, name)
		}
		one = appendVarint(one, fieldIdempotent, protowire.EncodeBool(c.Idempotent))
		one = appendVarint(one, fieldReachable, protowire.EncodeBool(c.Reachable))
		one = appendVarint(one, fieldVisibility, uint64(c.visibility()))
		one = appendVarint(one, fieldDefaultTimeoutMS, uint64(c.DefaultTimeoutMS))
		one = appendVarint(one, fieldRunLate, protowire.EncodeBool(c.RunLate))
		all = protowire.AppendTag(all, fieldMethods, protowire.BytesType)
		all = protowire.AppendBytes(all, one)
	}
	return all
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

// visibility returns the number of a contract's visibility.
func (c Contract) visibility() int { return max(slices.Index(visibilities[:], c.Visibility), 0) }

// opens are the visibilities in the order of how little they open.
var opens = [...]string{"external", "internal", "admin"}

// merge returns what both contracts promise.
func (c Contract) merge(d Contract) Contract {
	c.Idempotent = c.Idempotent && d.Idempotent
	c.Reachable = c.Reachable && d.Reachable
	c.RunLate = c.RunLate && d.RunLate
	if slices.Index(opens[:], d.Visibility) > slices.Index(opens[:], c.Visibility) {
		c.Visibility = d.Visibility
	}
	c.DefaultTimeoutMS = max(c.DefaultTimeoutMS, d.DefaultTimeoutMS)
	return c
}

// noMethods is the empty set.
var noMethods = NewMethods(nil)
