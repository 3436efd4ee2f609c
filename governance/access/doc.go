// Package access decides who may call: by the caller's module, and by the address that it calls from.
//
// State model: none. The lists are made into sets when the policy is made, and do not change: a lookup is a map and a binary
// search over merged ranges, so that ten thousand prefixes cost what ten do, nearly.
//
// Failure: there is none at a call. A list that is broken errs on the closed side: an invalid prefix among those that are
// allowed allows nobody, one among those that are denied denies everybody.
package access
