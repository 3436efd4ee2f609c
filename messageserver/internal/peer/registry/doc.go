// Package registry is how nodes know who is logged in at the others: pure replication, over frames that somebody else
// carries and with a time that somebody else reads.
//
// # What it guarantees
//
//   - P1 One writer. A node speaks for its own sessions only, over its own authenticated link; nothing is relayed, so there
//     are no rumours and nothing that was removed comes back.
//   - P2 No way back. What a node holds of another is ordered by (incarnation, version), and that only rises.
//   - P3 Exact. It is what the owner had at that version, never a mixture of two.
//   - P4 It converges: a change is one frame away; what was lost is missed within two heartbeats and asked for; after a
//     split the first heartbeat says what is missing.
//   - P5 Both ways. A link counts as up while its registry is in, the other side is heard, and it confirms what it hears.
//   - P6, P7 No ghosts, no lost logins: both follow from P3 and P4.
//   - P8 A stale route is harmless, and repairs the view (Doubt).
//   - P9 Duplicates resolve alike everywhere: every node holds the same stamps; the router chooses the greatest.
//   - P10 Two hops: an entry's owner is the node that said it.
//   - P11 Bounded cost: one heartbeat per link, direction and second when idle; a change costs itself; who is far behind gets
//     a snapshot; a queue holds no more than the link has room for, because the link asks for each frame.
//   - P12 A restarted owner's old sessions are gone with its first word (Meet).
//
// Not promised: that all nodes agree at one moment. Two may choose different instances for as long as a change travels.
//
// # State
//
//	Own                              Exchange, one per link                      View, one per other node
//	entries, digest         ┌─────────────────────────────────────┐              entries, digest
//	(incarnation, version) ─┤ cursor: what the other side has     │              (incarnation, version)
//	ring of changed keys    │ transfer: parts under way, outwards │                        ▲
//	                        │ assembly: parts under way, inwards ─┼── whole and checked ───┘
//	                        │ pulse: who heard whom, and when     │
//	                        └─────────────────────────────────────┘
//
// Version 0 of every incarnation is the empty registry. A version is one batch of changes of the owner. The digest is the sum,
// modulo 2¹²⁸, of the first 16 bytes of the SHA-256 of every entry, encoded as protobuf would with the fields in the order of
// their numbers, zero values left out, and without age_ms: it does not depend on the order, and a change adds and subtracts.
//
// # Messages
//
//	HELLO      incarnation; what I hold of you: (incarnation, version, digest)
//	SNAPSHOT   a part of all entries at (incarnation, version); last: verify count and digest, swap
//	DELTA      a part of what changed in (from, to]: the entries as they are at to, and the keys that are gone
//	HEARTBEAT  (incarnation, version, digest, count), my sequence, the last of yours that I heard and how long ago
//	RESYNC     I hold (incarnation, version): go on from there; (0, 0): from the beginning
//
// Parts have at most 256 entries and, but for one entry that is larger, 48 KiB; each brings every contract that its
// entries name. A registry has at most 2²⁰ entries. All parts of one transfer are of one version, whatever the owner does meanwhile. A message always fits the
// header of a frame.
//
// # Rules
//
// Who sends: a cursor per link stands where the other side is when all that was sent has arrived. While it is behind, a
// delta of the keys in the ring goes out; a snapshot, where the cursor is of another incarnation, or the ring does not reach
// back, or the delta had more entries than there are. A RESYNC puts the cursor back, every 200 ms at most.
//
// Who receives: parts are built aside, and take effect with the last one.
//
//	of a lower incarnation, or up to a version not above mine    dropped
//	SNAPSHOT, first part                                         begins anew, what was built is thrown away
//	DELTA of a higher incarnation, or not from my version        a gap: RESYNC
//	a part that was there already                                dropped
//	any other part that is not the next one                      thrown away with what was built: RESYNC
//	count or digest of the whole differ                          thrown away, counted: RESYNC (0, 0)
//	HEARTBEAT at my version with another digest or count         counted: RESYNC (0, 0), unless a snapshot is coming
//	HEARTBEAT; what the one before announced has not come        a gap: RESYNC, unless parts are coming
//
// A RESYNC is sent at most every 200 ms or round trip. A snapshot leads to the changes between what was held and what it
// says: an entry that did not change is not touched.
//
// # Failure
//
// A message that cannot be true (a name that is none, a session twice, a contract that does not have its hash, more than the
// bounds) is a breach of the protocol: Take returns it as a *wire.Error, the view is unchanged, and the link is to be closed.
// A digest that differs is no breach, but nothing that happens: it is repaired, and counted for somebody to be told. What
// this node itself could not say without a breach it leaves out of its registry, and counts (Own.Unfit).
//
// Nothing here is safe for concurrent use: one mutex guards an Own and all that refer to it.
package registry
