package wire

import "fmt"

// Code is a status code. Its range says what happened to the handler, also for a code that a receiver does not know.
type Code uint16

// The status codes. PROTOCOL.md has the same table, and a test compares them.
const (
	OK          Code = 0
	Accepted    Code = 1
	AcceptedDup Code = 2

	BadRequest       Code = 10
	TooLarge         Code = 11
	BadOption        Code = 12
	Unauthenticated  Code = 13
	Denied           Code = 14
	BadDigest        Code = 15
	Replayed         Code = 16
	NoModule         Code = 17
	NoInstance       Code = 18
	NoRoute          Code = 19
	StaleRoute       Code = 20
	RateLimited      Code = 21
	Overloaded       Code = 22
	Degraded         Code = 23
	BreakerOpen      Code = 24
	Expired          Code = 25
	Draining         Code = 26
	Unimplemented    Code = 27
	Cancelled        Code = 28
	StoreUnavailable Code = 29
	StoreFull        Code = 30
	Replaced         Code = 31

	AppError     Code = 64
	HandlerPanic Code = 65
	AnswerLost   Code = 66

	Timeout          Code = 96
	ConnectionLost   Code = 97
	CancelledRunning Code = 98
	StoreUnknown     Code = 99

	// MaxCode is the largest number that has a class. A frame with a greater one breaks the protocol.
	MaxCode Code = 127
)

// Class says what happened to the handler.
type Class uint8

// The classes, from the best known to the least known.
const (
	Success     Class = iota // 0–9: the handler ran and answered, or the call is on disk
	NotExecuted              // 10–63: no handler started, and none will
	Executed                 // 64–95: the handler ran, and there is no result
	Unknown                  // 96–127: it may have run
)

func (c Class) String() string {
	switch c {
	case Success:
		return "SUCCESS"
	case NotExecuted:
		return "NOT_EXECUTED"
	case Executed:
		return "EXECUTED"
	default:
		return "UNKNOWN"
	}
}

// Class returns the class of a code by its range.
func (c Code) Class() Class {
	switch {
	case c <= 9:
		return Success
	case c <= 63:
		return NotExecuted
	case c <= 95:
		return Executed
	default:
		return Unknown
	}
}

// codes lists every assigned code with its name and its gRPC equivalent.
var codes = [...]struct {
	code Code
	name string
	grpc string
}{
	{OK, "OK", "OK"},
	{Accepted, "ACCEPTED", "OK"},
	{AcceptedDup, "ACCEPTED_DUP", "OK"},
	{BadRequest, "BAD_REQUEST", "INVALID_ARGUMENT"},
	{TooLarge, "TOO_LARGE", "RESOURCE_EXHAUSTED"},
	{BadOption, "BAD_OPTION", "INVALID_ARGUMENT"},
	{Unauthenticated, "UNAUTHENTICATED", "UNAUTHENTICATED"},
	{Denied, "DENIED", "PERMISSION_DENIED"},
	{BadDigest, "BAD_DIGEST", "UNAUTHENTICATED"},
	{Replayed, "REPLAYED", "UNAUTHENTICATED"},
	{NoModule, "NO_MODULE", "UNIMPLEMENTED"},
	{NoInstance, "NO_INSTANCE", "UNAVAILABLE"},
	{NoRoute, "NO_ROUTE", "UNAVAILABLE"},
	{StaleRoute, "STALE_ROUTE", "UNAVAILABLE"},
	{RateLimited, "RATE_LIMITED", "RESOURCE_EXHAUSTED"},
	{Overloaded, "OVERLOADED", "RESOURCE_EXHAUSTED"},
	{Degraded, "DEGRADED", "UNAVAILABLE"},
	{BreakerOpen, "BREAKER_OPEN", "UNAVAILABLE"},
	{Expired, "EXPIRED", "DEADLINE_EXCEEDED"},
	{Draining, "DRAINING", "UNAVAILABLE"},
	{Unimplemented, "UNIMPLEMENTED", "UNIMPLEMENTED"},
	{Cancelled, "CANCELLED", "CANCELLED"},
	{StoreUnavailable, "STORE_UNAVAILABLE", "UNAVAILABLE"},
	{StoreFull, "STORE_FULL", "RESOURCE_EXHAUSTED"},
	{Replaced, "REPLACED", "ABORTED"},
	{AppError, "APP_ERROR", "UNKNOWN"},
	{HandlerPanic, "HANDLER_PANIC", "INTERNAL"},
	{AnswerLost, "ANSWER_LOST", "DATA_LOSS"},
	{Timeout, "TIMEOUT", "DEADLINE_EXCEEDED"},
	{ConnectionLost, "CONNECTION_LOST", "UNAVAILABLE"},
	{CancelledRunning, "CANCELLED_RUNNING", "CANCELLED"},
	{StoreUnknown, "STORE_UNKNOWN", "UNAVAILABLE"},
}

// names and grpcNames are indexed by code.
var names, grpcNames = func() (n, g [MaxCode + 1]string) {
	for _, c := range codes {
		n[c.code], g[c.code] = c.name, c.grpc
	}
	return n, g
}()

// Codes returns every assigned code in ascending order.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for _, c := range codes {
		all = append(all, c.code)
	}
	return all
}

// String returns the name of an assigned code, else CODE(n).
func (c Code) String() string {
	if c <= MaxCode && names[c] != "" {
		return names[c]
	}
	return fmt.Sprintf("CODE(%d)", uint16(c))
}

// GRPC returns the name of the gRPC code that is nearest to an assigned code, else "UNKNOWN".
func (c Code) GRPC() string {
	if c <= MaxCode && grpcNames[c] != "" {
		return grpcNames[c]
	}
	return "UNKNOWN"
}
