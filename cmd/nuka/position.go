package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// picture matches the source line and the carets of a diagnostic, see nu.Diag.
var picture = lazyregexp.New(`^ \d+ \| (.*)\n +\| (.*)$`)

// positioned adds the place in the package file that describes the failed step. If a build closure failed, that is the place in the closure's
// text, which a build names after the package; else it is the call that described the step.
func positioned(err error, failed pir.PID, result *nu.Result) error {
	i := slices.IndexFunc(result.Packages, func(p nu.Package) bool { return p.PID == failed })
	if failed.IsZero() || i < 0 || result.Packages[i].At.File == "" {
		return err
	}
	p := &result.Packages[i]
	e := *protocol.AsError(err)
	if at, message := inClosure(p, e.Message); at != "" {
		e.Message = message
		return &positionError{at: at, err: &e}
	}
	at := fmt.Sprintf("%s:%d:%d", p.At.File, p.At.Line, p.At.Col)
	first, rest, more := strings.Cut(e.Message, "\n")
	e.Message = strings.TrimPrefix(p.At.Diag(first, "").String(), at+": ")
	if more {
		e.Message += "\n" + rest
	}
	return &positionError{at: at, err: &e}
}

// inClosure returns the place in the package file that the message of a failed build names, and the message without that place.
// It also translates the places of the calls in the message's backtrace.
func inClosure(p *nu.Package, message string) (at, rest string) {
	place := regexp.QuoteMeta(p.Name) + `((?: > [^:\n]+)*):(\d+):(\d+)`
	m := regexp.MustCompile(`^(build [^:\n]+: )` + place + `: `).FindStringSubmatch(message)
	if m == nil {
		return "", ""
	}
	file, line, col := inFile(p, m[2], m[3], m[4])
	if file == "" {
		return "", ""
	}
	lines := strings.Split(message[len(m[0]):], "\n")
	next := 1
	if len(lines) >= 3 {
		if pic := picture().FindStringSubmatch(lines[1] + "\n" + lines[2]); pic != nil {
			number := strconv.Itoa(line)
			lines[1] = fmt.Sprintf(" %s | %s", number, pic[1])
			lines[2] = fmt.Sprintf(" %s | %s", strings.Repeat(" ", len(number)), pic[2])
			next = 3
		}
	}
	call := regexp.MustCompile(`^` + nu.CalledFrom + place + `$`)
	for ; next < len(lines); next++ {
		c := call.FindStringSubmatch(lines[next])
		if c == nil {
			break
		}
		if file, line, col := inFile(p, c[1], c[2], c[3]); file != "" {
			lines[next] = fmt.Sprintf("%s%s:%d:%d", nu.CalledFrom, file, line, col)
		}
	}
	return fmt.Sprintf("%s:%d:%d", file, line, col), m[1] + strings.Join(lines, "\n")
}

// inFile translates a line and column of a build closure's text to the place in the package file, see nu.Package.Texts.
// If the text is not known, file is "".
func inFile(p *nu.Package, text, atLine, atCol string) (file string, line, col int) {
	begin, ok := p.Texts[text]
	if !ok {
		return "", 0, 0
	}
	line, _ = strconv.Atoi(atLine)
	col, _ = strconv.Atoi(atCol)
	if line == 1 {
		col += begin.Col - 1
	}
	return begin.File, line + begin.Line - 1, col
}
