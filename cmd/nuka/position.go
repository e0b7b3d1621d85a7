package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// picture is the source line and the carets of a diagnostic, see nu.Diag.
var picture = regexp.MustCompile(`^ \d+ \| (.*)\n +\| (.*)$`)

// positioned adds where the package file describes what failed. Inside a build closure that is a place in its text, which
// a build names after the package; otherwise it is the call that described it.
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

// inClosure finds the place in the package file that the message of a failed build is about, and the message without it.
func inClosure(p *nu.Package, message string) (at, rest string) {
	name := regexp.QuoteMeta(p.Name)
	place := regexp.MustCompile(`^(build [^:\n]+: )` + name + `((?: > [^:\n]+)*):(\d+):(\d+): `)
	m := place.FindStringSubmatch(message)
	if m == nil {
		return "", ""
	}
	begin, ok := p.Texts[m[2]]
	if !ok {
		return "", ""
	}
	line, _ := strconv.Atoi(m[3])
	col, _ := strconv.Atoi(m[4])
	if line == 1 {
		col += begin.Col - 1
	}
	line += begin.Line - 1
	lines := strings.SplitN(message[len(m[0]):], "\n", 4)
	if len(lines) >= 3 {
		if pic := picture.FindStringSubmatch(lines[1] + "\n" + lines[2]); pic != nil {
			number := strconv.Itoa(line)
			lines[1] = fmt.Sprintf(" %s | %s", number, pic[1])
			lines[2] = fmt.Sprintf(" %s | %s", strings.Repeat(" ", len(number)), pic[2])
		}
	}
	return fmt.Sprintf("%s:%d:%d", begin.File, line, col), m[1] + strings.Join(lines, "\n")
}
