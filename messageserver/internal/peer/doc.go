// Package peer is the other nodes: who they are, the link to each of them, what this node tells them of its sessions and
// hears of theirs, and the calls that cross.
//
// # Members and links
//
// The list of members is given, and may change while the node runs (SetMembers). Between two members there is one link,
// and the one whose name is smaller dials it. A member stands where its link stands:
//
//	            dial, or accept            WELCOME, HELLO              its registry is in
//	waiting ──────────────► connecting ──────────────► syncing ──────────────────► up
//	   ▲                        │ REFUSE                   │                        │
//	   ├──────── refused ◄──────┘                          │ silent, one-way,       │ GOODBYE
//	   └──────────────────────── down ◄────────────────────┴─ lost, superseded ◄────┴──────────► leaving
//
// waiting is the time before the next dial, with jitter; a member that is to dial us is down until it does, or refused if we
// did not let it in.
//
// A link that one side has said GOODBYE on is not the member's any more. It leaves: calls under way go on for 30 s, no new ones
// take it, and nothing of the registry is said or heard on it. Meanwhile the next link may come, beside it: a node that was
// removed and is a member again has one within the time between two dials.
//
// A changed address is dialled when there is no link; a link that works is kept. Another number is another node. A node that is
// not in its own list is alone.
//
// # Handshake
//
//	dialler                              acceptor
//	HELLO  ───────────────────────────►
//	       ◄───────────────────────────  CHALLENGE    where the mesh has a secret
//	PROOF  ───────────────────────────►
//	       ◄───────────────────────────  WELCOME, HELLO
//
// Both sides prove that they know the secret before either says more than its name. Then each looks at who the other is: a
// member, with the number that the list gives it, that may dial, and that did not restart with an older incarnation. A
// process that brings the name of one whose link still answers is a clone, and refused; one whose link does not answer within
// 1.25 s has restarted, and takes the old link's place. So does another connection of the same process.
//
// # Registry
//
// The package registry has the conversation; this one gives it frames and time. The router says which of its sessions
// have changed, every 10 ms at most they become a version of registry.Own, and each link asks its Exchange for frames while
// its control lane has room. What another node says goes to the router with Announce. Its routes can be chosen between
// Connect and Disconnect, which is while the link is up in both directions.
//
// # Calls
//
// A link is a router.Target: a call that leaves here takes it to the node that has the session. What comes from a link is
// handled by the package inbound, which has a router.Local and no way to a link but to answer: that is why a call crosses
// two nodes and never three. Calls of the module _node, by which nodes ask each other, travel like all others; Ask makes one,
// and Options.Methods answer them.
//
// # Who does what
//
// Each connection has its reader (frameconn): it takes what comes, and at the end takes the link apart. One goroutine, keep,
// sends everything of the registry, for all links, so that frames stay in order; it sees silence and closes. Each member that
// is to be dialled has a goroutine, too.
//
// Two locks: mu guards everything here, and routing is held by who tells the router something of a member, together with the
// change here that it follows from. So the router hears of a member in the order in which it happens, whichever goroutine says
// it. routing is taken first; the router is never called under mu, and nothing is written to a connection or a log under either.
//
// # Failure
//
// A link is dead after 3.5 s in which nothing was heard, or in which a heartbeat was on its way and the other side confirmed no
// further one: where heartbeats come late one after the other the link is slow, and not dead. It is longer while this process,
// or by its word the other, runs late. A dead or broken link is closed: calls that had left end CONNECTION_LOST, those that had
// not are unsent and rerouted, and the member's entries are kept until it is back. Redials
// begin at once and go up to every 5 s. What breaks the protocol closes the link that it came on and changes nothing. What an
// operator must hear (link down, one-way, slow; node dead, cloned; lists or registries that differ) is a Trouble while it
// lasts, and one line in the log when it begins and when it ends; since when says the last sign of life, not when it was
// noticed. Who is refused and tries again and again is one line, too.
package peer
