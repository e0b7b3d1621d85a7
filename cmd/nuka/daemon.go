package main

import (
	"errors"
	"fmt"
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
		Short: "start or stop the node",
		Long: `Daemon starts and stops the node of this home, and shows its state. A command that needs the node
starts it. A service manager runs: nukad --foreground`,
	})
	start := &cobra.Command{
		Use: "start", Short: "start the node if it is not running", Args: exactArgs(),
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
	status := &cobra.Command{Use: "status", Short: "show the state of the node", Args: exactArgs(), RunE: a.status}
	a.jsonFlag(start)
	a.jsonFlag(status)
	daemon.AddCommand(start, stop, status, a.ticketCommand())
	return daemon
}

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "show the state of the node without starting it", Args: exactArgs(), RunE: a.status,
		Long: `Status shows the state of the node and does not start it. In the output of --json, missing_walls and confinement
name the protections of builds that this machine does not have.`,
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

// statusJSON is a Status as --json writes it: the name of each field that has a unit contains the unit.
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
	if a.node == "" { // another node's log is on its own machine
		fmt.Fprintf(w, "log\t%s\n", a.home.DaemonLog())
	}
	running := "nothing"
	if len(s.Running) > 0 {
		running = strings.Join(s.Running, ", ")
	}
	if a.node == "" && s.Mount.How != "" {
		fmt.Fprintf(w, "packages\t%s\n", printable(mountLine(&s.Mount)))
	}
	fmt.Fprintf(w, "walls\t%s\n", printable(walls(s)))
	fmt.Fprintf(w, "working on\t%s\n", printable(running))
	return w.Flush()
}

// mountLine describes in one line how packages are shown as folders.
func mountLine(m *protocol.MountState) string {
	switch {
	case m.How == "off":
		return "not shown as folders: " + m.Why
	case m.Why == "":
		return fmt.Sprintf("in %s (%s)", m.Path, m.How)
	}
	return fmt.Sprintf("in %s (%s: %s)", m.Path, m.How, m.Why)
}

// walls describes in one line how builds are confined.
func walls(s *protocol.Status) string {
	if len(s.MissingWalls) == 0 {
		return "complete"
	}
	names := make([]string, 0, len(s.MissingWalls))
	for _, m := range s.MissingWalls {
		name, _, _ := strings.Cut(m, ":")
		names = append(names, name)
	}
	what := "this node builds no packages that other users described"
	if s.Partial {
		what = "it builds packages of other users without this wall, as config.nuon allows"
	}
	return "missing: " + strings.Join(names, ", ") + "; " + what + " (nuka doctor)"
}
