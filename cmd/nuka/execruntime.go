package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/apt"
)

// maxRounds bounds how often exec adds packages, whose libraries may need others.
const maxRounds = 12

// prepareForeign makes the runtime present and returns what the program will see. It adds the packages of --add, and with --auto others until nothing is missing.
func (a *app) prepareForeign(ctx context.Context, client *control.Client, box *foreign.Box, results []*nu.Result, words []string, o *execOptions, preparing *preparation) (*foreign.Layout, error) {
	env, err := foreignEnv(results)
	if err != nil {
		return nil, err
	}
	added, err := a.readAdded(box.App)
	if err != nil {
		return nil, err
	}
	var libs *libraries
	if len(o.add) > 0 {
		if libs, err = a.libraries(); err != nil {
			return nil, err
		}
		libs.added = added
		if err := libs.add(ctx, o.add, env.Packages); err != nil {
			return nil, err
		}
		a.sayPackages(libs.added[len(added):], "")
		added = libs.added
	}
	for round := 0; ; round++ {
		parts, err := a.composed(ctx, client, box, env, results, added, o, preparing)
		if err != nil {
			return nil, err
		}
		parts = append(parts, o.parts...)
		layout, err := box.Layout()
		if err != nil {
			return nil, err
		}
		report, err := a.examineProgram(layout, words, parts)
		if err != nil {
			if libs, err = a.absent(ctx, libs, added, err, env.Packages, o.auto && round < maxRounds); err != nil {
				return nil, err
			}
			added = libs.added
			continue
		}
		if report.OK() {
			if o.auto {
				if o.lacking, err = a.lackingPlugins(report, libs, box.InsideHome()); err != nil {
					return nil, err
				}
			}
			if libs != nil {
				err = libs.write(box.App)
			}
			return layout, err
		}
		if libs == nil {
			if libs, err = a.libraries(); err != nil {
				return nil, err
			}
			libs.added = added
		}
		if !o.auto || round == maxRounds || report.Interpreter != "" || report.Foreign != "" || len(report.TooOld) > 0 {
			return nil, missing(words[0], report, libs)
		}
		before := len(libs.added)
		if err := a.addMissing(ctx, libs, report, env.Packages); err != nil {
			return nil, err
		}
		if added = libs.added; len(added) == before {
			return nil, missing(words[0], report, libs)
		}
	}
}

// absent handles an error of examineProgram as absentProgram does, with the libraries of the application.
func (a *app) absent(ctx context.Context, libs *libraries, added []apt.Pin, failure error, have map[string]pir.PID, auto bool) (*libraries, error) {
	if absent := (*foreign.AbsentError)(nil); !errors.As(failure, &absent) {
		return nil, failure
	}
	if libs == nil {
		var err error
		if libs, err = a.libraries(); err != nil {
			return nil, err
		}
		libs.added = added
	}
	return libs, a.absentProgram(ctx, libs, failure, have, auto)
}

// composed makes the runtime present with further packages, and sets the folder of the box. With --auto it returns the folders whose programs are to be
// examined: those of the packages of --with, and the private home.
func (a *app) composed(ctx context.Context, client *control.Client, box *foreign.Box, env *pir.PIR, results []*nu.Result, added []apt.Pin, o *execOptions, preparing *preparation) ([]foreign.Part, error) {
	whole := *env
	whole.Packages = maps.Clone(env.Packages)
	all := slices.Clone(results)
	extra := &nu.Result{}
	for _, pin := range added {
		p, err := describePin(pin, debianArch())
		if err != nil {
			return nil, err
		}
		if _, there := whole.Packages[pin.Name]; !there {
			whole.Packages[pin.Name] = p.PID
			extra.Packages = append(extra.Packages, p)
		}
	}
	request, err := environment(&whole, append(all, extra))
	if err != nil {
		return nil, err
	}
	wanted := []*nu.Result{request}
	if o.auto {
		wanted = append(wanted, results[1:]...)
	}
	state, err := a.shown(ctx, client, wanted, &o.build)
	if err != nil {
		return nil, err
	}
	if preparing != nil {
		preparing.shown, preparing.how = request.Root, *state
	}
	box.Tree = filepath.Join(state.Path, request.Root.String())
	if !o.auto {
		return nil, nil
	}
	parts := []foreign.Part{{Dir: box.Home, Inside: box.InsideHome(), Own: true}}
	for _, r := range wanted[1:] {
		dir := filepath.Join(state.Path, r.Root.String())
		inside := "/"
		if _, err := os.Stat(filepath.Join(dir, "DEBIAN")); err != nil {
			inside = "/usr"
		}
		parts = append(parts, foreign.Part{Dir: dir, Inside: inside})
	}
	return parts, nil
}

// shown makes packages visible as folders. It asks the node first and realizes only if the node refuses, as prepare does for nuka run: a runtime that was used
// before is there, and a request to realize names each of its packages.
func (a *app) shown(ctx context.Context, client *control.Client, wanted []*nu.Result, o *buildOptions) (*protocol.MountState, error) {
	var args protocol.MountArgs
	for _, r := range wanted {
		args.Packages = append(args.Packages, r.Root)
	}
	var state protocol.MountState
	err := client.Call(ctx, protocol.OpMount, args, &state, nil)
	if err == nil || protocol.CodeOf(err) == protocol.Unsupported {
		return &state, err
	}
	for _, r := range wanted {
		if _, err := a.realize(ctx, client, r, o); err != nil {
			return nil, err
		}
	}
	return &state, client.Call(ctx, protocol.OpMount, args, &state, nil)
}

// foreignEnv returns the environment of a runtime and further packages: the packages of those that are runtimes themselves, and the others whole.
func foreignEnv(results []*nu.Result) (*pir.PIR, error) {
	first, err := rootPIR(results[0])
	if err != nil {
		return nil, err
	}
	if first.Layout != pir.LayoutFHS1 {
		return nil, noRuntime(results[0].Name)
	}
	for _, r := range results[1:] {
		p, err := rootPIR(r)
		if err != nil {
			return nil, err
		}
		added := map[string]pir.PID{runtimeName(r): r.Root}
		if p.Layout == pir.LayoutFHS1 {
			added = p.Packages
		}
		for name, id := range added {
			if have, there := first.Packages[name]; there && have != id {
				return nil, protocol.Errorf(protocol.Invalid, "exec: %s brings another %s than %s", r.Name, name, results[0].Name).
					WithHint("use packages that were made for the same runtime, or rename one")
			}
			first.Packages[name] = id
			if m, there := p.Merge[name]; there {
				if first.Merge == nil {
					first.Merge = map[string]pir.Merge{}
				}
				first.Merge[name] = m
			}
		}
	}
	return first, nil
}

// runtimeName returns the name that a package has in a runtime: its own, or that of the release that it is fetched from.
func runtimeName(r *nu.Result) string {
	if r.Name != "" {
		return r.Name
	}
	for _, p := range r.Packages {
		if p.PID != r.Root || len(p.Origins) == 0 {
			continue
		}
		if o, err := source.ParseOrigin(p.Origins[0]); err == nil && o.Name != "" {
			return foreign.AppName(o.Name)
		}
	}
	return r.Root.Short()
}
