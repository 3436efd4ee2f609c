package main

import "github.com/twohop/twohop/rpcclient-sdk"

// The exit codes. Those of a call that failed are its class: what a script does next depends on it.
const (
	exitOK          = 0
	exitUsage       = 1 // the command line, the configuration, or anything that is not the end of a call
	exitNotExecuted = 10
	exitExecuted    = 11
	exitUnknown     = 12

	// Of changes of the rules.
	exitConflict  = 20 // somebody else has changed them meanwhile, and nothing was done: look again
	exitNotAll    = 21 // it is done, and a node or a server does not have it (yet)
	exitUncertain = 22 // the node was asked and its answer did not come: it may be done
)

// exitError is an error with the exit code that it leads to. Without err nothing more is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitOf returns the exit code of a class.
func exitOf(class rpcclient.Class) int {
	switch class {
	case rpcclient.Success:
		return exitOK
	case rpcclient.NotExecuted:
		return exitNotExecuted
	case rpcclient.Executed:
		return exitExecuted
	default:
		return exitUnknown
	}
}
