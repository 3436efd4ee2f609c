// Package balance chooses the instance for an attempt: at random, in turn, by the hash of a key, or where the least is
// outstanding.
//
// State model: a picker is built over a fixed set and is replaced when the set changes. What survives is in the instances,
// shared by all pickers over them: outstanding attempts, the share of failures, the time of login. A picker itself holds at
// most a counter. Weights count in every balancer; a new instance gets 10 % of its weight and reaches all of it after 30 s,
// except by hash, where a slow start would move keys twice.
//
// Pick takes no lock and does not allocate. Its cost does not depend on the size of the set, except for hash, which looks at
// every instance, and for a retry or a wholly new group, where the fast way may find nobody in a bounded number of steps and
// then one look at every instance decides by chance and weight.
//
// Failure: an empty set, or one wholly tried, gives nil. An instance that fails is chosen less only by LeastActive, which
// it would otherwise attract, being idle; taking failing instances out is the job of health, before a set gets here.
package balance
