package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/lack"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt"
)

// A pinner adds Debian packages to a recording: those that its package asks for, that a failed build lacks, and that the output needs.
type pinner struct {
	a    *app
	libs *libraries // nil until it is needed
	to   *ecosystem.Recording
}

func (p *pinner) libraries() (*libraries, error) {
	var err error
	if p.libs == nil {
		p.libs, err = p.a.libraries()
	}
	return p.libs, err
}

// add pins packages, and what they need beyond the runtime of an evaluated package. It returns the names of the new pins.
func (p *pinner) add(ctx context.Context, names []string, result *nu.Result, build bool) ([]string, error) {
	libs, err := p.libraries()
	if err != nil {
		return nil, err
	}
	have, err := runtimePackages(result)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]ecosystem.SystemPackage{p.to.System, p.to.BuildSystem} {
		for _, one := range list {
			have[one.Name] = pir.PID{}
		}
	}
	libs.added = nil
	if err := libs.add(ctx, names, have); err != nil {
		return nil, err
	}
	list := &p.to.System
	if build {
		list = &p.to.BuildSystem
	}
	var added []string
	for _, pin := range libs.added {
		*list = append(*list, systemPackage(pin))
		added = append(added, pin.Name)
	}
	slices.SortFunc(*list, func(a, b ecosystem.SystemPackage) int { return strings.Compare(a.Name, b.Name) })
	return added, nil
}

func systemPackage(p apt.Pin) ecosystem.SystemPackage {
	return ecosystem.SystemPackage{Name: p.Name, Version: p.Version, Arch: p.Arch, Hash: pir.NewHash(pir.SHA256, p.SHA256[:]), Path: p.Path}
}

// runtimePackages returns the packages of the runtime of a native package, by their names.
func runtimePackages(result *nu.Result) (map[string]pir.PID, error) {
	root, err := rootPIR(result)
	if err != nil {
		return nil, err
	}
	out := map[string]pir.PID{}
	for _, p := range result.Packages {
		if p.PID != root.Runtime {
			continue
		}
		env, err := pir.Decode(p.Canonical)
		if err != nil {
			return nil, err
		}
		for name, id := range env.Packages {
			out[name] = id
		}
	}
	return out, nil
}

// recordPinned records a package, with the Debian packages that it asks for and that the recording before has, in their newest versions. With --auto it adds those that
// the build lacks and tries again.
func (a *app) recordPinned(ctx context.Context, client *control.Client, pkg string, args []string, before *ecosystem.Recording, o *recordOptions) (*ecosystem.Recording, error) {
	p := &pinner{a: a, to: &ecosystem.Recording{}}
	for round := 0; ; round++ {
		result, _, err := a.evalOpen(ctx, pkg, args, p.to)
		if err != nil {
			return nil, err
		}
		if round == 0 && before != nil && len(before.System)+len(before.BuildSystem) > 0 {
			if err := p.again(ctx, before, result); err != nil {
				return nil, err
			}
			continue
		}
		if len(result.Unpinned) > 0 && round < maxRounds {
			if _, err := p.add(ctx, result.Unpinned, result, true); err != nil {
				return nil, err
			}
			continue
		}
		recorded, lacks, err := a.record(ctx, client, result, o)
		if err != nil {
			if len(lacks) == 0 || ctx.Err() != nil {
				return nil, err
			}
			if err := p.lacking(ctx, lacks, result, err, o.auto && round < maxRounds); err != nil {
				return nil, err
			}
			continue
		}
		for _, text := range recorded.LeftOut {
			a.say("%s", printable(text))
		}
		for _, text := range recorded.Refused {
			a.say("refused: %s", printable(text))
		}
		for _, problem := range recorded.Problems { // the build went well in spite of them
			if o.build.verbose && !slices.Contains(recorded.Refused, problem) {
				a.say("%s", printable(problem))
			}
		}
		after, err := ecosystem.Decode([]byte(recorded.Text))
		if err != nil {
			return nil, err
		}
		after.System, after.BuildSystem = p.to.System, p.to.BuildSystem
		return after, nil
	}
}

// again pins the packages of a recording in their newest versions. Those that the runtime has by now are left out.
func (p *pinner) again(ctx context.Context, before *ecosystem.Recording, result *nu.Result) error {
	for _, list := range []struct {
		packages []ecosystem.SystemPackage
		build    bool
	}{{before.System, false}, {before.BuildSystem, true}} {
		var names []string
		for _, one := range list.packages {
			names = append(names, one.Name)
		}
		if _, err := p.add(ctx, names, result, list.build); err != nil {
			return fmt.Errorf("the Debian packages of the recording: %w", err)
		}
	}
	return nil
}

// lacking finds the packages of what a failed build lacks. If auto is true it adds them; otherwise, and if it can add nothing, it returns an error that names them.
func (p *pinner) lacking(ctx context.Context, lacks []lack.Lack, result *nu.Result, failure error, auto bool) error {
	libs, err := p.libraries()
	var owners []string
	if err == nil {
		owners, err = p.a.owners(ctx, libs, lacks)
	}
	if err != nil {
		p.a.say("which packages have what the build lacks is not known: %s", oneLine(err))
		owners = make([]string, len(lacks))
	}
	var names, lines []string
	for i, l := range lacks {
		owner := owners[i]
		switch {
		case owner != "":
			for _, name := range lack.With(owner) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			lines = append(lines, fmt.Sprintf("%s: package %s", l, owner))
		case !l.Guess:
			lines = append(lines, fmt.Sprintf("%s: no package of the distribution is known to have it", l))
		}
	}
	if len(lines) == 0 {
		return failure
	}
	if auto && len(names) > 0 {
		added, err := p.add(ctx, names, result, true)
		if err != nil {
			return err
		}
		if len(added) > 0 {
			p.a.say("the build lacks: %s", strings.Join(lines, "; "))
			p.a.say("adding %s for the build: %s", counted(len(added), "package"), shortList(added, 10))
			return nil
		}
		lines = append(lines, "the runtime has these packages already")
	}
	e := *protocol.AsError(failure)
	first, _, _ := strings.Cut(e.Message, "\n")
	e.Message = fmt.Sprintf("%s\n  the build lacks:\n  %s", first, printable(strings.Join(lines, "\n  ")))
	hints := strings.Split(e.Hint, "\n")
	e.Hint = hints[len(hints)-1]
	if len(names) > 0 {
		e.Hint = fmt.Sprintf("add to the package: build_system: [%s]; or let nuka pin them in the recording: nuka lock --auto\n%s", strings.Join(names, " "), e.Hint)
	}
	return &e
}

