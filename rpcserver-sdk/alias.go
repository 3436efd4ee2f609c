package rpcserver

import "github.com/twohop/twohop/internal/caller"

// Error is how a call ended that did not succeed. Get it with errors.As or AsError; see the package's documentation for
// errors.Is. Its fields:
//
//	Class                          of all attempts: NotExecuted, Executed, Unknown
//	Code                           the status code
//	Method      string             module.Method
//	Message     string             for people
//	AppCode     string             with APP_ERROR: the handler's own code, as rpcserver.Errorf gave it
//	Details     map[string]string  with APP_ERROR: the handler's facts
//	Session     uint64             with CallID the call's name; 0 if it never left
//	CallID      uint64
//	RPCID       uint64             its id in traces; 0 if no node answered
//	Node        string             who wrote the code; empty: this process, or the instance
//	RuleID      string             the rule that refused, and its
//	RuleVersion uint64             version
//	Attempts    int                how often it was started or sent, if more than once
//	Try         []string           nodes worth trying
//	RetryAfter  time.Duration      wait at least so long; 0: nothing was said
//	Unknown     []Receiver         the instances that may have run it
//	Fallback    []byte             with DEGRADED: the body to use instead of an answer, and
//	FallbackType string            its content type
type Error = caller.Error

// Sentinels for errors.Is.
var (
	ErrNotExecuted = caller.ErrNotExecuted // no handler started, and none will: trying again is safe
	ErrExecuted    = caller.ErrExecuted    // the handler ran, and there is no result
	ErrUnknown     = caller.ErrUnknown     // the handler may have run
	ErrClosed      = caller.ErrClosed      // the client is closed
)

// Class says what happened to the handler.
type Class = caller.Class

// The classes.
const (
	Success     = caller.Success
	NotExecuted = caller.NotExecuted
	Executed    = caller.Executed
	Unknown     = caller.Unknown
)

// Code is a status code: a field of Error, and a target of errors.Is.
type Code = caller.Code //nolint:errname // it is a status code, and an error for errors.Is only

// The status codes. PROTOCOL.md says what each means and what a caller should do about it.
//
//nolint:errname // see Code
const (
	CodeOK               = caller.CodeOK
	CodeAccepted         = caller.CodeAccepted
	CodeAcceptedDup      = caller.CodeAcceptedDup
	CodeBadRequest       = caller.CodeBadRequest
	CodeTooLarge         = caller.CodeTooLarge
	CodeBadOption        = caller.CodeBadOption
	CodeUnauthenticated  = caller.CodeUnauthenticated
	CodeDenied           = caller.CodeDenied
	CodeBadDigest        = caller.CodeBadDigest
	CodeReplayed         = caller.CodeReplayed
	CodeNoModule         = caller.CodeNoModule
	CodeNoInstance       = caller.CodeNoInstance
	CodeNoRoute          = caller.CodeNoRoute
	CodeStaleRoute       = caller.CodeStaleRoute
	CodeRateLimited      = caller.CodeRateLimited
	CodeOverloaded       = caller.CodeOverloaded
	CodeDegraded         = caller.CodeDegraded
	CodeBreakerOpen      = caller.CodeBreakerOpen
	CodeExpired          = caller.CodeExpired
	CodeDraining         = caller.CodeDraining
	CodeUnimplemented    = caller.CodeUnimplemented
	CodeCancelled        = caller.CodeCancelled
	CodeStoreUnavailable = caller.CodeStoreUnavailable
	CodeStoreFull        = caller.CodeStoreFull
	CodeReplaced         = caller.CodeReplaced
	CodeAppError         = caller.CodeAppError
	CodeHandlerPanic     = caller.CodeHandlerPanic
	CodeAnswerLost       = caller.CodeAnswerLost
	CodeTimeout          = caller.CodeTimeout
	CodeConnectionLost   = caller.CodeConnectionLost
	CodeCancelledRunning = caller.CodeCancelledRunning
	CodeStoreUnknown     = caller.CodeStoreUnknown
)

// Receiver names one instance: Module, Instance, UUID (of the process) and Node (where it is logged in).
type Receiver = caller.Receiver

// Receipt says who answered a call, and where its time went: Receiver, Attempts (how often it was sent to an instance), RPCID,
// and Hops, one HopTime per node that it crossed. See WantReceipt.
type Receipt = caller.Receipt

// HopTime is how long a call was in one node's hands, and in those of what lies beyond it.
type HopTime = caller.HopTime

// Connection is a session as hooks see it.
type Connection = caller.Connection

// State says where a session stands: its name, since when, and the last error.
type State = caller.State

// StateName names what is done about a session.
type StateName = caller.StateName

// The names of states.
const (
	StateConnecting = caller.StateConnecting // dials
	StateLoggingIn  = caller.StateLoggingIn
	StateOpen       = caller.StateOpen
	StateWaiting    = caller.StateWaiting  // before the next try
	StateReplaced   = caller.StateReplaced // another process has the name; there is no next try
	StateClosed     = caller.StateClosed
)

// Pending is a call that was started by Go: Done is closed at its end, Wait returns how it ended.
type Pending = caller.Pending
