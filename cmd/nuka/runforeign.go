package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// A nativeProgram is a program of a native package, with what the node tells of the package.
type nativeProgram struct {
	*protocol.Program
	id        pir.PID
	inside    string   // the path in the package
	described *pir.PIR // of the package
	folder    string   // that shows the packages
}

// nativeProgram asks the node about a native program, and has it show the program's packages.
func (a *app) nativeProgram(ctx context.Context, trees *nodeTrees, program *protocol.Program) (*nativeProgram, error) {
	id, rest, err := storePath(program.Command)
	if err != nil {
		return nil, err
	}
	var d protocol.Description
	var state protocol.MountState
	var all []pir.PID
	for _, m := range program.Mounts {
		if one, _, err := storePath(m.Path); err == nil {
			all = append(all, one)
		}
	}
	err = trees.call(func(client *control.Client) error {
		if err := client.Call(ctx, protocol.OpDescribe, protocol.PathArgs{ID: id.String()}, &d, nil); err != nil {
			return err
		}
		return client.Call(ctx, protocol.OpMount, protocol.MountArgs{Packages: all}, &state, nil)
	})
	if err != nil {
		return nil, err
	}
	described, err := pir.Decode([]byte(d.PIR))
	if err != nil {
		return nil, protocol.Errorf(protocol.Internal, "the description of %s: %w", id.Short(), err)
	}
	return &nativeProgram{program, id, rest, described, state.Path}, nil
}

// runForeign runs a program of a native package in a sandbox: in its runtime, with the permissions of its package that the user agreed to, and with the current
// folder, as nuka run gives it to other programs.
func (a *app) runForeign(ctx context.Context, n *nativeProgram, runtime pir.PID, args []string, o *runOptions) error {
	launcher, err := sandbox.FindLauncher()
	if err != nil {
		return err
	}
	name := o.app
	if name == "" {
		if name, err = appOf(o.asked, n.described.Name); err != nil {
			return err
		}
	}
	box, err := a.box([]string{"program"}, &execOptions{app: name})
	if err != nil {
		return err
	}
	box.Tree = filepath.Join(n.folder, runtime.String())
	if n.id == runtime { // it has its packages, and its program is where it looks for it
		own := *n.Program
		own.Command, own.Mounts, own.Path = "/"+n.inside, nil, nil
		n.Program = &own
	}
	for _, m := range n.Mounts {
		if id, _, err := storePath(m.Path); err == nil && id != runtime {
			box.Packages = append(box.Packages, sandbox.Mount{Kind: sandbox.RO, Source: filepath.Join(n.folder, id.String()), Target: m.Path})
		}
	}
	given, err := a.runFolders(box, o.dirs)
	if err != nil {
		return err
	}
	allowed, err := a.parsePermissions("--allow", o.allow)
	if err != nil {
		return err
	}
	wanted, err := wantedBy(n.described)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "%s: %w", n.described.Name, err)
	}
	c := &cobra.Command{Use: "run"}
	c.SetContext(ctx)
	if err := a.decideOn(c, box, wanted, append(given, allowed...)); err != nil {
		return err
	}
	layout, err := box.Layout()
	if err != nil {
		return err
	}
	layout.Mounts = append(layout.Mounts, o.service.shown...)
	layout.Env["PATH"] = strings.Join(append(slices.Clone(n.Path), layout.Env["PATH"]), ":")
	words := append([]string{n.Command}, args...)
	report, err := a.examineProgram(layout, words, nil)
	if err != nil {
		return err
	}
	if !report.OK() {
		libs, err := a.libraries()
		if err != nil {
			return err
		}
		return missing(n.described.Name, report, libs)
	}
	stop, err := a.withBus(ctx, launcher, layout, box)
	if err != nil {
		return err
	}
	defer stop()
	return a.sandboxed(ctx, launcher, layout, box, words, &execOptions{env: o.env, service: o.service})
}

// runFolders returns the permissions for the folders that a program of a package sees: the current one and those of --dir. The user's home as a whole, and what is
// around it, is no folder to give away by standing in it.
func (a *app) runFolders(b *foreign.Box, dirs []string) (given []permission.Permission, err error) {
	home := b.InsideHome()
	if within(b.Here, home) || slices.Contains([]string{"/", "/tmp"}, b.Here) {
		a.hint("the program does not see the current folder, because it is " + b.Here + ": change to another, or give it with --dir")
	} else {
		given = append(given, permission.Permission{Kind: permission.Files, Name: b.Here})
	}
	for _, d := range dirs {
		host, readOnly := strings.CutSuffix(d, ":ro")
		if host, err = filepath.Abs(host); err != nil {
			return nil, err
		}
		if _, err := os.Stat(host); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%w", err).WithHint("--dir takes a folder that exists")
		}
		p := permission.Permission{Kind: permission.Files, Name: host}
		if readOnly {
			p.Access = "ro"
		}
		given = append(given, p)
	}
	return given, nil
}

// withBus starts the filter of the session bus if the program may have it, and tells what its permissions could not give.
func (a *app) withBus(ctx context.Context, launcher string, layout *foreign.Layout, box *foreign.Box) (stop func(), err error) {
	stop = func() {}
	if wantsBus(box.Grants) {
		if stop, err = a.startFilter(ctx, launcher, layout, box); err != nil {
			return nil, err
		}
	}
	for _, note := range layout.Notes {
		a.say("%s", printable(note))
	}
	return stop, nil
}
