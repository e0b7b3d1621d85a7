// Nuka is the command: a light peer of the node on this machine.
// It evaluates package files with the user's own rights, asks the daemon for content, and runs programs.
package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign/bus"
	"github.com/MordragT/nuka/internal/early"
	"github.com/MordragT/nuka/internal/home"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// version is the version of this build.
const version = "0.1.0"

func main() { os.Exit(run(stdTerminal(), os.Args[1:])) }

func run(t *terminal, args []string) int {
	_ = os.Unsetenv(early.Unprepared) // it is for this process alone
	t.args = args
	ctx, stop := interruptible()
	defer stop()
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	if len(args) > 0 && args[0] == profile.LaunchCommand {
		return t.launch(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == becomeCommand {
		return t.become(args[1:])
	}
	if len(args) > 0 && args[0] == filterCommand {
		return bus.Main(args[1:])
	}
	asJSON := wantsJSON(args)
	root, err := newRoot(t)
	if err == nil {
		if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
			plainUsage(root)
		}
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	code := 0
	if err != nil {
		code = t.fail(err, asJSON)
	}
	if lost := t.lost(); lost != nil && code == 0 {
		return t.fail(lost, false)
	}
	return code
}

// wantsJSON reports whether --json is among a command's own arguments, even if another argument is wrong.
func wantsJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json") && args[0] != "__complete"
}

// app is the state that all commands share.
type app struct {
	*terminal
	home    protocol.Home
	user    string // the user's home folder
	system  string // the root of system-wide settings, such as etc/apt; "" reads none
	set     string // folder of the package set; "" is the embedded set
	json    bool
	offline bool
	node    string // ticket of the node to use; "" is this home's own node
	yes     bool   // confirm does not ask

	nodeEmpty bool // NUKA_NODE is set to ""
}

func newApp(t *terminal) (*app, error) {
	user, _ := os.UserHomeDir()
	own, err := home.FindWithSystem(os.Getenv, user)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	if os.Getenv("NUKA_HOME") != "" { // the daemon starts in another folder
		if err := os.Setenv("NUKA_HOME", own.Data); err != nil {
			return nil, err
		}
	}
	return &app{terminal: t, home: own, user: user, system: "/"}, nil
}

func newRoot(t *terminal) (*cobra.Command, error) {
	a, err := newApp(t)
	if err != nil {
		return nil, err
	}
	root := &cobra.Command{
		Use:   "nuka",
		Short: "build, share and run packages",
		Long: `Nuka builds packages from source, runs them, and shares them with other nodes.

A package is a Nushell file. PKG in the commands below is such a file (./hello.nu)
or the name of one in the package sets (lua). Flags of the package follow PKG:
nuka build zlib --minizip. Arguments of a program follow --.

NUKA_HOME is the folder for all files of nuka; NUKA_PACKAGES is a folder that replaces all package sets.`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if c.DisableFlagParsing || c.Name() == "completion" || c.Name() == "help" {
				return nil // splitPackage checks the node, or the command needs none
			}
			return a.checkNode()
		},
	}
	root.PersistentPostRun = func(c *cobra.Command, _ []string) { a.noteFindings(c) }
	group(root)
	ticket, isSet := os.LookupEnv("NUKA_NODE")
	a.node, a.nodeEmpty = ticket, isSet && strings.TrimSpace(ticket) == ""
	root.PersistentFlags().Var(nodeFlag{&a.node}, "node", "use the node of `TICKET` instead of this home's node; also NUKA_NODE")
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(&cobra.Group{ID: "work", Title: "Packages:"}, &cobra.Group{ID: "profile", Title: "Installed packages:"}, &cobra.Group{ID: "look", Title: "Inspection:"},
		&cobra.Group{ID: "peers", Title: "Other nodes:"}, &cobra.Group{ID: "node", Title: "The node:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("work", a.runCommand(), a.execCommand(), a.permissionsCommand(), a.runtimeCommand(), a.buildCommand(), a.bootstrapCommand(), a.evalCommand(), a.shellCommand(), a.searchCommand(), a.infoCommand(), a.setCommand(), a.lockCommand(), a.lintCommand(),
		a.newCommand(), a.servicesCommand())
	add("profile", a.installCommand(), a.removeCommand(), a.upgradeCommand(), a.rollbackCommand(), a.listCommand(), a.historyCommand(),
		a.diffCommand(), a.pinCommand(true), a.pinCommand(false), a.hookCommand(), a.allowCommand(true), a.allowCommand(false))
	root.AddCommand(a.enterCommand())
	add("look", a.showCommand(), a.sbomCommand(), a.auditCommand(), a.advisoriesCommand(), a.lsCommand(), a.catCommand(), a.logCommand(), a.storeCommand(), a.rootCommand(), a.gcCommand(), a.whyCommand(), a.sizeCommand())
	add("peers", a.shareCommand(), a.getCommand(), a.trustCommand(), a.explainCommand(), a.peersCommand(), a.swarmCommand(), a.meshCommand(), a.keyCommand())
	add("node", a.statusCommand(), a.daemonCommand(), a.doctorCommand(), a.completionCommand())
	return root, nil
}

// helpCommand returns cobra's help command, changed so that an unknown command is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "explain a command",
		RunE: func(c *cobra.Command, words []string) error {
			about, rest, err := c.Root().Find(words)
			if err != nil {
				return err
			}
			if len(rest) > 0 && about.HasSubCommands() {
				return unknownCommand(about, rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
			about, _, err := c.Root().Find(words)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range about.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func usage(format string, args ...any) error {
	return protocol.Errorf(protocol.Invalid, format, args...).WithHint("see: nuka help")
}

// exactArgs is cobra.ExactArgs with nuka's own error messages.
func exactArgs(names ...string) cobra.PositionalArgs { return rangeArgs(len(names), names...) }

// rangeArgs accepts the named arguments; the first least of them are required.
func rangeArgs(least int, names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return protocol.Errorf(protocol.Invalid, "%s: %s is missing", c.Name(), names[len(args)]).WithHint("usage: %s", c.UseLine())
		case len(args) > len(names):
			return protocol.Errorf(protocol.Invalid, "%s: %q is one argument too many", c.Name(), args[len(names)]).WithHint("usage: %s", c.UseLine())
		}
		return nil
	}
}

func (a *app) jsonFlag(c *cobra.Command) { c.Flags().BoolVar(&a.json, "json", false, "write JSON") }

// withoutPackage annotates a command that takes PKG, and does something else without it.
const withoutPackage = "without-package"

var errHelp = errors.New("help was asked for")

// splitPackage parses the words of a command that takes PKG [flags of the package] [-- words for the program].
// A flag that the command knows belongs to the command, anywhere before "--". Any other word after PKG belongs to the package.
func (a *app) splitPackage(c *cobra.Command, words []string) (pkg string, pkgArgs, programArgs []string, err error) {
	var own []string
	help := false
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "--" {
			programArgs = words[i+1:]
			break
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		flag := c.Flags().Lookup(name)
		if flag == nil && len(name) == 1 && !strings.HasPrefix(word, "--") {
			flag = c.Flags().ShorthandLookup(name)
		}
		switch {
		case word == "--help" || word == "-h":
			help = true
		case strings.HasPrefix(word, "-") && len(word) > 1 && flag != nil:
			own = append(own, word)
			if flag.NoOptDefVal == "" && !hasValue && i+1 < len(words) {
				i++
				own = append(own, words[i])
			}
		case pkg == "" && strings.HasPrefix(word, "-"):
			own = append(own, word) // an unknown flag before PKG is refused by Parse
		case pkg == "":
			pkg = word
		default:
			pkgArgs = append(pkgArgs, word)
		}
	}
	if help {
		if i := slices.Index(own, "--packages"); i >= 0 && i+1 < len(own) {
			a.set = own[i+1]
		}
		return pkg, nil, nil, errHelp
	}
	if err := c.Flags().Parse(own); err != nil {
		return "", nil, nil, a.flagError(c, err)
	}
	if err := a.checkNode(); err != nil {
		return "", nil, nil, err
	}
	if pkg == "" && c.Annotations[withoutPackage] == "" {
		return "", nil, nil, protocol.Errorf(protocol.Invalid, "%s: PKG is missing", c.Name()).
			WithHint("give a package file, or a name of the package set: %s", strings.Join(setNames(), ", "))
	}
	return pkg, pkgArgs, programArgs, nil
}

// packageCommand changes a command so that it takes PKG and the flags of the package.
func (a *app) packageCommand(c *cobra.Command, run func(c *cobra.Command, pkg string, pkgArgs, programArgs []string) error) *cobra.Command {
	c.DisableFlagParsing = true
	c.ValidArgsFunction = a.completePackage
	c.RunE = func(c *cobra.Command, words []string) error {
		pkg, pkgArgs, programArgs, err := a.splitPackage(c, words)
		if errors.Is(err, errHelp) {
			if pkg != "" {
				return a.packageHelp(c, pkg)
			}
			return c.Help()
		}
		if err != nil {
			return err
		}
		return run(c, pkg, pkgArgs, programArgs)
	}
	return c
}
