// Package quota divides a limit of the whole mesh among its nodes, by leases, so that a call asks nobody: it is decided by its
// ingress's own token bucket, whose rate is the node's share.
//
// Each limit has an owner among the members, by rendezvous hashing over all of them, so that every node names the same one
// whatever it reaches. A node tells the owner what demand it has, and gets a rate for at most Valid. A hundredth of
// the limit is not leased but is every node's in equal parts, its reserve: a node on which nothing happens asks nobody, and still
// passes its first calls.
//
// # State model
//
// An Owner has the leases that live: node, rate, demand, end. Grant gives max-min fair shares by demand, and divides what nobody
// demands among all nodes that are reached; the parts of those that do not ask stay free for when they do. A node gets no more
// than what others do not hold at the moment: shares shrink only when their holder asks, so that all that is held is never
// more than the limit, times the part of the members that the owner reaches. Where a split leaves the others with their
// Fallback, the sum over the mesh is the limit again.
//
// A Holder is the other end, on each node and for each limit: it measures the demand, says when to ask, and what rate holds now. It
// asks ten times a second, and at once when the demand shifts, because what is late there is lost for the whole mesh. A shift is
// seen no sooner than the calls that make it: where all demand moves to another node every 2 s, from 2,000/s on more than
// 97 % of the limit pass, of 500/s 94 %. Calls that come in batches are no shifts; what moves among them is seen after some batches.
//
// # Failure
//
// A node that is not heard keeps its share for Valid and no longer, by its own clock and by the owner's. A node whose question
// is not answered cannot know whether its share was given away: from then on it uses no more than its equal part, the Fallback, and
// that alone when its lease has run out. While an answer that takes something away is on its way, its node and the one that gets
// it use it both: for a round trip, or until the question counts as failed.
//
// An Owner that is new, because the members changed or its node was started anew, does not know what the one before it has
// leased: while that may live, for Valid, it grants equal parts only. Where a node that holds such a lease does not reach it, its lease
// counts beside the equal parts of the others until then. Whoever was the owner all the time and has forgotten a limit that nobody
// asked for grants equal parts for settle.
package quota
