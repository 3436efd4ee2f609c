// Package router is a call's life in a node: it finds an instance for it, hears how the attempt ended, tries again where
// that is true to the promise, and answers once.
//
// # One owner per call
//
// An Origin (a session) fills a Call and hands it over with Submit. From then on the Call belongs to whoever holds its
// turn: the goroutine that routes it, or nobody while an attempt is under way. Everything that may end an attempt (answer,
// refusal, lost link, deadline, cancel) brings the Ticket of that attempt; the first takes the turn, the others are
// counted as stale and dropped. Who took it reroutes, retries, or settles: Origin.Answer is called exactly once.
//
//	          Submit                 Target.Send
//	idle ───────────► routing ─────────────────► under way ──deadline, cancel──► interrupted
//	  ▲                 │  ▲  ▲                    │                             │
//	  │               settle│  └── retry ◄─ waiting │  End, the first one         │ End, or 150 ms
//	  └─────────────────┘  └───────────────────────┴─────────────────────────────┘
//
// Two kinds of calls have one attempt only, and settle with its end: those in transit, which come over a link for a session
// of this node (Local), and questions, which this node itself asks the node at the other end of a link (Ask).
//
// # Target, slots, wheel
//
// A Target is a way to an instance: a session, or the link to the node that has it. It keeps Slots: the call_id that goes
// out is generation‖slot, so an answer finds its Ticket by index and a late one finds nothing. One Wheel per node serves
// deadlines and back-off with 1 ms buckets; no call has a runtime timer.
//
// # Claims, names, instances, paths
//
// Every server session of the mesh is a claim to a name, (module, instance), by a process (a uuid), on the node that has the
// session. The directory holds all claims that this node knows: those of its own sessions, which Register, Update, Drain
// and Unregister change, and what other nodes say of theirs (Announce, Forget). Which nodes are within reach is said by
// Connect and Disconnect. Of the claims to a name whose sessions can be reached, the one with the greatest stamp decides
// which process has it; the sessions of all others are not chosen, and those of this node are told (Target.Replace).
//
// The process that has a name is an instance, and its sessions are its paths: one on each node, the newest. A path can be
// used while its node is within reach. Paths are tried in an order that stands until one of them changes: this node's own,
// then the others by a hash that differs from node to node, then those that drain. Calls use the first, so that those of one
// caller reach the instance in order; an attempt that fails to reach it goes on to its next path, then to other instances.
// What balancing knows of a process (governance.Instance) outlives all changes of its paths.
//
//	Register … Announce … Connect …
//	         │ one edit under a lock: claims change, the names that they touch are decided anew,
//	         ▼ the modules of these names are built anew, one swap
//	table ── module ── method ── set of instances ── picker     what calls look at: immutable, behind an atomic pointer
//	homes ── session ── its target                              what Local looks at: the same, and nothing else
//
// A name that processes take from each other more than five times in a minute is held down for a minute: nobody is chosen by
// it, and HeldDown lets logins be refused. Tick ends it.
//
// # Two hops
//
// A frame from another node reaches Local, which has the sessions of this node by number and no field that leads to a link
// or to the table. What it cannot give to the session that the ingress has chosen it answers with STALE_ROUTE, DRAINING,
// UNIMPLEMENTED, EXPIRED or OVERLOADED, and the ingress tries something else.
//
// # Failure
//
// The class of an answer is that of all attempts: a NOT_EXECUTED after an attempt that may have run is reported as
// UNKNOWN. A request that was not kept (too large, or no memory left for it) is answered where it would be rerouted:
// the code is NOT_EXECUTED and its SDK sends it again. What a Target refuses is tried over another path or at another
// instance, and answered OVERLOADED when there is none. A target that is gone says so at once, so that calls move on before
// the router is told; where only nodes out of reach have an instance that fits, the answer is NO_ROUTE and names the nodes
// that may reach it.
package router
