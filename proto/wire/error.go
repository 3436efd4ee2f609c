package wire

import "fmt"

// Error is a refusal of input: the status code that it is answered with, and a reason for people.
type Error struct {
	Code   Code
	Reason string
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

func badRequest(format string, args ...any) *Error {
	return &Error{Code: BadRequest, Reason: fmt.Sprintf(format, args...)}
}

func badOption(format string, args ...any) *Error {
	return &Error{Code: BadOption, Reason: fmt.Sprintf(format, args...)}
}

func headerTooLarge(size, limit int) *Error {
	return &Error{Code: TooLarge, Reason: fmt.Sprintf("header has %d bytes, must have at most %d", size, limit)}
}

// clip shortens input for an error text, which must not carry more of it than needed.
func clip(b []byte) []byte {
	if len(b) > 64 {
		return b[:64]
	}
	return b
}
