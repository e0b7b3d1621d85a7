package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/foreign/proxy"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// baseRuntime is the package of the runtime that exec uses without --runtime.
const baseRuntime = "base"

// execName is the name of the command.
const execName = "exec"

func (a *app) execCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   execName + " [--runtime PKG] [--with PKG]… [--allow PERMISSION]… [--] PROGRAM [ARGS]",
		Short: "run a foreign program in a sandbox, with the files of a runtime",
		Long: `Exec runs a program that was not made for nuka: a program of a runtime, such as python3 of the runtime python, or an executable of this machine, which
PROGRAM names with a path. PROGRAM may also be the file of a Debian package, a tar or a zip archive, whose program --command names if it has several, or the URL
of one, or of an executable, with --hash. The program sees the files of the runtime as an ordinary Linux tree, and a home folder of its own. It sees no other
files of this machine, no devices and no network, unless a permission gives them:

  network              the network of this machine; network=HOST:PORT only this host, through a proxy
  files=DIR            DIR with everything below it; files=DIR:ro only to read, files=DIR:create makes it first
  device=NAME          a group of devices: dri (graphics), input, kvm, serial, usb, video
  socket=NAME          a service of the session: wayland, x11, pulseaudio, ssh-auth, gpg-agent, cups
  dbus=NAME            talk to NAME on the session bus; dbus=NAME:see only to see it, dbus=NAME:own to be it

The home folder belongs to an application, the program or the runtime, and stays. --app names another one. nuka permissions shows and keeps permissions.
Before a program starts, exec finds the libraries that it needs and names those that the runtime does not have; --auto adds their packages.
Plugins, which a program loads by name, may lack libraries: --auto names their packages, and --add adds one.`,
		Example: "  nuka exec --runtime python -- python3 -c 'print(1)'\n  nuka exec --runtime python --allow network -- pip install rich\n" +
			"  nuka exec --allow files=. -- ./tool --version\n  nuka exec --runtime node --shell",
		Args: cobra.ArbitraryArgs,
	}
	var o execOptions
	a.execFlags(c, &o)
	c.RunE = func(c *cobra.Command, words []string) error {
		if words = o.program(words); len(words) == 0 {
			return protocol.Errorf(protocol.Invalid, "exec: PROGRAM is missing").WithHint("usage: %s", c.UseLine())
		}
		if o.record != "" { // it may be a flag that follows, if ECOSYSTEM was left out
			if _, err := adapters.Named(o.record); err != nil {
				return fmt.Errorf("exec: --record: %w", err)
			}
		}
		return a.execute(c, words, &o)
	}
	return c
}

func (a *app) execFlags(c *cobra.Command, o *execOptions) {
	o.build.flags(c)
	c.Flags().StringVar(&o.runtime, "runtime", baseRuntime, "the package `PKG` of the runtime")
	c.Flags().StringArrayVar(&o.with, "with", nil, "add the files of the package `PKG`")
	c.Flags().StringArrayVar(&o.allow, "allow", nil, "give the program a `PERMISSION` for this run")
	c.Flags().StringVar(&o.app, "app", "", "the application `NAME` that the home folder and the permissions belong to")
	c.Flags().StringVar(&o.hash, "hash", "", "the `HASH` of a program that is a URL, such as sha256-…")
	c.Flags().StringVar(&o.command, "command", "", "which program of an archive, by its `NAME` or its path in it")
	c.Flags().StringArrayVar(&o.env, "env", nil, "set the variable `NAME=VALUE`, or pass NAME through")
	c.Flags().StringSliceVar(&o.add, "add", nil, "add the Debian package `NAME` and what it needs, and remember them for the application")
	c.Flags().BoolVar(&o.auto, "auto", false, "add the packages of missing libraries, and remember them for the application")
	c.Flags().BoolVar(&o.shell, "shell", false, "start a shell instead of PROGRAM")
	c.Flags().StringVar(&o.record, "record", "", "let a recorder between the program and the registries keep what it downloads, for nuka lock; `ECOSYSTEM` is pip, npm, cargo, go or maven")
	o.rules.flags(c.Flags(), "with --record, ")
	c.Flags().SetInterspersed(false)
	a.yesFlag(c)
	a.packageFlags(c)
}

