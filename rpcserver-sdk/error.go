package rpcserver

import (
	"errors"
	"fmt"

	"github.com/twohop/twohop/proto/wire"
)

// AppError is an error that callers can tell apart: they get it as APP_ERROR with code, message and details.
type AppError struct {
	// Code is the application's own, ≤ 127 bytes.
	Code string
	// Message is for people, ≤ 1,024 bytes; what is longer is cut.
	Message string
	// Details are facts for machines: ≤ 32 entries, ≤ 8 KiB in all, else they are left out.
	Details map[string]string
	// Permanent says that another attempt is pointless, to the store of reachable calls.
	Permanent bool
}

func (e *AppError) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Errorf returns an *AppError with a code and a message.
func Errorf(code, format string, args ...any) error {
	return &AppError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrReplaced ends Run when another process has logged in with the same module and instance.
var ErrReplaced = errors.New("rpcserver: another process has logged in as this instance")

// ErrStillRunning ends Run when handlers still run some time after their contexts were cancelled.
var ErrStillRunning = errors.New("rpcserver: handlers did not end")

// verdict is what the SDK itself says about a request, instead of the handler.
type verdict struct {
	code    wire.Code
	message string
	cause   error
}

func (v *verdict) Error() string {
	if v.cause != nil {
		return v.message + ": " + v.cause.Error()
	}
	return v.message
}

func (v *verdict) Unwrap() error { return v.cause }
