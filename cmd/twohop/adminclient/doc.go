// Package adminclient asks a node what its operators may know: it reads the JSON of the node's admin listener,
// and may change the members of its mesh, and its rules.
//
// State model: none; every question is a request of its own, and lists come page by page.
//
// Failure: an error says which address was asked, what happened, and what to do about it. A node that refuses is a *RefusalError,
// which has what it said; a change whose answer did not come may be made or not. A list that changes while it is
// read may miss a row or have one twice.
package adminclient
