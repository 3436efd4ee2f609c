// Package rules turns a document of rules, written by operators, into what a node asks about each call.
//
//	format: 1
//	rules:
//	  - id: rocket-off
//	    module: fishtrade
//	    method: SendRocket
//	    note: ticket 4711
//	    off: {share: 50}
//
// # State
//
// Text becomes a Document (Parse), which is judged (Check, Warnings), compared (Diff) and compiled (Compile) into a Set. A Set does
// not change, but what its rules count does: tallies, buckets and gauges go over from one Set to the next, by the id of the rule,
// so that a change of one rule refills nobody's bucket. The regime of a subject is put together when it is first asked for, out of
// ten look-ups by scope, and kept.
//
// Text is edited as text (Insert, Remove, PruneEnded): what is not touched stays as it was, byte for byte, with its comments.
//
// Each rule of a document is parsed by itself, and the size of each is bounded, so that no document takes more time and memory than
// its rules are worth, and a rule with a syntax error does not hide what is wrong with the others.
//
// # Failure
//
// A document with a problem is not taken in part: the error is *Invalid and has every problem with line and column. A compiled Set
// has no way to fail. Where there are more subjects than are kept, the others are put together for each call; where there are more
// callers than have a bucket of their own, the others share one.
//
// The secrets of rules are in the text and in the Document. No String, no JSON, no diff and no error shows them.
package rules
