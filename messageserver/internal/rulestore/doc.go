// Package rulestore is where rules come from and how they change.
//
//	operator ─ Apply, Switch, Rollback ─┐                      ┌─► Store (bolt | redis | remote: the keeper's) ─► other nodes
//	file of rules, on the keeper ───────┴─► parse, check, diff,┤
//	                                        audit, Put         └─► in force here: Regime, Restrictions
//	another node tells: Adopt ─────────────────────────────────►
//	the store has something newer: Load ───────────────────────►
//
// # State
//
// A version of the document is an Entry, and its Mark (epoch, version) orders it among all: the next version is (epoch, version + 1). The
// first one of an empty store, at a node that has none in force, begins an epoch: (seconds since 2026 began, 1). Servers and nodes that
// stay connected ignore what is older than they have, and a store that begins anew, as Memory at each start, must not make marks that
// they know. A second is short enough for that, and eight digits can be read and typed; Unix time has ten, and minutes would come
// twice. It is the wall clock of the node that writes, once for each store. One that was set back makes an epoch that is ignored until
// a store begins again with a greater one; two stores that begin in one second have the same.
//
// A Store has the newest and the history; it takes a new one only from who knows the newest (compare-and-set), so that of two
// operators at once one is told what the other has done. Three stores pass one suite: Bolt is a file of the keeper, Remote is the
// keeper's store seen from other nodes, Redis is for all; Memory is for a node that keeps nothing.
//
// What is in force at a node is one immutable value behind a pointer: entry, document, compiled set. It only moves forward, to a
// greater mark, whether the store, another node or a change brings it. The generation rises with each swap, and when a rule ends: then
// the same document is compiled anew. A change is in force here when Apply returns. Redis publishes it, the keeper's nodes are told
// (Remote.Notify), heartbeats carry the mark between nodes (Adopt), and every node looks at the store every 2 s, whatever else fails.
//
// # The file
//
// A document that operators keep elsewhere, as in git, is a second way to change rules, and not the truth: it is put in force when
// its content changes. What an operator applies later, as a switch in an emergency, stays until the file changes again, also over
// restarts: the newest entry in the history whose author is "file:…" says which content was put in force last, and the history is asked
// each time a content is taken. Nodes that share a store may each watch a copy: whose copy comes first puts it in force, once for all.
//
// A content that the file had before, and that is not the last one, is put in force only by a node that has seen the last one in its own
// copy: there somebody has gone back. Any other copy, and so each one that a node looks at first, is behind; it changes nothing, and the
// log says so. Who goes back while no node runs changes the file a little, or applies it. In a mesh a file begins an empty store only
// some seconds after its node has started (FileWaits), because other nodes may have rules that the store has lost.
//
// A content counts when it has not changed for 200 ms. One that is empty, half written in a way that shows, or invalid changes
// nothing and is a trouble; half a document that happens to be one is taken, therefore files are best renamed into their place.
//
// # Failure
//
// Whatever fails, the last rules stay in force, and Troubles says what it is. The store is away: nothing can be changed, and a change
// says so. It came back older, empty, or after a failover that lost writes: the newest that any node holds is written forward, so a store
// is not emptied by deleting it. A write without an answer is ErrUnknown if asking again does not tell; who repeats a
// change with From set changes nothing twice. A node that starts takes its cache before it asks anybody, so it enforces its last rules
// before it can be reached. Two documents of one mark, after a failover of a store that had acknowledged too early: each node keeps
// its own, says so, and the next change ends it.
//
// The record of a change cannot be written: the change is not made. One that was recorded and then not made has a second record, with a
// Result. Changes through one node are made one after another; one that conflicts with another node's, and is tried again, has records
// of each try. A second record that cannot be written undoes nothing, and is a trouble.
//
// What the store forgets (the oldest of 1,000 versions) is gone; a file whose last entry is that old is put in force once more.
// Entries hold the secrets of rules: files of this package have mode 0600, and no error, log line, diff or record shows a text.
package rulestore
