// Package eventlog writes events to a slog.Logger, one line of a cause per second: whoever reaches a port cannot fill the
// disk with what it makes happen there.
//
// State: what was written last of each cause, of at most 64 causes; beyond that, causes that are new in the same second count
// as one.
//
// Failure: what was held back is counted in the next line of its cause. What is held back of a cause that goes quiet is lost
// to the log, not to the counters that rooms keep of the same events.
package eventlog
