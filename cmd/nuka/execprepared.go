package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

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

// Most runs of exec are as one before: with the same options, the same program and unchanged files. Such a run is prepared: exec keeps what the sandbox of the
// first one was, and what it was decided from. The next one compares, asks the node for the runtime, and starts the sandbox.

// keyVariables are the variables that exec reads, beside those that it passes on.
var keyVariables = []string{"HOME", "USER", "PWD", "PATH", "TMPDIR", "NUKA_HOME", "NUKA_SYSTEM", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"}

// execKey returns the key of a run, and false if such a run is never prepared: one that changes what an application has, or that takes from its caller what no key
// has. Arguments of the program are no part of it.
func (a *app) execKey(o *execOptions, words []string) (prepared.Key, bool) {
	if len(words) == 0 || o.auto || a.node != "" || a.nodeEmpty || a.set != "" {
		return nil, false
	}
	for _, e := range o.env {
		if !strings.Contains(e, "=") {
			return nil, false
		}
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, false
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, false
	}
	k := prepared.Key{host, here, words[0], o.runtime, o.app, fmt.Sprint(os.Getuid(), os.Getgid(), os.Geteuid(), os.Getegid(), o.shell)}
	for _, list := range [][]string{o.with, o.allow, o.env} {
		k = append(append(k, fmt.Sprint(len(list))), list...)
	}
	for _, name := range append(keyVariables, foreign.Passed()...) {
		value, set := os.LookupEnv(name)
		k = append(k, fmt.Sprint(set), value)
	}
	return k, true
}

func (a *app) preparedRuns() *prepared.Cache { return &prepared.Cache{Dir: a.home.PreparedRuns()} }

// errStale says that a prepared run holds no more.
var errStale = errors.New("the prepared run holds no more")

// execPrepared runs a command line of exec as it was prepared. It returns false, and has done nothing, if there is no prepared run that holds.
func (t *terminal) execPrepared(args []string) (code int, done bool) {
	a, err := newApp(t)
	if err != nil {
		return 0, false
	}
	ticket, isSet := os.LookupEnv("NUKA_NODE")
	a.node, a.nodeEmpty = ticket, isSet && ticket == ""
	var o execOptions
	flags := &cobra.Command{}
	a.execFlags(flags, &o)
	flags.Flags().SetOutput(io.Discard)
	if flags.Flags().Parse(args) != nil {
		return 0, false // the command itself explains what is wrong
	}
	words := o.program(flags.Flags().Args())
	key, ok := a.execKey(&o, words)
	if !ok {
		return 0, false
	}
	run := a.preparedRuns().Read(key)
	if run == nil {
		return 0, false
	}
	err = a.runPrepared(run, words)
	if errors.Is(err, errStale) {
		return 0, false
	}
	if err != nil {
		return t.fail(err, false), true
	}
	return 0, true
}

// runPrepared runs a program as it was prepared. If the run holds no more, the error is errStale. While the launcher starts, which waits for its description, this
// process compares the files, and the node looks for the runtime.
func (a *app) runPrepared(run *prepared.Run, words []string) error {
	ctx := context.Background()
	id, err := pir.ParsePID(run.Package)
	if err != nil {
		return errStale
	}
	hold, err := control.StartHold(ctx, a.home.Run, id)
	if err != nil {
		return errStale
	}
	defer hold.Close() // the node keeps the runtime as long as the connection lasts
	valid := make(chan bool, 1)
	go func() { valid <- run.Holds() && shows(hold, run) }()
	spec := run.Spec
	spec.Argv = append([]string{run.Program}, words[1:]...)
	return a.inSandbox(ctx, run.Launcher, &spec, &sandbox.Options{Prepare: func(int) error {
		if !<-valid {
			return errStale
		}
		return nil
	}})
}

// shows reports whether the node shows the runtime of a prepared run, with the same content at the same place.
func shows(hold *control.Hold, run *prepared.Run) bool {
	state, err := hold.Answer()
	return err == nil && state.Path == run.Folder && len(state.Contents) == 1 && state.Contents[0] == run.Content
}

// A preparation collects what a run is prepared from.
type preparation struct {
	key   prepared.Key
	state *prepared.State
	// shown is the runtime, and how the node shows it.
	shown pir.PID
	how   protocol.MountState
}

// prepareRun begins a preparation. It is nil if the run is none to prepare; its methods do nothing then.
func (a *app) prepareRun(o *execOptions, words []string) *preparation {
	key, ok := a.execKey(o, words)
	if !ok {
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
	if p == nil || !p.simple(layout, b) || !p.installed(launcher) || !p.evaluated(a, results, o) || len(p.how.Contents) == 0 {
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
	a.preparedRuns().Write(p.key, &prepared.Run{
		Launcher: launcher, Spec: kept, Program: spec.Argv[0], Package: p.shown.String(), Content: p.how.Contents[0], Folder: p.how.Path,
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
