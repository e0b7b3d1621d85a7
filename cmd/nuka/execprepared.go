package main

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/foreign/prepared"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
	"github.com/MordragT/nuka/set"
)

// Most runs of exec are as one before: with the same options, the same program and unchanged files. So exec keeps what the sandbox of the first one was, and
// what it was decided from. Of the next one prepared.Main compares that, asks the node for the runtime, and starts the sandbox.

func (a *app) preparedRuns() *prepared.Cache { return &prepared.Cache{Dir: a.home.PreparedRuns()} }

// A preparation collects what a run is prepared from.
type preparation struct {
	key   prepared.Key
	state *prepared.State
	// shown is the runtime, and how the node shows it.
	shown pir.PID
	how   protocol.MountState
}

// prepareRun begins a preparation. It is nil if the run is none to prepare.
func (a *app) prepareRun(words []string) *preparation {
	if len(a.args) < 2 || a.args[0] != execName {
		return nil
	}
	key, program, ok := prepared.KeyOf(a.args[1:])
	if !ok || !slices.Equal(program, words) {
		return nil
	}
	p := &preparation{key: key, state: prepared.NewState()}
	p.optional(a)
	return p
}

// optional records files that a run depends on and that need not exist, and the programs of this installation. It is called before they are read and afterwards.
func (p *preparation) optional(a *app) {
	p.state.File("/etc/passwd")
	p.state.Entry(set.ListOf(a.home.Sets()))
	p.state.File(a.home.Config()) // it may make a program record
	p.state.File(filepath.Join(a.home.Run, "started"))
	if a.home.System == "" {
		if root, err := protocol.SystemRoot(os.Getenv); err == nil {
			p.state.LeadsTo(protocol.SystemHome(root).Run)
		}
	}
	self, err := ownProgram()
	if err != nil {
		p.state.Lose()
		return
	}
	for _, name := range []string{filepath.Base(self), sandbox.LauncherName, "nukad"} {
		p.state.File(filepath.Join(filepath.Dir(self), name))
	}
}

// ownProgram returns the file of this program, after all links.
func ownProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(self)
}

// application records what the user keeps for an application.
func (p *preparation) application(a *app, app string) {
	if p == nil {
		return
	}
	p.state.File(a.book().File(app))
	p.state.File(a.addedFile(app))
}

// finish keeps the prepared run. It looks at everything once more: what changed since it was read makes the run one that is not kept.
func (p *preparation) finish(a *app, launcher string, spec *sandbox.Spec, layout *foreign.Layout, b *foreign.Box, results []*nu.Result, o *execOptions) {
	if p == nil || o.auto || len(o.add) > 0 || a.node != "" || a.set != "" || !p.simple(layout, b) || !p.installed(launcher) || !p.evaluated(a, results, o) || len(p.how.Contents) == 0 {
		return
	}
	p.optional(a)
	p.application(a, b.App)
	for _, dir := range a.homeFolders() {
		p.state.LeadsTo(dir)
	}
	for _, at := range b.Shown {
		p.state.File(at)
	}
	p.state.LeadsTo(b.Home)
	p.state.Places(layout.Mounts, b.InsideHome(), b.Home)
	for from, to := range layout.Followed {
		p.state.Followed(from, to)
	}
	for at, listed := range layout.Examined {
		p.state.Entry(at)
		if listed {
			p.state.Names(at)
		}
	}
	kept := *spec
	kept.Argv = nil
	socket, err := control.SocketPath(a.home.Run)
	if err != nil {
		return
	}
	a.preparedRuns().Write(p.key, &prepared.Run{
		Spec: kept, Program: spec.Argv[0], Package: p.shown.String(), Content: p.how.Contents[0], Folder: p.how.Path, Socket: socket,
	}, p.state)
}

// simple reports whether a run has nothing but files and perhaps the whole network: other permissions depend on the session, on devices or on a helper that runs beside it.
func (p *preparation) simple(layout *foreign.Layout, b *foreign.Box) bool {
	for _, g := range b.Grants {
		if g.Kind != permission.Files && (g.Kind != permission.Network || g.Name != "") {
			return false
		}
	}
	return len(layout.Notes) == 0
}

// installed reports whether the programs of this installation are in one folder: else a folder of PATH decides which of them is used.
func (p *preparation) installed(launcher string) bool {
	self, err := ownProgram()
	if err != nil || launcher != filepath.Join(filepath.Dir(self), sandbox.LauncherName) {
		return false
	}
	daemon, err := daemonProgram()
	return err == nil && filepath.Dir(daemon) == filepath.Dir(self)
}

// evaluated records the files that the evaluations read. It reports false if one depends on more: on a set that the user added, or on a whole folder.
func (p *preparation) evaluated(a *app, results []*nu.Result, o *execOptions) bool {
	for i, word := range append([]string{o.runtime}, o.with...) {
		r := results[i]
		if len(r.Paths) > 0 || len(r.Messages) > 0 {
			return false
		}
		project := ""
		switch {
		case !isFile(word):
			if _, err := os.Lstat(set.ListOf(a.home.Sets())); err == nil {
				return false // any of the sets may have the name after an update
			}
		default:
			at, err := filepath.Abs(word)
			if err != nil {
				return false
			}
			p.state.LeadsTo(at)
			project = projectOf(at)
			for dir := filepath.Dir(at); ; dir = filepath.Dir(dir) {
				p.state.LeadsTo(filepath.Join(dir, ".git"))
				if dir == project || dir == filepath.Dir(dir) {
					break
				}
			}
		}
		for _, read := range r.Reads {
			if !p.source(read.Path, project) {
				return false
			}
		}
		for _, name := range r.Missing {
			if !p.source(name, project) {
				return false
			}
		}
	}
	return true
}

// source records a path that an evaluation looked at. The embedded set is part of the program.
func (p *preparation) source(name, project string) bool {
	if rel, ok := strings.CutPrefix(name, userMount+"/"); ok && project != "" {
		p.state.File(filepath.Join(project, filepath.FromSlash(rel)))
		return true
	}
	return strings.HasPrefix(name, setMount+"/") && path.Clean(name) == name
}
