package caller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Sentinels for errors.Is. The first three are the classes: what a program does next depends on them.
var (
	ErrNotExecuted = errors.New("not executed: no handler started, and none will")
	ErrExecuted    = errors.New("executed: the handler ran, and there is no result")
	ErrUnknown     = errors.New("unknown: the handler may have run")

	// ErrClosed is why calls end that are open when Close is called, or that come after it.
	ErrClosed = errors.New("the client is closed")
)

// Error is how a call ended that did not succeed. Use errors.As to get it, or errors.Is with a class (ErrNotExecuted), a
// code (CodeExpired), context.DeadlineExceeded (TIMEOUT, EXPIRED) or context.Canceled (CANCELLED, CANCELLED_RUNNING).
type Error struct {
	// Class is that of all attempts of the call: UNKNOWN if one of them may have run, whatever the last one said.
	Class Class
	Code  Code
	// Method is the full name, module.Method.
	Method string
	// Message is for people.
	Message string

	// AppCode and Details are the handler's own words, with APP_ERROR.
	AppCode string
	Details map[string]string

	// Session and CallID are the call's name: what became of it can be asked by them. With UNKNOWN they are those of the last
	// attempt that may have run. 0 if it never left.
	Session uint64
	CallID  uint64
	// RPCID is the id that nodes gave it, for traces. 0 if no node answered.
	RPCID uint64

	// Node is who wrote the code; empty if this process did, or the instance.
	Node string
	// RuleID and RuleVersion name the rule that refused.
	RuleID      string
	RuleVersion uint64
	// Attempts says how often the call was started at an instance, or left this process, if more than once.
	Attempts int
	// Try names nodes worth trying.
	Try []string
	// RetryAfter is how long to wait at least. 0: nothing was said.
	RetryAfter time.Duration
	// Unknown names the instances of attempts that may have run, as far as known.
	Unknown []Receiver
	// Fallback is the body that a rule gives callers instead of an answer, with DEGRADED.
	Fallback []byte
	// FallbackType is its content type; that of the call's body where the rule names none.
	FallbackType string

	cause error
}

// Name returns the code's name, as in PROTOCOL.md.
func (e *Error) Name() string { return e.Code.String() }

// classWords says in an error's text what its class means.
var classWords = [...]string{
	Success:     "SUCCESS",
	NotExecuted: "NOT_EXECUTED: it did not run",
	Executed:    "EXECUTED: it ran",
	Unknown:     "UNKNOWN: it may have run",
}

// Error returns one line: module.Method: CODE (CLASS: what that means): message [where].
func (e *Error) Error() string {
	var b strings.Builder
	if e.Method != "" {
		b.WriteString(e.Method + ": ")
	}
	fmt.Fprintf(&b, "%s (%s)", e.Code, classWords[min(e.Class, Unknown)])
	if e.AppCode != "" {
		b.WriteString(": " + e.AppCode)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	var where []string
	add := func(format string, args ...any) { where = append(where, fmt.Sprintf(format, args...)) }
	if e.RPCID != 0 {
		add("rpc %d", e.RPCID)
	}
	if e.Node != "" {
		add("node %s", e.Node)
	}
	if e.RuleID != "" {
		add("rule %s version %d", e.RuleID, e.RuleVersion)
	}
	if e.Attempts > 1 {
		add("%d attempts", e.Attempts)
	}
	if e.RetryAfter > 0 {
		add("retry after %s", e.RetryAfter)
	}
	if len(e.Try) > 0 {
		add("try %s", strings.Join(e.Try, " "))
	}
	if len(where) > 0 {
		b.WriteString(" [" + strings.Join(where, ", ") + "]")
	}
	return b.String()
}

// Is reports whether target is the class's sentinel, the code, or the context error that the code stands for.
func (e *Error) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return code == e.Code
	}
	switch target {
	case ErrNotExecuted:
		return e.Class == NotExecuted
	case ErrExecuted:
		return e.Class == Executed
	case ErrUnknown:
		return e.Class == Unknown
	case context.DeadlineExceeded:
		return e.Code == CodeTimeout || e.Code == CodeExpired
	case context.Canceled:
		return e.Code == CodeCancelled || e.Code == CodeCancelledRunning
	}
	return false
}

// Unwrap returns what the network, the encoding or Close had to do with it, or nil.
func (e *Error) Unwrap() error { return e.cause }

// fail makes an error of this process.
func fail(code Code, format string, args ...any) *Error {
	return &Error{Class: code.Class(), Code: code, Message: fmt.Sprintf(format, args...)}
}

// because adds what lies behind an error.
func (e *Error) because(cause error) *Error {
	e.cause = cause
	return e
}
