package main

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) shellCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "shell [PKG… | PKG [flags of the package]] [-- CMD ARGS]",
		Short: "start a shell, or a command, that finds the programs of packages",
		Long: `Shell makes packages present and starts a shell whose PATH begins with their commands. After it ends, nothing of it is left but the
packages in the store. With CMD it runs that command instead, and exits with its exit code.

Without PKG it enters the folder: it uses the package of nuka.nu in this folder or the nearest one above it. If that package is an environment,
the shell also gets its variables.

With --build it runs the build of PKG up to its first program, such as configure, and opens the build's sh in place of that: with its folder, its
variables, its inputs and its compilers, and nothing else. What is done there is thrown away, unless --keep names a folder for it.`,
		Example:     "  nuka shell lua sqlite\n  nuka shell lua -- make test\n  nuka shell\n  nuka shell --build hello -- sh configure --help",
		Annotations: map[string]string{withoutPackage: "yes"},
	}
	var o installOptions
	o.build.flags(c)
	inside := c.Flags().Bool("build", false, "open sh in the world of the package's build")
	keep := c.Flags().String("keep", "", "with --build, keep its files in the folder `DIR`, which must be new")
	a.packageFlags(c)
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		switch {
		case *inside && pkg == "":
			return usage("shell: --build needs a package")
		case *inside:
			return a.shellInside(c.Context(), pkg, args, rest, *keep, &o.build)
		case *keep != "":
			return usage("shell: --keep is for --build")
		}
		if pkg == "" {
			dir, err := folderHere()
			if err != nil {
				return err
			}
			pkg = filepath.Join(dir, profile.FolderFile)
		}
		packages, err := a.installed(c, pkg, args, nil, &o)
		if err != nil {
			return err
		}
		return a.shell(c.Context(), packages, rest, &o.build)
	})
}

// folderHere returns the folder whose nuka.nu counts for the current folder.
func folderHere() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	dir := profile.FindFolder(here)
	if dir == "" {
		return "", protocol.Errorf(protocol.NotFound, "neither this folder nor one above it has a %s", profile.FolderFile).
			WithHint("name packages: nuka shell PKG; or write the file: an environment of packages, see docs/packages.md")
	}
	return dir, nil
}

// An entrance is an environment for a shell: its generation and what else the shell needs.
type entrance struct {
	generation *profile.Generation
	variables  map[string]string
	files      string // hash of the user's files that the evaluation read
}

