package caller

import "github.com/twohop/twohop/proto/wire"

// Class says what happened to the handler.
type Class = wire.Class

// The classes.
const (
	Success     = wire.Success
	NotExecuted = wire.NotExecuted
	Executed    = wire.Executed
	Unknown     = wire.Unknown
)

// Code is a status code. It is an error only so that errors.Is(err, CodeExpired) reads as it should: calls never
// return one, they return *Error.
type Code wire.Code //nolint:errname // it is a status code, and an error for errors.Is only

// The status codes; PROTOCOL.md says what each means and what to do about it.
//
//nolint:errname // see Code
const (
	CodeOK               = Code(wire.OK)
	CodeAccepted         = Code(wire.Accepted)
	CodeAcceptedDup      = Code(wire.AcceptedDup)
	CodeBadRequest       = Code(wire.BadRequest)
	CodeTooLarge         = Code(wire.TooLarge)
	CodeBadOption        = Code(wire.BadOption)
	CodeUnauthenticated  = Code(wire.Unauthenticated)
	CodeDenied           = Code(wire.Denied)
	CodeBadDigest        = Code(wire.BadDigest)
	CodeReplayed         = Code(wire.Replayed)
	CodeNoModule         = Code(wire.NoModule)
	CodeNoInstance       = Code(wire.NoInstance)
	CodeNoRoute          = Code(wire.NoRoute)
	CodeStaleRoute       = Code(wire.StaleRoute)
	CodeRateLimited      = Code(wire.RateLimited)
	CodeOverloaded       = Code(wire.Overloaded)
	CodeDegraded         = Code(wire.Degraded)
	CodeBreakerOpen      = Code(wire.BreakerOpen)
	CodeExpired          = Code(wire.Expired)
	CodeDraining         = Code(wire.Draining)
	CodeUnimplemented    = Code(wire.Unimplemented)
	CodeCancelled        = Code(wire.Cancelled)
	CodeStoreUnavailable = Code(wire.StoreUnavailable)
	CodeStoreFull        = Code(wire.StoreFull)
	CodeReplaced         = Code(wire.Replaced)
	CodeAppError         = Code(wire.AppError)
	CodeHandlerPanic     = Code(wire.HandlerPanic)
	CodeAnswerLost       = Code(wire.AnswerLost)
	CodeTimeout          = Code(wire.Timeout)
	CodeConnectionLost   = Code(wire.ConnectionLost)
	CodeCancelledRunning = Code(wire.CancelledRunning)
	CodeStoreUnknown     = Code(wire.StoreUnknown)
)

// Class returns the class of a code by its range, also of one that this package does not know.
func (c Code) Class() Class { return wire.Code(c).Class() }

// GRPC returns the name of the gRPC code that is nearest.
func (c Code) GRPC() string { return wire.Code(c).GRPC() }

func (c Code) String() string { return wire.Code(c).String() }

func (c Code) Error() string { return wire.Code(c).String() }
