// Package output is how results look on a terminal and in scripts: aligned tables, JSON, and text of others that cannot
// move the cursor.
//
// State model: none.
//
// Failure: a writer's error is returned; nothing else fails.
package output
