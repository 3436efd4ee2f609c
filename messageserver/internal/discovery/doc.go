// Package discovery tells a node which nodes are members of its mesh: a list in a file, the same on all nodes.
//
//	members:
//	  - {node: a, number: 1, address: "10.0.0.11:7072"}
//	  - {node: b, number: 2, address: "10.0.0.12:7072"}
//
// # State
//
// A List is a value: sorted by name, checked as a whole, compared by its Hash. Load reads one, Save writes one so that a
// crash at any point leaves the old file or the new one. Watch is a loop of its caller's: it reads the file again and again,
// because that works on every file system and for every way of changing a file (written over, renamed over, a symbolic
// link that is turned), and it compares what it finds with what is in force.
//
// # Failure
//
// A list with a problem is not taken in part: Parse and Validate name every problem at once, with its place, and Watch goes on
// with the list that it had. What can be seen while somebody writes the file (nothing, a part of a line) is a problem, too;
// and Watch takes a content only when it has seen it twice, so that a part that happens to be a list does not throw members
// out.
package discovery
