// Package degrade switches calls off, all or a share of them, and answers them with a fallback in place of running them.
//
// State model: one word, to which each call adds the share as a fraction of 2^64; the calls at which it overflows are off.
// That spreads them as evenly as can be: of any hundred calls in a row, 10 % are ten. The price is that it is no coin: calls
// that come in a fixed order always fall on the same places of it.
//
// Failure: there is none. A share outside of 0 to 1 counts as the nearer end.
package degrade
