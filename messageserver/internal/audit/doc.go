// Package audit keeps who changed what: a line for each change by an operator, on disk before the change is made.
//
// # State
//
// A Log is a file of JSON lines, which only grows. Each line has a number, one more than the line before, and the SHA-256 of
// that line, so that what was changed, taken out or put in between is found by Verify, and named by file and line. A file
// that has grown to 64 MiB is renamed (audit.log becomes audit.log.000001, and so on), and the chain goes on in a new one.
// Nothing is deleted here; the oldest files may be moved away, and Verify says with which number the rest begins.
//
// The chain shows accidents and simple edits. Who may write to the file can compute all of it anew, or cut off its end: View
// has the number and the hash of the last line, which an operator who must know keeps elsewhere.
//
// A line without a result is an intent: what is about to be done. It was done, unless a later line of the same change (From and To) has
// a result that says otherwise: "conflict: …" and "failed: …", it was not; "unknown: …", nobody could tell, and the history of the rules
// can. Such a line follows in most cases, not in all: the process may end in between, or the disk be full. A result that cannot be written
// changes nothing about what was done, and is an alarm (audit_failed). Where it matters, the history of the rules is the proof.
//
// Memory makes a Log for nodes without a data folder: it has the last lines only, until the process ends, and says so in View.
//
// # Failure
//
// Append returns after the line is synced. If it returns an error, the change must be refused: that is what fail closed
// means. The line is taken back from the file, and the next Append tries again; Failing tells meanwhile. What was written and
// could not be taken back either is cut off by the next Append or Open, or stays as a record of a change that was refused. A
// file that is moved away, replaced, or written to by somebody else while it is open fails every Append until it is put back,
// or the node starts again.
//
// A crash leaves at most a last line without its end. Open cuts it off, with an event in the log: its change was never made.
// A last line that is complete and no record is no accident of this room, and Open refuses it.
package audit
