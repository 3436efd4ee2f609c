// Package quota keeps the limits that hold for the whole mesh: it renews this node's leases of them with their owners, sets the
// rates of the token buckets accordingly, and grants leases of the limits that this node owns. The arithmetic is
// governance/quota's.
//
// # State
//
// Leases has, for each limit in use here, what the node holds (a quota.Holder and the bucket), and for each limit that it
// was asked about as the owner a quota.Owner. Run looks at the demand every 10 ms, less often where there are thousands of limits;
// one that nobody has called for 10 s rests: its bucket's count is compared, and no more. What is due goes to the owners, one
// question at a time to each with all its limits, as the call Quota of the module _node. Limits that this node owns itself are granted
// without a call. A node that is the only member has all of each limit and asks nobody.
//
// What an owner knows of a limit that nobody has asked for in a minute is forgotten, and at once when the members change and
// it is the owner no more. A node that has just started, or has just become an owner, grants equal parts until what others may have
// leased before it has run out.
//
// # Failure
//
// A question that is not answered in 250 ms, and a limit that the answer leaves out, has failed: the node goes down to its equal
// part of the limit, if it had more, and asks again 100 ms later. A lease that runs out leaves the equal part; so does a
// lost link to the owner, then. A question that is wrong is refused as a whole. A limit of which this node is not the owner, as it
// sees the members, is left out of the answer: two owners would grant it twice.
package quota
