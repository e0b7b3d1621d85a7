package protocol

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// A Code says, for programs, why something did not work.
type Code string

// The closed list of codes.
const (
	Invalid     Code = "invalid"     // the request, or a package in it, is wrong; the same call fails again
	NotFound    Code = "not-found"   // no such package, content, path or log
	Denied      Code = "denied"      // the caller may not
	Unavailable Code = "unavailable" // no source answers; a later call may succeed
	Offline     Code = "offline"     // it needs the network and may not use it
	Mismatch    Code = "mismatch"    // fetched bytes are not what the hash says
	Failed      Code = "failed"      // a build ran and failed
	Differs     Code = "differs"     // a rebuild gave other content
	Damaged     Code = "damaged"     // stored content is not what its name says
	Exhausted   Code = "exhausted"   // a limit was reached, or the disk is full
	Busy        Code = "busy"        // another process holds what is needed
	Canceled    Code = "canceled"    // the caller gave up
	Unsupported Code = "unsupported" // this platform or version cannot
	Internal    Code = "internal"    // a fault of nuka's own
)

// An Error is a failure that crosses the wire.
// It names the operation, its object and what to do next.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do next; may be empty

	cause error // does not cross the wire
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause: what Errorf wrapped, or the error that AsError got. It is nil of an error that came over the wire.
func (e *Error) Unwrap() error { return e.cause }

// Errorf returns an Error with a formatted message. As with fmt.Errorf, the verb %w wraps an error.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error()}
	switch wrapped := err.(type) { //nolint:errorlint // whether fmt wrapped something
	case interface{ Unwrap() error }:
		e.cause = wrapped.Unwrap()
	case interface{ Unwrap() []error }:
		e.cause = errors.Join(wrapped.Unwrap()...)
	}
	return e
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	hinted := *e
	hinted.Hint = fmt.Sprintf(format, args...)
	return &hinted
}

// AsError returns the Error in err's chain, with the message of the whole chain.
// An error that holds none becomes Canceled, Exhausted if the disk is full, or Internal.
func AsError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return &Error{Code: e.Code, Message: err.Error(), Hint: e.Hint, cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, Message: "canceled", cause: err}
	case errors.Is(err, syscall.ENOSPC):
		return &Error{Code: Exhausted, Message: err.Error(), Hint: "make room on the disk and try again; no half-written content was kept", cause: err}
	}
	return &Error{Code: Internal, Message: err.Error(), cause: err}
}

// CodeOf returns the code of err: "" for nil.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return ""
}
