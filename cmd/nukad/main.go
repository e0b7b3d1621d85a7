// Nukad is the system daemon: the node with its store. The command nuka is its light peer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/node"
	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/netd"
	"github.com/MordragT/nuka/node/worker"
	"github.com/MordragT/nuka/protocol"
)

const version = "0.1.0"

const usage = `usage: nukad [system] [--foreground] [--idle DURATION] [--wait DURATION] [--log LEVEL]
       nukad --version

Nukad runs the node of NUKA_HOME, or of the user's own folders, until it is told to stop:
by the signals INT and TERM, or by: nuka daemon stop. Running builds may end first; a second signal ends them.

With system, nukad is the daemon of all users of this machine, if NUKA_HOME is not set: root runs it, packages are in /nuka, the
configuration is in /etc/nuka, and builds run as users of their own. docs/system.md describes it. Each swarm that the node is in has a
process of its own, "nukad net NAME", to which neither the store nor the node's key is open; another is started when one dies.
The setting apart in config.nuon does the latter for a daemon of one user.

  --foreground      for service managers: stay until stopped, log to standard error
  --idle DURATION   end when nobody has called for so long, such as 1h
  --wait DURATION   wait for another daemon of the home that is ending; 0 does not
  --log LEVEL       debug, info, warn or error (warn)
`

func main() {
	if len(os.Args) > 1 && (os.Args[1] == worker.Arg || os.Args[1] == machine.Arg || os.Args[1] == netd.Arg) {
		if err := runChild(os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "nukad: %s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == fsmount.HolderArg {
		code, err := fsmount.Hold(os.Args[2])
		if err != nil {
			fmt.Fprintf(os.Stderr, "nukad: %s: %v\n", os.Args[1], err)
		}
		os.Exit(code)
	}
	// quic-go's warning about small socket buffers does not apply on loopback.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		e := protocol.AsError(err)
		fmt.Fprintf(os.Stderr, "nukad: %s\n", e.Message)
		if e.Hint != "" {
			fmt.Fprintf(os.Stderr, "hint: %s\n", e.Hint)
		}
		os.Exit(1)
	}
}

// runChild does the work of a process that a daemon has started.
func runChild(what string) error {
	if st, err := os.Stdin.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return errors.New("only a daemon starts this: nukad system")
	}
	switch what {
	case netd.Arg:
		return netd.Main()
	case machine.Arg:
		return machine.Main()
	}
	return worker.Run()
}

func run(args []string) error {
	apart := len(args) > 0 && args[0] == "system"
	if apart {
		args = args[1:]
	}
	flags := flag.NewFlagSet("nukad", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	foreground := flags.Bool("foreground", false, "")
	idle := flags.Duration("idle", 0, "")
	wait := flags.Duration("wait", 0, "")
	printVersion := flags.Bool("version", false, "")
	level := slog.LevelWarn
	flags.TextVar(&level, "log", level, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		os.Exit(2) // package flag has printed the reason
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	if *printVersion {
		fmt.Println("nukad", version)
		return nil
	}
	userHome, _ := os.UserHomeDir()
	home, err := protocol.FindHome(os.Getenv, userHome)
	if err != nil {
		return err
	}
	if apart && os.Getenv("NUKA_HOME") == "" {
		if home, err = systemHome(); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, terminate)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	started := time.Now()
	look := watchFeeds
	if apart { // the daemon of all users has no desktop, and its own account follows no feeds
		look = nil
	}
	return node.Run(ctx, &node.Options{
		Watch: look, Home: home, Version: version, UserHome: userHome, Getenv: os.Getenv, Idle: *idle, Wait: *wait, Apart: apart, Log: log,
		Ready: func() {
			if *foreground {
				fmt.Fprintf(os.Stderr, "nukad: ready after %s, home %s\n", time.Since(started).Round(time.Millisecond), home.Data)
			}
		},
	})
}

// watchFeeds has the command look at the feeds of advisories once: it audits, and tells what is new.
func watchFeeds(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "nuka"), "advisories", "watch", "--once")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 15 * time.Second // a program of the user's has 10
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.500s", c.Args[0], err, out)
	}
	return nil
}

// systemHome returns the home of the daemon of all users of this machine.
func systemHome() (protocol.Home, error) {
	root, err := protocol.SystemRoot(os.Getenv)
	if err != nil {
		return protocol.Home{}, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	if os.Getuid() > 0 {
		return protocol.Home{}, protocol.Errorf(protocol.Denied, "only root runs the daemon of all users").
			WithHint("for a daemon of your own: nukad; for one with its swarms in processes of their own, set NUKA_HOME or the setting apart")
	}
	return protocol.SystemHome(root), nil
}
