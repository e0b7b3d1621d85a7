package main

import (
	"fmt"
	"strings"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/protocol"
)

// examineProgram looks for what a program needs before it starts: its interpreter, its libraries and their versions. It returns an error that names what is
// missing and the packages that have it.
func (a *app) examineProgram(layout *foreign.Layout, words []string, o *execOptions) error {
	root := layout.Root()
	at, err := foreign.Find(root, layout.Env["PATH"], words[0])
	if err != nil {
		return protocol.Errorf(protocol.NotFound, "exec: %w", err).WithHint("a program of this machine is named with its path; other runtimes: --runtime python, node, java")
	}
	report, err := foreign.Needs(root, layout.Env["PATH"], at)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "exec: %s: %w", words[0], err)
	}
	if report.OK() {
		return nil
	}
	return missing(words[0], report)
}

// missing returns the error about what a program lacks.
func missing(program string, r *elfdeps.Report) error {
	switch {
	case r.Foreign != "":
		return protocol.Errorf(protocol.Unsupported, "exec: %s is made for another kind of processor", r.Foreign)
	case len(r.TooOld) > 0:
		t := r.TooOld[0]
		have := ""
		if t.Newest != "" {
			have = ", and the runtime's goes up to " + t.Newest
		}
		return protocol.Errorf(protocol.Unsupported, "exec: %s needs %s of %s%s", program, t.Version, t.Soname, have).
			WithHint("it was made for a newer system: use a newer runtime, or an older release of the program")
	case r.Interpreter != "":
		return protocol.Errorf(protocol.NotFound, "exec: %s needs the loader %s, which the runtime does not have", program, r.Interpreter)
	}
	var lines []string
	for _, m := range r.Missing {
		if !m.Optional {
			lines = append(lines, fmt.Sprintf("%s (for %s)", m.Soname, m.By))
		}
	}
	return protocol.Errorf(protocol.NotFound, "exec: %s needs libraries that the runtime does not have: %s", program, strings.Join(lines, ", "))
}
