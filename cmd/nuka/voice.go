package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"unicode"

	"github.com/mattn/go-isatty"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
)

// The terminal's voice:
//
// Stdout is data: the requested result, in a form that a program can read, and nothing else.
// Stderr is everything else. A line of nuka's own begins "nuka: ", has no capital and no full stop,
// and states what happened to which object.
// A hint may follow on a line of its own, "hint: ", and states what to do next.
// A mistake in a package file is shown as compilers do: path:line:col: message, the source line, and a hint.
// On a terminal progress is drawn and removed again; elsewhere it is one plain line for each step that starts and one for each that ends.
// The command strips control characters from texts from outside (names, logs, messages) before it shows them.
// With --json a command that lists something writes one JSON value to stdout; if the command fails, the value is {"error": {…}}.

// terminal holds the streams that a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	args     []string // the words of the command line
}

func stdTerminal() *terminal {
	return &terminal{in: os.Stdin, out: &output{File: os.Stdout}, err: os.Stderr}
}

// output is standard output. It records a failed write, so that a command whose data was lost does not succeed.
type output struct {
	*os.File
	mu     sync.Mutex
	failed error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.File.Write(b)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.failed = errors.Join(o.failed, err)
	}
	return n, err
}

// ReadFrom hides the ReadFrom of os.File, whose failures Write would not see.
func (o *output) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{o}, r)
}

// lost returns the first failure of a write to standard output.
func (t *terminal) lost() error {
	o, ok := t.out.(*output)
	if !ok {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// outFile returns standard output for a program that nuka runs: the file itself.
func (t *terminal) outFile() io.Writer {
	if o, ok := t.out.(*output); ok {
		return o.File
	}
	return t.out
}

// decorates reports whether standard output may carry decoration for people.
func (t *terminal) decorates() bool {
	o, ok := t.out.(*output)
	return ok && isatty.IsTerminal(o.Fd())
}

// draws reports whether progress can be drawn.
func (t *terminal) draws() bool {
	f, ok := t.err.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

func (t *terminal) say(format string, args ...any) {
	fmt.Fprintf(t.err, "nuka: %s\n", printable(fmt.Sprintf(format, args...)))
}

func (t *terminal) hint(text string) {
	if text != "" {
		fmt.Fprintf(t.err, "hint: %s\n", printable(text))
	}
}

func (t *terminal) json(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printable replaces control characters, which could change the state of the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// exitCodes maps each protocol code to an exit code.
var exitCodes = map[protocol.Code]int{
	protocol.Internal:    1,
	protocol.Invalid:     2,
	protocol.NotFound:    3,
	protocol.Denied:      4,
	protocol.Unavailable: 5,
	protocol.Offline:     5,
	protocol.Mismatch:    6,
	protocol.Failed:      7,
	protocol.Differs:     8,
	protocol.Damaged:     9,
	protocol.Exhausted:   10,
	protocol.Busy:        11,
	protocol.Unsupported: 12,
	protocol.Canceled:    130,
}

// exitError ends the command without a message and with a given exit code: that of the program that it ran.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// positionError is a failure with the place in a package file that describes the failed step.
type positionError struct {
	at  string // path:line:col
	err error
}

func (e *positionError) Error() string { return e.at + ": " + e.err.Error() }
func (e *positionError) Unwrap() error { return e.err }

// fail prints an error and returns the exit code.
func (t *terminal) fail(err error, asJSON bool) int {
	if asJSON {
		return t.failJSON(err)
	}
	var exit exitError
	var diags *nu.Error
	var at *positionError
	switch {
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &diags):
		for _, d := range diags.Diags {
			fmt.Fprintln(t.err, printable(strings.TrimRight(d.String(), "\n")))
		}
		if errors.Is(err, context.Canceled) {
			return exitCodes[protocol.Canceled]
		}
		return exitCodes[protocol.Invalid]
	}
	e := protocol.AsError(err)
	switch {
	case errors.Is(err, context.Canceled):
		t.say("canceled")
	case errors.As(err, &at):
		fmt.Fprintf(t.err, "%s: %s\n", at.at, printable(protocol.AsError(at.err).Message))
	default:
		t.say("%s", e.Message)
	}
	t.hint(e.Hint)
	if code, ok := exitCodes[e.Code]; ok {
		return code
	}
	return 1
}

// A failure is an error as --json writes it.
type failure struct {
	Code    protocol.Code `json:"code"`
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`
	At      string        `json:"at,omitempty"`       // path:line:col in a package file
	Diags   []nu.Diag     `json:"problems,omitempty"` // all mistakes in package files
}

// failJSON writes an error as {"error": …} to standard output and returns the exit code.
func (t *terminal) failJSON(err error) int {
	var exit exitError
	if errors.As(err, &exit) {
		return int(exit) // the program has written its own messages
	}
	e := protocol.AsError(err)
	f := failure{Code: e.Code, Message: e.Message, Hint: e.Hint}
	var diags *nu.Error
	var at *positionError
	switch {
	case errors.As(err, &diags) && len(diags.Diags) > 0:
		f.Code, f.Diags = protocol.Invalid, diags.Diags
		if errors.Is(err, context.Canceled) {
			f.Code = protocol.Canceled
		}
		d := diags.Diags[0]
		f.Message, f.Hint = d.Msg, d.Hint
		if d.File != "" {
			f.At = fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Col)
		}
	case errors.As(err, &at):
		f.At, f.Message = at.at, protocol.AsError(at.err).Message
	}
	if err := t.json(map[string]failure{"error": f}); err != nil {
		t.say("%v", err)
	}
	if code, ok := exitCodes[f.Code]; ok {
		return code
	}
	return 1
}

// interruptible returns a context that the first Ctrl-C or SIGTERM ends; the second ends the process.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, terminate)
}
