// Package ids makes the global ids of calls and sessions: 63 bits, 41 of milliseconds since the epoch below, 12 of
// sequence, 10 of the node's number (the layout of sonyflake v2 with 1 ms).
//
// State model: one word, the last (time, sequence) that was given out. It only rises: a burst of more than 4,096 ids in a
// millisecond borrows from the next one, and a wall clock that is set back is not followed. Ids of one process never
// repeat; ids of a restarted process do not unless the wall clock was set back by more than it was down.
//
// Failure: there is none; Next never waits.
package ids
