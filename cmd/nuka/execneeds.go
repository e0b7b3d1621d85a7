package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/lack"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt"
)

// examineProgram looks for what a program needs before it starts: its interpreter, its libraries and their versions; and what the programs of parts need.
func (a *app) examineProgram(layout *foreign.Layout, words []string, parts []foreign.Part) (*elfdeps.Report, error) {
	root := layout.Root()
	at, err := foreign.Find(root, layout.Env["PATH"], words[0])
	if err != nil {
		return nil, protocol.Errorf(protocol.NotFound, "exec: %w", err).
			WithHint("a program of this machine is named with its path; a runtime that has it: --runtime python, node, java (nuka runtime list); or let nuka add the package that has it: nuka exec --auto")
	}
	report, err := foreign.NeedsOf(root, layout.Env, at, parts)
	if absent := (*foreign.AbsentError)(nil); errors.As(err, &absent) {
		return nil, protocol.Errorf(protocol.NotFound, "exec: %s: %w", words[0], err)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "exec: %s: %w", words[0], err)
	}
	return report, nil
}

// absentProgram handles an error of examineProgram. If a program is absent, it looks for the package that has it: that of a script's interpreter is named or, with auto, added. A word of the
// command line may be mistyped, so its package is looked for with auto only. nil: a package was added.
func (a *app) absentProgram(ctx context.Context, libs *libraries, failure error, have map[string]pir.PID, auto bool) error {
	var absent *foreign.AbsentError
	if !errors.As(failure, &absent) || !auto && !absent.Script {
		return failure
	}
	name := path.Base(absent.Program)
	if !slices.Contains([]string{name, "/bin/" + name, "/usr/bin/" + name, "/usr/sbin/" + name, "/sbin/" + name}, absent.Program) {
		return failure // no package of the distribution has programs elsewhere
	}
	owners, err := a.owners(ctx, libs, []lack.Lack{{Kind: lack.Program, Name: name}})
	if err != nil {
		a.say("which package has %s is not known: %s", printable(name), oneLine(err))
		return failure
	}
	owner := owners[0]
	if owner == "" {
		return failure
	}
	if !auto {
		e := *protocol.AsError(failure)
		e.Message += ": package " + owner
		e.Hint = "add the package, and remember it for the application: nuka exec --auto"
		return &e
	}
	before := len(libs.added)
	if err := libs.add(ctx, lack.With(owner), have); err != nil {
		return err
	}
	if len(libs.added) == before { // it is there, and the program is elsewhere in it
		return failure
	}
	a.sayPackages(libs.added[before:], " for "+printable(absent.Program))
	return nil
}

// addMissing adds the packages of missing libraries, and says which.
func (a *app) addMissing(ctx context.Context, libs *libraries, report *elfdeps.Report, have map[string]pir.PID) error {
	var names []string
	for _, m := range report.Missing {
		if owner := libs.owner(m.Soname); owner != "" && !m.Optional && !slices.Contains(names, owner) {
			names = append(names, owner)
		}
	}
	before := len(libs.added)
	if err := libs.add(ctx, names, have); err != nil {
		return err
	}
	a.sayPackages(libs.added[before:], " for missing libraries")
	return nil
}

// sayPackages says which packages an application gets.
func (a *app) sayPackages(pins []apt.Pin, why string) {
	var names []string
	for _, p := range pins {
		names = append(names, p.Name)
	}
	if len(names) > 0 {
		a.say("adding %s%s: %s", counted(len(names), "package"), why, shortList(names, 10))
	}
}

// lackingPlugins returns, for each plugin in an application's home that lacks libraries, a line with its name and the packages that have them. A program runs without
// a plugin, but perhaps not as its user means it.
func (a *app) lackingPlugins(report *elfdeps.Report, libs *libraries, home string) (lines []string, err error) {
	packages := map[string][]string{} // by plugin
	for _, m := range report.Missing {
		if m.Own || !strings.HasPrefix(m.By, home+"/") {
			continue
		}
		if libs == nil {
			if libs, err = a.libraries(); err != nil {
				return nil, err
			}
		}
		name := path.Base(m.By)
		if owner := libs.owner(m.Soname); owner != "" && !slices.Contains(packages[name], owner) {
			packages[name] = append(packages[name], owner)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		lines = append(lines, printable(name)+": "+strings.Join(packages[name], ","))
	}
	return lines, nil
}

// missing returns the error about what a program lacks, with the packages that have it.
func missing(program string, r *elfdeps.Report, libs *libraries) error {
	switch {
	case r.Foreign != "":
		return protocol.Errorf(protocol.Unsupported, "exec: %s is made for another kind of processor", r.Foreign)
	case len(r.TooOld) > 0:
		t := r.TooOld[0]
		have := ""
		if t.Newest != "" {
			have = ", and the runtime's goes up to " + t.Newest
		}
		return protocol.Errorf(protocol.Unsupported, "exec: %s needs %s of %s%s", t.By, t.Version, t.Soname, have).
			WithHint("it was made for a newer system: use a newer runtime, or an older release of the program")
	case r.Interpreter != "":
		return protocol.Errorf(protocol.NotFound, "exec: %s needs the loader %s, which the runtime does not have", program, r.Interpreter).
			WithHint("it was made for another system, such as one with musl")
	}
	var lines, packages []string
	for _, m := range r.Missing {
		if m.Optional {
			continue
		}
		from := "no package of the distribution has it"
		if elfdeps.Driver(m.Soname) {
			from = "it belongs to the driver of a graphics card, which this machine has to bring"
		} else if owner := libs.owner(m.Soname); owner != "" {
			from = "package " + owner
			if !slices.Contains(packages, owner) {
				packages = append(packages, owner)
			}
		}
		lines = append(lines, fmt.Sprintf("%s for %s: %s", m.Soname, m.By, from))
	}
	err := protocol.Errorf(protocol.NotFound, "exec: %s needs libraries that the runtime does not have:\n  %s", program, printable(strings.Join(lines, "\n  ")))
	if len(packages) == 0 {
		return err
	}
	return err.WithHint("add the packages, and remember them for the application: nuka exec --auto")
}
