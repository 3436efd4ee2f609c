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
// A version of the document is an Entry, and its Mark (epoch, version) orders it among all: the next version is (epoch, version + 1),
// the first one (1, 1). A Store has the newest and the history; it takes a new one only from who knows the newest (compare-and-set), so
// that of two operators at once one is told what the other has done. Three stores pass one suite: Bolt is a file of the keeper, Remote
// is the keeper's store seen from other nodes, Redis is for all; Memory is for a node that keeps nothing.
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
// restarts: the newest entry in the history whose author is "file:…" says which content was put in force last. A content counts when
// it has not changed for 200 ms. One that is empty, half written in a way that shows, or invalid changes nothing and is a
// trouble; half a document that happens to be one is taken, therefore files are best renamed into their place.
//
// # Failure
//
// Whatever fails, the last rules stay in force, and Troubles says what it is. The store is away: nothing can be changed, and a change
// says so. It came back older, empty, or after a failover that lost writes: the newest that any node holds is written forward, so a store
// is not emptied by deleting it. A write without an answer is ErrUnknown if asking again does not tell; who repeats a
// change with From set changes nothing twice. A node that starts takes its cache before it asks anybody, so it enforces its last rules
// before it can be reached. The record of a change cannot be written: it is not made. Two documents of one mark, after a failover of a
// store that had acknowledged too early: each node keeps its own, says so, and the next change ends it.
//
// What the store forgets (the oldest of 1,000 versions) is gone; a file whose last entry is that old is put in force once more.
// Entries hold the secrets of rules: files of this package have mode 0600, and no error, log line, diff or record shows a text.
package rulestore
