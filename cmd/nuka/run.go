package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// cwdMount is the guest path of the current folder.
const cwdMount = "/nuka/cwd"

func (a *app) runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run PKG [flags of the package] [-- ARGS]",
		Short: "run a program of a package, and build it first if it is missing",
		Long: `Run runs a program of a package. The program sees the current folder and the folders of --dir, and no other
files of this machine. It reads standard input, and the command exits with its exit code.`,
		Example: "  nuka run lua -- -e 'print(1)'\n  nuka run ./hello.nu --nls -- world\n  nuka run bzip2 -- -d < file.bz2 > file",
	}
	var o runOptions
	o.build.flags(c)
	c.Flags().StringVar(&o.command, "command", "", "run the program `NAME` of the package")
	c.Flags().StringArrayVar(&o.dirs, "dir", nil, "give the program the folder `PATH` too; PATH:ro is read-only")
	c.Flags().StringArrayVar(&o.env, "env", nil, "set the variable `NAME=VALUE`, or pass NAME through")
	c.Flags().StringArrayVar(&o.allow, "allow", nil, "give a native program a `PERMISSION` for this run: nuka exec --help")
	a.yesFlag(c)
	a.packageFlags(c)
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		o.asked = pkg
		program, trees, err := a.prepare(c.Context(), pkg, args, &o)
		if err != nil {
			return behindDashes(err, pkg, args, rest)
		}
		defer trees.Close()
		return a.exec(c.Context(), program, trees, rest, &o)
	})
}

type runOptions struct {
	build   buildOptions
	command string
	dirs    []string
	env     []string
	allow   []string // permissions of a program in a sandbox
	asked   string   // the package as the user named it; "" is an installed one
	app     string   // the application of a program in a sandbox; "" is that of the package
	service asService
}

// prepare makes the package present and asks the node how to start its program. The caller closes the trees, which the program reads.
// It asks first and realizes the package only if the node cannot answer: most packages that are run were run before, and a
// request to realize names each package of the closure.
func (a *app) prepare(ctx context.Context, pkg string, args []string, o *runOptions) (*protocol.Program, *nodeTrees, error) {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return nil, nil, err
	}
	asked := protocol.ProgramArgs{PID: result.Root, Command: o.command}
	program, err := askProgram(ctx, client, asked)
	if err != nil {
		if _, err = a.realize(ctx, client, result, &o.build); err == nil {
			program, err = askProgram(ctx, client, asked)
		}
	}
	var trees *nodeTrees
	if err == nil {
		trees, err = a.trees(ctx, client, program, asked)
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return program, trees, nil
}

// openProgram asks the node how to start a program that it has, and returns the trees that the program reads. It closes the client if it fails; otherwise closing the
// trees does.
func (a *app) openProgram(ctx context.Context, client *control.Client, asked protocol.ProgramArgs) (*protocol.Program, *nodeTrees, error) {
	program, err := askProgram(ctx, client, asked)
	var trees *nodeTrees
	if err == nil {
		trees, err = a.trees(ctx, client, program, asked)
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return program, trees, nil
}

// askProgram asks the node how to start a command of a package that the node has. The node keeps the package until the connection ends.
func askProgram(ctx context.Context, client *control.Client, asked protocol.ProgramArgs) (*protocol.Program, error) {
	var program protocol.Program
	err := client.Call(ctx, protocol.OpProgram, asked, &program, nil)
	return &program, err
}

// exec runs a program in this process. The program sees only the trees, mounts and environment that exec passes to it.
func (a *app) exec(ctx context.Context, program *protocol.Program, trees *nodeTrees, args []string, o *runOptions) error {
	if !program.Runtime.IsZero() {
		return a.runNativeProgram(ctx, trees, program, args, o)
	}
	temp, err := os.MkdirTemp("", "nuka-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	mounts, err := runMounts(program, trees, temp, o.dirs)
	defer closeDirs(mounts)
	if err != nil {
		return err
	}
	guest, err := wasmrt.NewFS(mounts...)
	if err != nil {
		return err
	}
	runtime, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: a.home.MachineCode()})
	if err != nil {
		return err
	}
	defer runtime.Close(ctx)
	sockets, err := o.service.wasmSockets()
	if err != nil {
		return err
	}
	host := &wasmrt.Host{
		Runtime: runtime, FS: guest, Path: program.Path, Env: runEnv(program.Path, o.env), Real: true,
		Limits: o.service.wasmLimits(),
	}
	// From here on Ctrl-C belongs to the program. A server is asked to finish first.
	var own []os.Signal
	if sockets != nil {
		own = append(own, terminate)
	}
	unpass := passSignals(host, temp, own...)
	running, served := drainOnTerminate(context.WithoutCancel(ctx), sockets)
	code, err := host.Exec(running, &wasmrt.Command{
		Args: append([]string{program.Command}, args...), Dir: cwdMount,
		Stdin: a.in, Stdout: a.outFile(), Stderr: a.terminal.err, Sockets: sockets,
	})
	unpass() // a native program gets its signals in another way
	if served() {
		return exitError(exitTerminated)
	}
	unread := a.sayUnread(mounts)
	if errors.Is(err, wasmrt.ErrNotProgram) && !unread {
		return a.runNativeProgram(ctx, trees, program, args, o)
	}
	if err != nil {
		return protocol.Errorf(protocol.Failed, "%w", err)
	}
	if code != 0 && unread {
		return exitError(code)
	}
	if code != 0 {
		a.hintUnseen(args, o.dirs)
		return exitError(code)
	}
	return nil
}