// enter makes packages present. The caller closes the client.
func (a *app) enter(ctx context.Context, packages []asked, o *buildOptions) (*control.Client, *entrance, error) {
	client, results, err := a.evalAll(ctx, packages)
	if err != nil {
		return nil, nil, err
	}
	e, err := entranceOf(packages, results)
	if err == nil {
		err = a.fill(ctx, client, e.generation, results, o)
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, e, nil
}

// entranceOf returns the environment of evaluated packages.
func entranceOf(packages []asked, results []*nu.Result) (*entrance, error) {
	e := &entrance{
		generation: &profile.Generation{Number: 1, Created: time.Now().Truncate(time.Second).UTC(), Command: "shell", Packages: map[string]profile.Package{}},
		variables:  map[string]string{},
	}
	hash := blake3.New()
	for i, r := range results {
		p, err := newPackage(packages[i], r)
		if err != nil {
			return nil, err
		}
		e.generation.Packages[r.Name] = p
		for _, described := range r.Packages {
			if described.PID != r.Root {
				continue
			}
			if root, err := pir.Decode(described.Canonical); err == nil && root.Kind == pir.Env {
				maps.Copy(e.variables, root.Env)
			}
		}
		for _, read := range r.Reads {
			if strings.HasPrefix(read.Path, userMount+"/") {
				hash.Write([]byte(read.Path)) //nolint:errcheck // it never fails
				hash.Write(read.Digest[:])    //nolint:errcheck // it never fails
			}
		}
	}
	e.files = hex.EncodeToString(hash.Sum(nil))
	return e, nil
}

// fill makes the packages of a generation present and finds their commands.
func (a *app) fill(ctx context.Context, client *control.Client, g *profile.Generation, results []*nu.Result, o *buildOptions) error {
	request, err := environment(g.Env(), results)
	if err != nil {
		return err
	}
	if _, err := a.realize(ctx, client, request, o); err != nil {
		return err
	}
	a.showFolder(ctx, client, request.Root)
	for name, p := range g.Packages {
		if p.Commands == nil {
			if p.Commands, err = commandsOf(ctx, client, request, p.PID); err != nil {
				return err
			}
			g.Packages[name] = p
		}
	}
	return nil
}

// showFolder makes an environment visible as a folder, in which shells find manual pages and completions. Without it commands work all the same.
func (a *app) showFolder(ctx context.Context, client *control.Client, env pir.PID) {
	err := client.Call(ctx, protocol.OpMount, protocol.MountArgs{Packages: []pir.PID{env}}, nil, nil)
	if err != nil && protocol.CodeOf(err) != protocol.Unsupported && ctx.Err() == nil {
		a.say("manual pages and completions are not found: %v", err)
	}
}

// pathVariables are the lists of folders that an environment adds to, with the folder in the environment and the list that the variable stands for
// while it is unset.
var pathVariables = []struct{ name, folder, unset string }{
	{"PATH", "bin", ""},
	{"MANPATH", "tree/share/man", ""}, // an empty part stands for the system's
	{"XDG_DATA_DIRS", "tree/share", "/usr/local/share:/usr/share"},
}

// shellVariables returns the variables of a shell in an environment whose folder is at.
func shellVariables(at string, variables map[string]string, getenv func(string) (string, bool)) map[string]string {
	out := maps.Clone(variables)
	separator := string(os.PathListSeparator)
	for _, v := range pathVariables {
		before, there := getenv(v.name)
		if given, ok := variables[v.name]; ok {
			before, there = given, true
		}
		if !there {
			before = v.unset
		}
		out[v.name] = filepath.Join(at, filepath.FromSlash(v.folder)) + separator + before
	}
	return out
}

// shell runs a command, or the user's shell, in a temporary environment.
func (a *app) shell(ctx context.Context, packages []asked, command []string, o *buildOptions) error {
	client, e, err := a.enter(ctx, packages, o)
	if err != nil {
		return err
	}
	defer client.Close() // the node may collect the packages after this
	temp, err := os.MkdirTemp("", "nuka-shell-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	start, err := a.start()
	if err != nil {
		return err
	}
	at := filepath.Join(temp, "env")
	if err := e.generation.Write(at, a.home.Mount(), start); err != nil {
		return err
	}
	env := shellVariables(at, e.variables, os.LookupEnv)
	env["NUKA_SHELL"] = strings.Join(e.generation.Names(), " ")
	if len(command) == 0 {
		command = []string{userShell()}
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil { // before the command is looked up in PATH
			return err
		}
	}
	return a.runNative(command)
}

func userShell() string {
	if s := os.Getenv("SHELL"); s != "" {
		return s
	}
	if runtime.GOOS == "windows" {
		return "powershell"
	}
	return "/bin/sh"
}

// runNative runs a program of this machine with the terminal's streams until it ends. Ctrl-C is the program's.
func (a *app) runNative(command []string) error {
	c := exec.Command(command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = a.in, a.outFile(), a.terminal.err
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, terminate)
	defer signal.Stop(signals)
	if err := c.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return protocol.Errorf(protocol.NotFound, "shell: %w", err).WithHint("a program of the packages, or one in PATH, follows --")
		}
		return protocol.Errorf(protocol.Failed, "shell: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt { // the terminal sends Ctrl-C to the program itself
				_ = c.Process.Signal(s)
			}
		case err := <-ended:
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				return exitError(exitStatus(failed))
			}
			return err
		}
	}
}
