package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Mark is a state of an owner's registry. Its states are ordered by incarnation, then by version; version 0 of every
// incarnation is the empty registry.
type Mark struct {
	Incarnation, Version uint64
}

// before reports whether m is an earlier state than n.
func (m Mark) before(n Mark) bool {
	return m.Incarnation < n.Incarnation || m.Incarnation == n.Incarnation && m.Version < n.Version
}

// String is incarnation.version.
func (m Mark) String() string { return fmt.Sprintf("%d.%d", m.Incarnation, m.Version) }

// Known is what a node holds of another: the known_ fields of HELLO. The zero value is nothing.
type Known struct {
	Mark   Mark
	Digest Digest
}

// Digest is the sum of the hashes of all entries, modulo 2¹²⁸, big-endian: it does not depend on their order. That of no entry
// is zero.
type Digest [16]byte

func (d Digest) plus(e Digest) Digest {
	low, carry := bits.Add64(binary.BigEndian.Uint64(d[8:]), binary.BigEndian.Uint64(e[8:]), 0)
	high, _ := bits.Add64(binary.BigEndian.Uint64(d[:8]), binary.BigEndian.Uint64(e[:8]), carry)
	return digestOf(high, low)
}

func (d Digest) minus(e Digest) Digest {
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(d[8:]), binary.BigEndian.Uint64(e[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(d[:8]), binary.BigEndian.Uint64(e[:8]), borrow)
	return digestOf(high, low)
}

func digestOf(high, low uint64) (d Digest) {
	binary.BigEndian.PutUint64(d[:8], high)
	binary.BigEndian.PutUint64(d[8:], low)
	return d
}

// hashOf is what an entry adds to the digest.
func hashOf(encoded []byte) Digest {
	sum := sha256.Sum256(encoded)
	return Digest(sum[:16])
}

// readDigest takes what a message says.
func readDigest(b []byte) (Digest, error) {
	if len(b) != len(Digest{}) {
		return Digest{}, breach("digest has %d bytes, must have %d", len(b), len(Digest{}))
	}
	return Digest(b), nil
}

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }
