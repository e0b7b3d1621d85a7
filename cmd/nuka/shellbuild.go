package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/wasmrt"
)

// shellInside runs the build of a package in this process up to its first program, and a shell or a command in place of that. The build's folders
// lie in a temporary folder, or in the one that the user wants to keep.
func (a *app) shellInside(ctx context.Context, pkg string, args, command []string, keep string, o *buildOptions) error {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return err
	}
	described, err := describedRoot(result)
	var p *pir.PIR
	if err == nil {
		p, err = pir.Decode(described)
	}
	if err == nil && p.Kind != pir.Build {
		err = protocol.Errorf(protocol.Unsupported, "%s is of kind %s: no build in WebAssembly makes it", p.Name, p.Kind).
			WithHint("a build has a closure build and runs programs of its packages")
	}
	if err != nil {
		client.Close()
		return err
	}
	inputs := *o
	inputs.wanted = p.Inputs()
	if _, err := a.realize(ctx, client, result, &inputs); err != nil {
		client.Close()
		return err
	}
	program, trees, err := a.openProgram(ctx, client, protocol.ProgramArgs{Trees: p.Inputs()})
	if err != nil {
		return err
	}
	defer trees.Close()
	dir, done, err := foldersOf(keep)
	if err != nil {
		return err
	}
	defer done()
	temp := dir
	if keep != "" {
		temp = ""
	}
	mounts, err := insideMounts(p, program, trees, dir)
	defer closeDirs(mounts)
	if err != nil {
		return err
	}
	guest, err := wasmrt.NewFS(mounts...)
	if err != nil {
		return err
	}
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: a.home.MachineCode()})
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	i := &insideShell{a: a, command: command, temp: temp, host: &wasmrt.Host{Runtime: rt, FS: guest, Limits: wasmrt.Limits{Running: runtime.NumCPU()}}}
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		i.host.Path = append(i.host.Path, nu.StoreDir+"/"+p.Packages[name].String()+"/bin")
	}
	err = nu.RunBuild(ctx, rt, &nu.BuildSpec{
		PIR: described, Kinds: source.Table(), Host: i.host, FS: guest, Jobs: runtime.NumCPU(), Stdout: a.terminal.err, Stderr: a.terminal.err, Instead: i.run,
	})
	if err == nil { // it called no program
		err = i.run(ctx, &wasmrt.Command{Dir: nu.BuildDir, Env: []string{}})
	}
	if i.ran {
		err = i.err
	}
	a.sayUnread(mounts)
	switch {
	case err == nil && i.code != 0:
		return exitError(i.code)
	case err == nil && keep != "":
		a.say("the folders of the build are kept: %s", dir)
	}
	return err
}

// insideShell runs a shell or a command in place of a build's program.
type insideShell struct {
	a       *app
	host    *wasmrt.Host
	command []string
	temp    string // that goes at the end; empty for none
	ran     bool
	code    int
	err     error
}

func (i *insideShell) run(ctx context.Context, c *wasmrt.Command) error {
	i.ran = true
	args := i.command
	if len(args) == 0 {
		args = []string{"sh"}
		if _, err := i.host.Lookup("sh", "/"); err != nil {
			i.err = protocol.Errorf(protocol.NotFound, "the build has no shell among its packages").
				WithHint("name a command behind --, or add toolchain/sh.nu and busybox.nu to the packages while you try")
			return i.err
		}
		what := "it has ended"
		if len(c.Args) > 0 {
			what = "it would run ^" + strings.Join(c.Args, " ")
		}
		i.a.say("this is the build, in %s; %s", c.Dir, what)
		i.a.hint("exit leaves it; $PATH has its programs, and what becomes the package lies in " + nu.OutDir)
	}
	// From here on Ctrl-C belongs to the program: a shell ends what it runs, and goes on.
	defer passSignals(i.host, i.temp)()
	i.code, i.err = i.host.Exec(context.WithoutCancel(ctx), &wasmrt.Command{
		Args: args, Env: c.Env, Dir: c.Dir, Stdin: i.a.in, Stdout: i.a.outFile(), Stderr: i.a.terminal.err,
	})
	var missing *wasmrt.NotFoundError
	if errors.As(i.err, &missing) {
		i.err = protocol.Errorf(protocol.NotFound, "%w", i.err).WithHint("the programs of the build's packages can be run, and those in its folder as ./NAME")
	} else if i.err != nil {
		i.err = protocol.Errorf(protocol.Failed, "%w", i.err)
	}
	return i.err
}

// describedRoot returns the description of the package that an evaluation is about.
func describedRoot(result *nu.Result) ([]byte, error) {
	for _, p := range result.Packages {
		if p.PID == result.Root {
			return p.Canonical, nil
		}
	}
	return nil, fmt.Errorf("the evaluation has not described %s", result.Root)
}

// foldersOf makes the three folders of a build, in the folder to keep or in a temporary one, which done removes.
func foldersOf(keep string) (dir string, done func(), err error) {
	done = func() {}
	if dir = keep; keep == "" {
		if dir, err = os.MkdirTemp("", "nuka-build-"); err != nil {
			return "", done, err
		}
		done = func() { os.RemoveAll(dir) }
	} else if err = os.Mkdir(keep, 0o755); err != nil {
		return "", done, protocol.Errorf(protocol.Invalid, "%w", err).WithHint("--keep takes a folder that does not exist yet, in one that does")
	}
	for _, name := range []string{"build", "out", "tmp"} {
		if err = os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			done()
			return "", func() {}, err
		}
	}
	return dir, done, nil
}

// insideMounts returns what a build sees: its packages with all that they refer to, its sources, and its three folders.
func insideMounts(p *pir.PIR, program *protocol.Program, trees *nodeTrees, dir string) (mounts []wasmrt.Mount, err error) {
	sources := map[string][]string{}
	at := func(id pir.PID) string { return nu.StoreDir + "/" + id.String() }
	if one := p.Src.One; !one.IsZero() {
		sources[at(one)] = []string{nu.SrcDir}
	}
	for name, id := range p.Src.Named {
		sources[at(id)] = append(sources[at(id)], nu.SrcDir+"/"+name)
	}
	tools := map[string]bool{}
	for _, id := range p.Tools() {
		tools[at(id)] = true
	}
	for _, m := range program.Mounts {
		paths := sources[m.Path]
		if len(paths) == 0 || tools[m.Path] {
			paths = append(paths, m.Path)
		}
		for _, path := range paths {
			tree, err := wasmrt.ReadTree(treeEntry(&m.Root), trees)
			if err != nil {
				return mounts, err
			}
			mounts = append(mounts, wasmrt.Mount{Path: path, Tree: tree})
		}
	}
	for guest, name := range map[string]string{nu.BuildDir: "build", nu.OutDir: "out", "/tmp": "tmp"} {
		d, err := wasmrt.OpenDir(filepath.Join(dir, name), nil)
		if err != nil {
			return mounts, err
		}
		mounts = append(mounts, wasmrt.Mount{Path: guest, Dir: d})
	}
	return mounts, nil
}
