// Package inbound is what the frames of a peer may do: call a session of this node, or ask the node itself.
//
// # Two hops, by construction
//
// An Inbound has a router.Local, which knows the sessions of this node and no link, and the connection that the frames
// came from, for answers. It has no other way out: whatever a peer's tables say, its call ends at a session here, or goes
// back. tests/arch_test.go keeps the package from naming a router.Router, or anything else that could do more.
//
// # State
//
// A request is in flight from its frame until Answer, by the call_id that the peer gave it. The node that took the call in
// keeps its time: nothing is timed here, its CANCEL ends a call early.
//
// # The module _node
//
// Requests to the module _node are answered by this node (Options.Methods), each in a goroutine of its own, at most
// maxAsked of a link at once; they are operators' questions and the nodes' own, not calls of modules.
//
// # Failure
//
// A request that breaks the protocol is an error, and ends the link. A call whose session is not here is STALE_ROUTE. When
// the link ends, what it asked for is cancelled, because nobody waits for it.
package inbound