// owners returns the packages that have what is lacking; "" is none.
func (a *app) owners(ctx context.Context, libs *libraries, lacks []lack.Lack) ([]string, error) {
	r := libs.lock.Request()
	suites, err := a.client().DebianSuites(r.Suites)
	if err != nil {
		return nil, err
	}
	var sought []apt.Sought
	for _, l := range lacks {
		sought = append(sought, l.Files(elfdeps.Multiarch(foreign.Machine())))
	}
	return a.aptLoader().Find(ctx, suites, r.Components, libs.lock.Arch, r.Prefer, sought)
}

// buildScanned builds an evaluated package, and looks for the libraries that its files need. If some are missing, it adds their packages to the recording at a path,
// and reports that the package is to be built again.
func (a *app) buildScanned(ctx context.Context, client *control.Client, result *nu.Result, at string, mayAdd bool, o *recordOptions) (*protocol.Realized, bool, error) {
	kept, err := recordingIn(result, at)
	if err != nil {
		return nil, false, err
	}
	build := o.build // with a root that keeps the files of the recording
	build.roots = []protocol.Root{{Name: recordingRoot(at), PID: kept}}
	realized, err := a.realize(ctx, client, result, &build)
	if err != nil {
		return nil, false, err
	}
	report, err := a.scan(ctx, client, result)
	if err != nil {
		return nil, false, err
	}
	recording, err := readRecording(at)
	if err != nil || recording == nil {
		return realized, false, err
	}
	p := &pinner{a: a, to: recording}
	if len(report.Missing) > 0 || !report.OK() {
		if _, err := p.libraries(); err != nil {
			return nil, false, err
		}
	}
	var names, optional []string
	for _, m := range report.Missing {
		switch owner := p.libs.owner(m.Soname); {
		case m.Optional || elfdeps.Driver(m.Soname):
			optional = append(optional, m.Soname)
		case owner == "":
			return nil, false, unknownLibraries(result.Name, report, p.libs)
		case !slices.Contains(names, owner):
			names = append(names, owner)
		}
	}
	if len(optional) > 0 && len(names) == 0 {
		a.say("%s can do without these libraries, so nothing brings them: %s", result.Name, shortList(optional, 10))
	}
	if len(names) == 0 {
		if !onlyDrivers(report) {
			return nil, false, unknownLibraries(result.Name, report, p.libs)
		}
		return realized, false, nil
	}
	added, err := p.add(ctx, names, result, false)
	if err != nil {
		return nil, false, err
	}
	if len(added) == 0 || !mayAdd {
		return nil, false, unknownLibraries(result.Name, report, p.libs)
	}
	a.say("adding %s to %s for missing libraries: %s", counted(len(added), "package"), shorter(at), shortList(added, 10))
	text, err := recording.Encode()
	if err != nil {
		return nil, false, err
	}
	return realized, true, writeShared(at, nil, text)
}

// onlyDrivers reports whether a report lacks nothing but drivers, which the machine brings, and what is optional.
func onlyDrivers(r *elfdeps.Report) bool {
	left := *r
	left.Missing = slices.DeleteFunc(slices.Clone(r.Missing), func(m elfdeps.Missing) bool { return elfdeps.Driver(m.Soname) })
	return left.OK()
}

// unknownLibraries returns the error about what nobody can add.
func unknownLibraries(name string, r *elfdeps.Report, libs *libraries) error {
	err := protocol.AsError(missing(name, r, libs))
	err.Message = strings.TrimPrefix(err.Message, "exec: ")
	err.Hint = "leave the file out if the package can do without it, or name a Debian package that has the library: system: […]"
	return err
}

// scan looks for the libraries that the files of a built package need, in the package and its runtime, as its programs would see them.
func (a *app) scan(ctx context.Context, client *control.Client, result *nu.Result) (*elfdeps.Report, error) {
	root, err := rootPIR(result)
	if err != nil {
		return nil, err
	}
	if root.Runtime.IsZero() { // it needs no libraries of a runtime
		return &elfdeps.Report{}, nil
	}
	all := []pir.PID{result.Root, root.Runtime}
	for _, id := range root.Packages {
		all = append(all, id)
	}
	var state protocol.MountState
	if err := client.Call(ctx, protocol.OpMount, protocol.MountArgs{Packages: all}, &state, nil); err != nil {
		return nil, err
	}
	box := &foreign.Box{Tree: filepath.Join(state.Path, root.Runtime.String())}
	tree, err := box.RuntimeRoot()
	if err != nil {
		return nil, err
	}
	inside := func(id pir.PID) string { return nu.StoreDir + "/" + id.String() }
	for _, id := range all {
		if id != root.Runtime {
			tree[inside(id)] = filepath.Join(state.Path, id.String())
		}
	}
	return foreign.NeedsOfParts(tree, []foreign.Part{{Dir: tree[inside(result.Root)], Inside: inside(result.Root), Own: true}})
}
