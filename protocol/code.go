package protocol

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// A Code is the reason of a failure, for programs.
type Code string

// The closed list of codes.
const (
	Invalid     Code = "invalid"     // the request, or a package in it, is wrong; the same call fails again
	NotFound    Code = "not-found"   // no such package, content, path or log
	Denied      Code = "denied"      // the caller lacks the right
	Unavailable Code = "unavailable" // no source answers; a later call may succeed
	Offline     Code = "offline"     // the call needs the network, which it may not use
	Mismatch    Code = "mismatch"    // fetched bytes do not have the expected hash
	Failed      Code = "failed"      // a build ran and failed
	Differs     Code = "differs"     // a rebuild gave different content
	Damaged     Code = "damaged"     // stored content does not match its name
	Exhausted   Code = "exhausted"   // a limit was reached, or the disk is full
	Busy        Code = "busy"        // another process holds a resource that the call needs
	Canceled    Code = "canceled"    // the caller cancelled the call
	Unsupported Code = "unsupported" // this platform or version cannot do it
	Internal    Code = "internal"    // a bug in nuka
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

// Unwrap returns the error that Errorf wrapped or that AsError received. For an error received over the wire it returns nil.
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
// If the chain has none, it returns one with the code Canceled, Exhausted if the disk is full, or Internal.
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

// CodeOf returns the code of err, or "" if err is nil.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return ""
}
