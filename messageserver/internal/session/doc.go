// Package session is the node's end of one connection of a module: it logs the module in, and hands its frames to the
// router by kind.
//
// # State
//
//	          LOGIN, auth none
//	login ─────────────────────────► open ──our GOAWAY──► leaving
//	  │                               ▲                      │
//	  └─LOGIN─► proof ─────PROOF──────┘                connection ends
//
// Before WELCOME a connection has 4 KiB (frameconn.Entrance) and 5 s, and there are at most 32 such connections of one address
// (lobby). A server is registered once it has acknowledged its POLICY and has methods. dispatch.go holds the table of
// which kinds are taken in which state and role; everything else ends the session with a GOAWAY that says why (REFUSE
// before it is open). A GOAWAY of the module's is no state: it gets no new requests, and may still call.
//
// A session is an Origin for the calls that its module makes, kept by the caller's call_id, and a Target for the calls
// that go to its module.
//
// # Failure
//
// A session that ends is taken out of the registry first; then the attempts that went to it end (unsent ones are
// rerouted by the router, the others are UNKNOWN), then the calls of its own are cancelled, because nobody waits for
// them. A session that was replaced is closed when its module does not close it in time. A caller that does not read its
// answers is no longer read, and closed; a server that does not read gets no more requests. Answers for a session that
// is gone are counted and dropped.
package session
