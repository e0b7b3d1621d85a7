package nu

import (
	"fmt"
	"strings"
)

// A Diag is one fault in a package file, with its position.
// File is empty if the fault is not in a file, such as an unknown flag.
type Diag struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // from 1
	Col    int    `json:"col"`  // from 1, in characters
	Len    int    `json:"len"`  // in characters
	Source string `json:"source"`
	Msg    string `json:"msg"`
	Label  string `json:"label"`
	Hint   string `json:"hint"`
	// Calls are the calls that led to the fault, innermost first, each on another line than the one before.
	// Only errors of builds have them.
	Calls []Position `json:"calls,omitempty"`
}

// CalledFrom is the prefix of the lines in a diagnostic that name the calls.
const CalledFrom = "called from "

// String formats the diagnostic for display: path:line:col: message, the source line with a caret, the calls, the hint.
func (d Diag) String() string {
	var b strings.Builder
	if d.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", d.File, d.Line, d.Col)
	}
	b.WriteString(d.Msg)
	if d.File != "" && d.Source != "" {
		number := fmt.Sprint(d.Line)
		pad := strings.Repeat(" ", len(number))
		source, under := d.picture()
		fmt.Fprintf(&b, "\n %s | %s\n %s | %s", number, source, pad, under)
		if d.Label != "" && d.Label != "here" && d.Label != d.Msg {
			b.WriteString(" " + d.Label)
		}
	}
	for _, call := range d.Calls {
		fmt.Fprintf(&b, "\n%s%s:%d:%d", CalledFrom, call.File, call.Line, call.Col)
	}
	if d.Hint != "" {
		b.WriteString("\nhint: " + d.Hint)
	}
	return b.String()
}

// maxWidth bounds the part of a long source line that is shown.
const maxWidth = 120

// picture returns the source line, cut around the position if it is long, and the line of carets below it.
func (d Diag) picture() (source, under string) {
	line := []rune(d.Source)
	at := min(max(d.Col-1, 0), len(line))
	n := max(1, min(d.Len, len(line)-at))
	if len(line) > maxWidth {
		from := max(0, min(at-maxWidth/2, len(line)-maxWidth))
		line, at = line[from:min(from+maxWidth, len(line))], at-from
		n = max(1, min(n, len(line)-at))
		if from > 0 {
			line = append([]rune("…"), line...)
			at++
		}
	}
	// Tabs are kept below tabs, so that the caret stands under its character.
	space := make([]rune, at)
	for i := range space {
		space[i] = ' '
		if line[i] == '\t' {
			space[i] = '\t'
		}
	}
	return string(line), string(space) + strings.Repeat("^", n)
}

// An Error holds the faults in package files, in the order of the text.
type Error struct {
	Diags []Diag
	err   error
}

// Error formats all diagnostics, see Diag.String.
func (e *Error) Error() string {
	texts := make([]string, len(e.Diags))
	for i, d := range e.Diags {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns the cause that ended the evaluation, such as context.DeadlineExceeded; nil for faults in the text.
func (e *Error) Unwrap() error { return e.err }

// refusal is the answer of a host operation that failed.
type refusal struct {
	Msg   string `json:"msg"`
	Help  string `json:"help,omitempty"`
	Field string `json:"field,omitempty"` // the part of the request that is wrong, such as "env.CC"

	Absent bool `json:"-"` // a file is not there
}

func (r *refusal) Error() string { return r.Msg }

func refuse(help, format string, args ...any) *refusal {
	return &refusal{Msg: fmt.Sprintf(format, args...), Help: help}
}