type execOptions struct {
	build       buildOptions
	runtime     string
	with, allow []string
	add         []string       // Debian packages
	parts       []foreign.Part // of the application, which need libraries
	lacking     []string       // packages of libraries that plugins lack, found with auto
	app         string
	hash        string // of a program out of a URL
	command     string // in an archive
	env         []string
	auto, shell bool
	rules       recordRules                                                         // with record
	answer      func(context.Context) (listening func(*os.File), disconnect func()) // answers in the program's network; nil: nothing does
	service     asService
	record      string // the ecosystem whose clients a recorder answers; "" is none
}

// program returns the program and its arguments for the words of a command line.
func (o *execOptions) program(words []string) []string {
	if o.shell {
		return append([]string{"bash"}, words...)
	}
	return words
}

// execute runs a foreign program: it makes the runtime present, decides about permissions, and starts the program in the sandbox.
func (a *app) execute(c *cobra.Command, words []string, o *execOptions) error {
	ctx := c.Context()
	if err := a.ownNode("exec"); err != nil {
		return err
	}
	launcher, err := sandbox.FindLauncher()
	if err != nil {
		return err
	}
	preparing := a.prepareRun(words)
	packed, err := a.openPacked(ctx, words[0], o)
	if err != nil {
		return err
	}
	if packed != nil {
		preparing, words = nil, append([]string{packed.name}, words[1:]...)
		o.app = cmp.Or(o.app, packed.app)
	}
	box, err := a.box(words, o)
	if err != nil {
		return err
	}
	packages := []asked{{pkg: a.preferred(o.runtime, runtimeFolders...), set: a.set}}
	for _, pkg := range o.with {
		packages = append(packages, asked{pkg: pkg, set: a.set})
	}
	if packed != nil {
		packages = append(packages, packed.asked(a.set))
	}
	client, results, err := a.evalAll(ctx, packages)
	if err != nil {
		return err
	}
	defer client.Close() // the node keeps the runtime as long as the connection lasts
	if packed != nil {
		if results, words[0], err = a.place(ctx, client, box, packed, results, o); err != nil {
			return err
		}
	}
	if box.App == "" {
		if box.App, err = appOfRuntime(o.runtime, results[0]); err != nil {
			return err
		}
	}
	preparing.application(a, box.App)
	if err := a.decide(c, box, results, o); err != nil {
		return err
	}
	layout, err := a.prepareForeign(ctx, client, box, results, words, o, preparing)
	if err != nil {
		return err
	}
	stop, err := a.withBus(ctx, launcher, layout, box)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.recordByDefault(c, layout, runtimeName(results[0]), o); err != nil {
		return err
	}
	if o.record != "" {
		return a.recorded(ctx, client, launcher, layout, box, words, o)
	}
	spec := &sandbox.Spec{Mounts: layout.Mounts, Argv: words, Env: layout.Environ(box.Getenv, o.env), Dir: layout.Dir(box.Here)}
	if layout.Network {
		spec.Net = sandbox.NetHost
	}
	preparing.finish(a, launcher, spec, layout, box, results, o)
	options := &sandbox.Options{}
	if len(layout.Hosts) > 0 && !layout.Network {
		stop := a.serveHosts(ctx, spec, options, layout.Hosts)
		defer stop()
	}
	err = a.inSandbox(context.WithoutCancel(ctx), launcher, spec, options)
	if err != nil && len(o.lacking) > 0 {
		a.say("plugins of the application lack libraries of these packages; if that is why, add those of one: nuka exec --add PACKAGE,…\n  %s", strings.Join(o.lacking, "\n  "))
	}
	return err
}

// appOfRuntime returns the application that the programs of a runtime belong to.
func appOfRuntime(word string, r *nu.Result) (string, error) {
	return appOf(word, runtimeName(r))
}

// appOf returns the application that the programs of a package belong to: its name, or its file, if the user named that. Else any file could have the home and the
// permissions of another application by its name.
func appOf(word, name string) (string, error) {
	if !isFile(word) {
		return name, nil
	}
	at, err := filepath.Abs(word)
	if err == nil {
		at, err = filepath.EvalSymlinks(at)
	}
	return foreign.AppOfFile(at), err
}