// closeDirs closes the folders of this machine among mounts. What made the mounts may have failed halfway.
func closeDirs(mounts []wasmrt.Mount) {
	for _, m := range mounts {
		if m.Dir != nil {
			m.Dir.Close()
		}
	}
}

// sayUnread reports that a program got an I/O error from a package, and the reason, which the program itself cannot know.
func (a *app) sayUnread(mounts []wasmrt.Mount) bool {
	for _, m := range mounts {
		if m.Tree == nil || m.Tree.Failed() == nil {
			continue
		}
		e := protocol.AsError(m.Tree.Failed())
		a.say("the program could not read all of %s: %s", m.Path, e.Message)
		if e.Hint != "" {
			a.hint(e.Hint)
		}
		return true
	}
	return false
}

// behindDashes adds a hint to the error for an unknown flag of a package: the flag may be meant for the program.
func behindDashes(err error, pkg string, args, rest []string) error {
	var diags *nu.Error
	if !errors.As(err, &diags) || len(diags.Diags) != 1 || diags.Diags[0].File != "" || len(rest) > 0 || len(args) == 0 {
		return err
	}
	d := &diags.Diags[0]
	d.Hint = strings.TrimPrefix(d.Hint+"; arguments of the program go after --: nuka run "+pkg+" -- "+strings.Join(args, " "), "; ")
	return err
}

// hintUnseen prints a hint after a program's failure if an argument names an existing file or folder that the program does not see.
func (a *app) hintUnseen(args, dirs []string) {
	here, err := os.Getwd()
	if err != nil {
		return
	}
	seen := []string{here}
	for _, d := range dirs {
		if d, err = filepath.Abs(strings.TrimSuffix(d, ":ro")); err == nil {
			seen = append(seen, d)
		}
	}
	for _, arg := range args {
		if _, value, ok := strings.Cut(arg, "="); ok {
			arg = value
		}
		at, err := filepath.Abs(arg)
		if _, e := os.Stat(at); arg == "" || err != nil || e != nil {
			continue
		}
		target, err := filepath.EvalSymlinks(at)
		if err != nil || slices.ContainsFunc(seen, func(dir string) bool {
			return within(dir, target) && within(dir, at) && (dir != here || !filepath.IsAbs(arg))
		}) {
			continue
		}
		dir := filepath.Dir(target)
		if info, err := os.Stat(target); err == nil && info.IsDir() {
			dir = target
		}
		if within(here, target) {
			rel, err := filepath.Rel(here, target)
			if err == nil && within(here, at) || filepath.IsAbs(arg) {
				a.hint("the program sees the current folder as " + cwdMount + ": name the file " + rel)
			}
			return
		}
		a.hint(arg + " is outside the folders that the program sees; add its folder, and write the full path of the file: nuka run --dir " +
			shellWord(dir) + " … " + shellWord(target))
		return
	}
}

// within reports whether a path is a folder or below it, either by the names alone or after links are followed.
func within(dir, at string) bool {
	for _, d := range []string{dir, resolved(dir)} {
		if rel, err := filepath.Rel(d, at); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

func resolved(at string) string {
	if target, err := filepath.EvalSymlinks(at); err == nil {
		return target
	}
	return at
}

// shellWord quotes a word for a shell if necessary.
func shellWord(s string) string {
	if strings.ContainsAny(s, " \t\n'\"\\$&;|<>()*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func runMounts(program *protocol.Program, trees *nodeTrees, temp string, dirs []string) (mounts []wasmrt.Mount, err error) {
	for _, m := range program.Mounts {
		tree, err := wasmrt.ReadTree(treeEntry(&m.Root), trees)
		if err != nil {
			return mounts, err
		}
		mounts = append(mounts, wasmrt.Mount{Path: m.Path, Tree: tree})
	}
	here, err := os.Getwd()
	if err != nil {
		return mounts, err
	}
	open := func(at, host string, readOnly bool) error {
		dir, err := wasmrt.OpenDir(host, &wasmrt.DirOptions{ReadOnly: readOnly, Live: true})
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "%w", err).WithHint("--dir takes a folder that exists")
		}
		mounts = append(mounts, wasmrt.Mount{Path: at, Dir: dir})
		return nil
	}
	if err := open(cwdMount, here, false); err != nil {
		return mounts, err
	}
	if err := open("/tmp", temp, false); err != nil {
		return mounts, err
	}
	for _, d := range dirs {
		host, readOnly := strings.CutSuffix(d, ":ro")
		host, err := filepath.Abs(host)
		if err != nil {
			return mounts, err
		}
		if err := open(filepath.ToSlash(host), host, readOnly); err != nil {
			return mounts, err
		}
	}
	return mounts, nil
}

// runEnv returns the environment variables of a program: those that describe the terminal and the user's language, and those that --env names.
// HOME is the temporary folder: that folder has no files of the user's, and programs that need a home find one. PATH has the folders of the programs that
// it may start.
func runEnv(path, extra []string) []string {
	env := []string{"HOME=/tmp", "PATH=" + strings.Join(path, ":")}
	for _, name := range []string{"TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, e := range extra {
		if v, ok := os.LookupEnv(e); ok && !strings.Contains(e, "=") {
			e += "=" + v
		}
		if strings.Contains(e, "=") {
			env = append(env, e)
		}
	}
	return env
}
