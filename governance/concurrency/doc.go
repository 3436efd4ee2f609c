// Package concurrency limits how many calls are in flight at once.
//
// State model: a Gauge is one number. Admit adds one for each call that it admits, and Settle takes one back, always: also in
// shadow and after the end of the rule, which may pass between the two. The gauge outlives the policy: when the document
// changes, calls that entered under the old one still count, and are settled there.
//
// Failure: a call over the limit is OVERLOADED, and may come back soon: something will have ended by then, or not.
package concurrency
