// Package demo is the command `twohop demo`: a story with real input that ends with a verdict.
//
// People send gifts to rooms. Two callers (module web) call fishtrade.SendRocket for each gift; fishtrade moves the money
// and calls rank.Add through the mesh, with what is left of the caller's time. Every node, instance and caller is a process
// of its own on loopback, started from this executable. The mesh is three nodes:
//
//	input ─► feed ─► web-1, web-2 ─► mesh ─► fishtrade-1, -2 ─► mesh ─► rank-1, -2
//	                  │ invoke, end          │ start, moved              │ start, added
//	                  │                      │ invoke, end               │
//	                  └──────────────► ledgers, one file a process ◄─────┘
//	                                         │
//	                                      verdict
//
// An instance is logged in to two nodes, a caller to one. Who is told of which nodes (seats) makes calls of one hop and of
// two: at the node of each caller one instance of fishtrade has a session, and one has none. Of the other nodes they hear from
// those, and go there when theirs is lost.
//
// # State
//
// Whoever calls writes down that it is going to (invoke) before the first byte leaves, and what it was told (end). A handler
// writes start before it does anything, and moved or added when it has. Each record is one write to a file that is only
// appended to, so that it outlives a process that is killed. A Books reads the files while they grow: the table shows what
// is in them, and nothing else.
//
// The verdict compares the two sides, call by call: OK is one start and one move; EXECUTED one start, and no move where the
// amount was above the limit; NOT_EXECUTED no start; UNKNOWN, or an invoke without an end, at most one. What contradicts
// that is a lie. How many nodes a call crossed is what its answer says.
//
// The feed begins when the mesh is whole: all links are up, and every node knows every session of every instance. Chaos kills
// a node (SIGKILL) or an instance, starts it again with the same addresses and files, and goes on when the mesh is whole again:
// two are never away at once.
//
// # Failure
//
// A line of the input that is no gift is reported, counted and left out. A process that ends before it was told to (chaos
// tells) fails the demo with the last lines of its log; the verdict is given all the same. Whatever was started is gone
// when Run returns: processes are asked to end in the order of a call's way, and killed when they do not. On Linux they also
// end with this process if that is killed; elsewhere callers and instances do, because their stdin ends.
package demo
