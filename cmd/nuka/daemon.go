package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) daemonCommand() *cobra.Command {
	daemon := group(&cobra.Command{
		Use:   "daemon",
		Short: "start and stop the node",
		Long: `Daemon starts, stops and describes the node of this home. Commands start it when they need it.
A service manager runs it as: nukad --foreground`,
	})
	start := &cobra.Command{
		Use: "start", Short: "start the node unless it runs", Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.connect(c.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			return a.printStatus(c, client)
		},
	}
	stop := a.stopCommand()
	status := &cobra.Command{Use: "status", Short: "say how the node is", Args: exactArgs(), RunE: a.status}
	a.jsonFlag(start)
	a.jsonFlag(status)
	daemon.AddCommand(start, stop, status, a.ticketCommand())
	return daemon
}

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "say how the node is, without starting it", Args: exactArgs(), RunE: a.status,
		Long: `Status says how the node is, and starts none. In the JSON of --json, missing_walls and confinement are what the sandbox of builds lacks here.`,
	}
	a.jsonFlag(c)
	return c
}

func (a *app) status(c *cobra.Command, _ []string) error {
	if a.node != "" {
		client, err := a.attach(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		return a.printStatus(c, client)
	}
	a.awaitFolder(c.Context())
	var s protocol.Status
	err := control.Ask(c.Context(), a.home.Run, protocol.OpStatus, &s)
	if errors.Is(err, control.ErrNoDaemon) {
		return protocol.Errorf(protocol.Unavailable, "no daemon is running for %s", a.home.Data).
			WithHint("commands start one when they need it; or: nuka daemon start")
	}
	if err != nil {
		return a.unreachable(c.Context(), err)
	}
	return a.writeStatus(&s)
}

func (a *app) printStatus(c *cobra.Command, client *control.Client) error {
	var s protocol.Status
	if err := client.Call(c.Context(), protocol.OpStatus, nil, &s, nil); err != nil {
		return err
	}
	return a.writeStatus(&s)
}

// statusJSON is a Status as --json writes it: with a unit in the name of what has one.
type statusJSON struct {
	*protocol.Status
	Nanoseconds *struct{} `json:"uptime,omitempty"` // in place of Status's
	Seconds     float64   `json:"uptime_seconds"`
}

func (a *app) writeStatus(s *protocol.Status) error {
	if a.json {
		return a.terminal.json(statusJSON{Status: s, Seconds: s.Uptime.Seconds()})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "home\t%s\n", s.Home)
	fmt.Fprintf(w, "version\t%s\n", s.Version)
	fmt.Fprintf(w, "key\t%s\n", s.Key)
	fmt.Fprintf(w, "process\t%d, up for %s\n", s.Process, s.Uptime.Round(time.Second))
	if a.node == "" { // another node's is on its machine
		fmt.Fprintf(w, "log\t%s\n", a.home.DaemonLog())
	}
	running := "nothing"
	if len(s.Running) > 0 {
		running = strings.Join(s.Running, ", ")
	}
	fmt.Fprintf(w, "walls\t%s\n", printable(walls(s)))
	fmt.Fprintf(w, "working on\t%s\n", printable(running))
	return w.Flush()
}

// walls says in a line how builds are confined.
func walls(s *protocol.Status) string {
	if len(s.MissingWalls) == 0 {
		return "all there"
	}
	names := make([]string, 0, len(s.MissingWalls))
	for _, m := range s.MissingWalls {
		name, _, _ := strings.Cut(m, ":")
		names = append(names, name)
	}
	what := "packages that others described are not built"
	if s.Partial {
		what = "packages of others are built all the same, as config.nuon says"
	}
	return "missing: " + strings.Join(names, ", ") + "; " + what + " (nuka doctor)"
}

// A finding is one line of the doctor's.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "look for what keeps nuka from working here",
		Args:  exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			findings := a.examine(c)
			bad := 0
			for _, f := range findings {
				if !f.OK {
					bad++
				}
			}
			if a.json {
				if err := a.terminal.json(findings); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					mark := map[bool]string{true: "ok", false: "!!"}[f.OK]
					fmt.Fprintf(a.out, "%s  %s: %s\n", mark, f.What, printable(f.Detail))
					if f.Hint != "" && !f.OK {
						fmt.Fprintf(a.out, "    %s\n", f.Hint)
					}
				}
			}
			if bad > 0 {
				return exitError(1)
			}
			return nil
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) examine(c *cobra.Command) (findings []finding) {
	add := func(what string, err error, detail, hint string) {
		f := finding{What: what, OK: err == nil, Detail: detail, Hint: hint}
		if err != nil {
			f.Detail = err.Error()
		}
		findings = append(findings, f)
	}
	elsewhere := a.node != "" // what is about this machine is not about that node
	if !elsewhere {
		add("home", writable(a.home.Data), a.home.Data, "set NUKA_HOME to a folder of yours")
		program, err := daemonProgram()
		add("daemon's program", err, program, "install nukad beside nuka")
	}
	client, err := a.connect(c.Context())
	if elsewhere {
		add("node of the ticket", err, "it answers", "ask the node's user whether it runs, and whether the ticket still holds")
	} else {
		add("daemon", err, "it answers", "its log: "+a.home.DaemonLog())
	}
	if err == nil {
		defer client.Close()
		var s protocol.Status
		err := client.Call(c.Context(), protocol.OpStatus, nil, &s, nil)
		if err == nil && s.Version != version {
			err = fmt.Errorf("the daemon is version %s, the command %s", s.Version, version)
		}
		add("version", err, version, "nuka daemon stop")
		for _, line := range s.Confinement {
			var missing error
			if slices.Contains(s.MissingWalls, line) && !s.Partial {
				missing = errors.New("lacks: " + line)
			}
			add("sandbox", missing, "lacks: "+line, "until then this node builds nothing that others described; confine: partial in config.nuon allows it")
		}
		if err == nil && len(s.Confinement) == 0 {
			add("sandbox", nil, "Landlock, seccomp and all else is there", "")
		}
		if elsewhere {
			return findings // a ticket is about builds, not about that node's store
		}
		var stats protocol.Stats
		err = client.Call(c.Context(), protocol.OpStats, nil, &stats, nil)
		if err == nil && stats.Damaged > 0 {
			err = fmt.Errorf("%d damaged files were set aside", stats.Damaged)
		}
		add("store", err, fmt.Sprintf("%d files, %s", stats.Files, size(stats.FileBytes)), "build again what needs them; nuka store verify names them")
	}
	if elsewhere {
		return findings
	}
	if free, err := freeSpace(a.home.Data); err == nil {
		var low error
		if free < 2<<30 {
			low = fmt.Errorf("only %s are free", size(free))
		}
		add("disk", low, size(free)+" free", "builds of large packages need a few gigabytes")
	}
	_, result := a.eval(c.Context(), "hello", nil)
	add("evaluation", result, "hello evaluates", "")
	return findings
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
