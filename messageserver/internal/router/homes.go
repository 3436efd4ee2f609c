package router

import (
	"maps"
	"sync/atomic"
)

// homeShards is in how many maps the sessions of a node are: a login copies one of them, and must not cost more the more
// there are.
const homeShards = 512

// homes are the sessions of this node that others may call, by number. find may be called concurrently with edit, edits one
// after the other.
type homes struct {
	shards [homeShards]atomic.Pointer[map[uint64]*home] // immutable maps; nil is empty
}

// shard spreads numbers that count up in any of their bits.
func (h *homes) shard(session uint64) *atomic.Pointer[map[uint64]*home] {
	return &h.shards[session*0x9e3779b97f4a7c15>>(64-9)]
}

// find returns a session, or nil.
func (h *homes) find(session uint64) *home {
	if m := h.shard(session).Load(); m != nil {
		return (*m)[session]
	}
	return nil
}

// edit replaces sessions; those that are nil are gone.
func (h *homes) edit(changes map[uint64]*home) {
	fresh := make(map[*atomic.Pointer[map[uint64]*home]]map[uint64]*home, 1)
	for session, now := range changes {
		shard := h.shard(session)
		m := fresh[shard]
		if m == nil {
			m = make(map[uint64]*home)
			if old := shard.Load(); old != nil {
				maps.Copy(m, *old)
			}
			fresh[shard] = m
		}
		if now == nil {
			delete(m, session)
		} else {
			m[session] = now
		}
	}
	for shard, m := range fresh {
		shard.Store(&m)
	}
}

// all returns every session, in a map of its own.
func (h *homes) all() map[uint64]*home {
	all := make(map[uint64]*home)
	for i := range h.shards {
		if m := h.shards[i].Load(); m != nil {
			maps.Copy(all, *m)
		}
	}
	return all
}
