// Package visibility decides which kind of caller may see a method: everybody, the house's own modules, or nobody but
// operators.
//
// State model: none. A level is a level.
//
// Failure: there is none. A level that does not exist counts as Admin, the closed side.
package visibility
