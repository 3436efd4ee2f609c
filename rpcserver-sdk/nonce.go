package rpcserver

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/twohop/twohop/proto/wire"
)

// nonces remembers the digests that were taken until their window is over, as hashes of 64 bits with a seed of this process:
// that two of a million agree, and a call is refused that did not come before, happens once in 10¹³ calls. It holds maxNonces:
// some 32 MiB, and 8,700 calls with a password per second where clocks agree. Beyond that no more are taken, rather than a digest
// twice.
//
// It goes by the process's own clock. A wall clock that is set back by more than the window brings digests back into it that
// are forgotten.
type nonces struct {
	// Static after construction.
	seed  maphash.Seed
	limit int

	// Guarded by mu.
	mu      sync.Mutex
	known   map[uint64]struct{}
	ending  [nonceSlots][]uint64 // by the second in which they are forgotten
	through int64                // seconds that are over, and forgotten
}

const (
	maxNonces = 1 << 20
	// nonceSlots is more than the seconds that a digest may have left: twice the window.
	nonceSlots = 256
)

// nonceState says what is known of a nonce.
type nonceState uint8

const (
	nonceFresh nonceState = iota // it is remembered from now on
	nonceSeen
	nonceFull
)

func newNonces() *nonces {
	return &nonces{seed: maphash.MakeSeed(), limit: maxNonces, known: map[uint64]struct{}{}}
}

// take remembers (key_id, nonce) for as long as the digest may be taken, at most twice the window.
func (n *nonces) take(d *wire.Digest, now, remaining time.Duration) nonceState {
	var room [4 + wire.MaxDigestBytes]byte
	text := append(binary.BigEndian.AppendUint32(room[:0], d.KeyID), d.Nonce...)
	hash := maphash.Bytes(n.seed, text)
	until := int64((now + remaining) / time.Second)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetLocked(int64(now / time.Second))
	if _, seen := n.known[hash]; seen {
		return nonceSeen
	}
	if len(n.known) >= n.limit {
		return nonceFull
	}
	n.known[hash] = struct{}{}
	slot := &n.ending[until%nonceSlots]
	*slot = append(*slot, hash)
	return nonceFresh
}

// forgetLocked forgets what ended in the seconds before now. The bound is for clocks that jump: older slots are the same again.
func (n *nonces) forgetLocked(now int64) {
	for n.through = max(n.through, now-nonceSlots); n.through < now; n.through++ {
		slot := &n.ending[n.through%nonceSlots]
		for _, hash := range *slot {
			delete(n.known, hash)
		}
		*slot = nil
	}
}
