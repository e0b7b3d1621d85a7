package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// A SetupError is a failure before the program ran.
type SetupError struct {
	Step   string        `json:"step"`             // what failed, as "bind" or "mount proc"
	Object string        `json:"object,omitempty"` // on what, mostly a path; may be empty
	Errno  syscall.Errno `json:"errno,omitempty"`  // the kernel's answer, or 0
	Detail string        `json:"detail,omitempty"` // more about the cause; may be empty
	Hint   string        `json:"hint,omitempty"`   // what to do; may be empty

	cause error
}

func (e *SetupError) Error() string {
	var b strings.Builder
	b.WriteString("sandbox: " + e.Step)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Errno != 0 {
		b.WriteString(": " + e.Errno.Error())
	}
	return b.String()
}

// Unwrap returns the kernel's answer, so that errors.Is finds it, or the error of this process, or nil.
func (e *SetupError) Unwrap() error {
	if e.Errno == 0 {
		return e.cause
	}
	return e.Errno
}

// StepProgram is the Step of a SetupError whose sandbox is complete, but whose program cannot be started.
// A shell reports ENOENT as 127 and all else as 126.
const StepProgram = "start the program"

// A Cause is a setting of the system that forbids name spaces, and what opens them.
type Cause struct {
	What string `json:"what"`
	Fix  string `json:"fix"`
}

// A ForbiddenError reports that this system does not let the caller create the name spaces of a sandbox.
type ForbiddenError struct {
	Err     error   // the kernel's answer
	Causes  []Cause // what forbids it, as far as it is known; the first is the likeliest
	Profile string  // an AppArmor profile that allows the caller to create name spaces, if AppArmor forbids it
}

func (e *ForbiddenError) Error() string {
	if len(e.Causes) == 0 {
		return fmt.Sprintf("sandbox: this system allows no user name spaces: %v", e.Err)
	}
	return fmt.Sprintf("sandbox: this system allows no user name spaces (%s): %v", e.Causes[0].What, e.Err)
}

// Unwrap returns the kernel's answer.
func (e *ForbiddenError) Unwrap() error { return e.Err }

// Hint says what opens user name spaces, with the profile if there is one.
func (e *ForbiddenError) Hint() string {
	var lines []string
	for _, c := range e.Causes {
		lines = append(lines, c.Fix)
	}
	if e.Profile != "" {
		lines = append(lines, "profile:\n"+e.Profile)
	}
	return strings.Join(lines, "\n")
}

// Hint says what to do about an error of Start or Run; "" if nothing is known.
func Hint(err error) string {
	var forbidden *ForbiddenError
	var setup *SetupError
	switch {
	case errors.As(err, &forbidden):
		return forbidden.Hint()
	case errors.As(err, &setup):
		return setup.Hint
	}
	return ""
}

// NoProgram reports whether err says that the sandbox is complete and has no such program.
func NoProgram(err error) bool {
	var setup *SetupError
	return errors.As(err, &setup) && setup.Step == StepProgram && errors.Is(err, fs.ErrNotExist)
}