// box returns what is known of a run before anything is evaluated: the application, if the options or a path of the program name it, and the user.
func (a *app) box(words []string, o *execOptions) (*foreign.Box, error) {
	b := &foreign.Box{
		App: o.app, UserHome: a.user, User: "user", UID: os.Getuid(), GID: os.Getgid(), Getenv: os.Getenv,
		Hidden: a.ownFolders(), Session: foreign.Session{Runtime: os.Getenv("XDG_RUNTIME_DIR"), Getenv: os.Getenv},
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		b.User = u.Username
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	b.Here = here
	if strings.Contains(words[0], "/") {
		at, err := filepath.Abs(words[0])
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(at)
		if err == nil && !info.Mode().IsRegular() {
			return nil, protocol.Errorf(protocol.Invalid, "exec: %s is no file", words[0])
		}
		if err == nil {
			words[0] = at
			b.Shown = append(b.Shown, at)
			if b.App == "" {
				b.App = foreign.AppOfFile(at)
			}
		} // else it may be a path of the runtime, such as /usr/bin/env
	}
	if b.App != "" {
		return b, permission.CheckApp(b.App)
	}
	return b, nil
}

// homeFolders returns the folders of nuka's own files, as they are named.
func (a *app) homeFolders() []string {
	dirs := []string{a.home.Data, a.home.Cache, a.home.Run, filepath.Dir(a.home.Policy())}
	if a.home.System != "" {
		s := protocol.SystemHome(a.home.System)
		dirs = append(dirs, s.Data, s.Cache, s.Run, filepath.Dir(s.Policy()))
	}
	return dirs
}

// ownFolders returns the folders of nuka's own files after all links, which no foreign program may see.
func (a *app) ownFolders() (dirs []string) {
	for _, dir := range a.homeFolders() {
		if at, err := filepath.EvalSymlinks(dir); err == nil {
			dir = at
		}
		if !slices.ContainsFunc(dirs, func(d string) bool { return within(d, dir) }) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// book returns the user's decisions about applications.
func (a *app) book() *permission.Book { return permission.OpenBook(a.home.Permissions()) }

// sandboxed starts the program and waits for its end.
func (a *app) sandboxed(ctx context.Context, launcher string, layout *foreign.Layout, b *foreign.Box, words []string, o *execOptions) error {
	spec := &sandbox.Spec{
		Mounts: layout.Mounts, Argv: words, Env: layout.Environ(b.Getenv, o.env), Dir: layout.Dir(b.Here),
	}
	options := &sandbox.Options{}
	if err := o.service.box(spec, options); err != nil {
		return err
	}
	switch {
	case o.answer != nil:
		spec.Listen = ecosystem.Port
		var disconnect func()
		options.Listening, disconnect = o.answer(ctx)
		defer disconnect()
	case layout.Network:
		spec.Net = sandbox.NetHost
	case len(layout.Hosts) > 0:
		stop := a.serveHosts(ctx, spec, options, layout.Hosts)
		defer stop()
	}
	return a.inSandbox(context.WithoutCancel(ctx), launcher, spec, options)
}

// inSandbox starts a program with this process's streams, and waits for its end.
func (a *app) inSandbox(ctx context.Context, launcher string, spec *sandbox.Spec, options *sandbox.Options) error {
	options.Stdin, _ = a.in.(*os.File)
	options.Stdout, _ = a.outFile().(*os.File)
	options.Stderr, _ = a.err.(*os.File)
	status, err := sandbox.Run(ctx, launcher, spec, options)
	if err != nil {
		return sandboxError(err)
	}
	if status.Code != 0 {
		return exitError(status.Code)
	}
	return nil
}

// serveHosts lets a proxy answer in the sandbox's network, by which the program reaches some hosts. The proxy runs until stop.
func (a *app) serveHosts(ctx context.Context, spec *sandbox.Spec, options *sandbox.Options, hosts []string) (stop func()) {
	spec.Listen = foreign.ProxyPort
	options.Listening, stop = proxy.Attach(ctx, (&proxy.Proxy{Allow: hosts}).Serve, a.unreached("host"))
	return stop
}

// unreached returns what tells the user that a program does not reach a host or registry.
func (a *app) unreached(what string) func(began bool, err error) {
	return func(began bool, err error) {
		if began {
			what += " any more"
		}
		a.say("the program reaches no %s: %v", what, err)
	}
}

// sandboxError returns an error of the sandbox with the code and hint that users see.
func sandboxError(err error) error {
	var forbidden *sandbox.ForbiddenError
	var setup *sandbox.SetupError
	code := protocol.Failed
	switch {
	case errors.As(err, &forbidden):
		code = protocol.Unsupported
	case sandbox.NoProgram(err):
		code = protocol.NotFound
	case !errors.As(err, &setup):
		return err
	}
	return protocol.Errorf(code, "exec: %w", err).WithHint("%s", sandbox.Hint(err))
}
