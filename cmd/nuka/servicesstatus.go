package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
)

// A serviceStatus is a service as --json writes it.
type serviceStatus struct {
	Name       string    `json:"name"`
	Wanted     bool      `json:"wanted"` // false: the user has stopped it
	State      string    `json:"state"`
	Ready      bool      `json:"ready"`
	Text       string    `json:"text,omitempty"`
	Generation int       `json:"generation"`        // that shall run
	Running    int       `json:"running,omitempty"` // that runs
	Since      time.Time `json:"since,omitzero"`
	Restarts   int       `json:"restarts,omitempty"`
	Exit       string    `json:"exit,omitempty"`
	Launcher   int       `json:"launcher,omitempty"`
	Program    int       `json:"program,omitempty"`
	Manager    string    `json:"manager"`
}

func (a *app) servicesStatus() *cobra.Command {
	c := &cobra.Command{
		Use: "status [NAME…]", Short: "show what the services do", Args: cobra.ArbitraryArgs,
		Long: `Status shows each service that was applied: its state and since when, the generation of it that runs, how often its program was restarted, and how that ended last.
It asks neither the node nor the service manager.`,
	}
	var o servicesOptions
	o.flags(c)
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeServices(&o)
	c.RunE = func(_ *cobra.Command, words []string) error {
		dir, err := a.servicesDir(&o)
		if err != nil {
			return err
		}
		g, err := dir.Current()
		if err != nil {
			return err
		}
		if g == nil && len(words) == 0 && a.json {
			return a.terminal.json([]serviceStatus{})
		}
		if g == nil {
			return nothingApplied(dir)
		}
		names, err := chosen(g, words, len(words) == 0)
		if err != nil {
			return err
		}
		list, err := statusOf(dir, g, names)
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(list)
		}
		if dir.Interrupted() {
			a.say("a change is under way, or was interrupted: the next one finishes it or takes it back first")
		}
		if g.Manager == ownManager && !deploy.NewOwn(dir).Runs(context.Background()) {
			a.say("nuka services run does not run here, so nothing keeps the services running")
		}
		return a.printServices(list)
	}
	return c
}

// statusOf returns what the services of the current generation do.
func statusOf(dir *deploy.Dir, g *deploy.Generation, names []string) ([]serviceStatus, error) {
	view, err := dir.See(g)
	if err != nil {
		return nil, err
	}
	list := []serviceStatus{}
	for _, name := range names {
		r := view.Running[name]
		s := serviceStatus{
			Name: name, Wanted: !slices.Contains(view.Stopped, name), Generation: g.Members[name].From, Restarts: r.Restarts, Exit: r.Exit, Manager: g.Manager, Since: r.Since,
			State: whatItDoes(r),
		}
		if r.Alive {
			s.Running, s.Launcher, s.Program, s.Ready, s.Text = r.Generation, r.Launcher, r.Program, r.State == "ready", r.Text
		} else if s.State == notRunning && !g.Service(name).Every.IsZero() && service.KeepsTimes(g.Manager) {
			s.State = "waiting: for its time"
		}
		list = append(list, s)
	}
	return list, nil
}

func (a *app) printServices(list []serviceStatus) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range list {
		state := s.State
		if !s.Wanted && s.Running == 0 {
			state = "stopped"
		}
		since := ""
		if !s.Since.IsZero() {
			since = age(time.Since(s.Since))
		}
		note := fmt.Sprintf("generation %d", s.Generation)
		if s.Running > 0 && s.Running != s.Generation {
			note = fmt.Sprintf("generation %d runs, %d is wanted", s.Running, s.Generation)
		}
		if s.Exit != "" {
			note += "; before: " + s.Exit
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, printable(state), since, s.Manager, printable(note))
	}
	return w.Flush()
}

// A servicesPast is a generation as --json writes it.
type servicesPast struct {
	Generation int       `json:"generation"`
	Current    bool      `json:"current,omitempty"`
	Created    time.Time `json:"created,omitzero"`
	Set        string    `json:"set,omitempty"`
	Manager    string    `json:"manager,omitempty"`
	Failed     string    `json:"failed,omitempty"`
	Changes    []string  `json:"changes,omitempty"`
	Error      string    `json:"error,omitempty"`
}

func (a *app) servicesHistory() *cobra.Command {
	c := &cobra.Command{
		Use: "history", Short: "list the generations of services", Args: exactArgs(),
		Long: `History lists all generations, what each has changed, and why it failed. * marks the one in use. A generation keeps its packages in the store until
nuka gc --generations N, which leaves those that run.`,
	}
	var o servicesOptions
	o.flags(c)
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := a.servicesDir(&o)
		if err != nil {
			return err
		}
		list, err := pastServices(dir)
		if err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(list)
		}
		for _, p := range list {
			star := " "
			if p.Current {
				star = "*"
			}
			if p.Error != "" {
				fmt.Fprintf(a.out, "%s %d  %s\n", star, p.Generation, printable(p.Error))
				continue
			}
			fmt.Fprintf(a.out, "%s %d  %s  %s  %s\n", star, p.Generation, p.Created.Local().Format("2006-01-02 15:04:05"), p.Manager, p.Set[:8])
			if p.Failed != "" {
				fmt.Fprintf(a.out, "     failed: %s\n", printable(p.Failed))
			}
			for _, change := range p.Changes {
				fmt.Fprintf(a.out, "     %s\n", printable(change))
			}
		}
		return nil
	}
	return c
}

// pastServices describes all generations. Each one is compared with the last before it that did not fail.
func pastServices(dir *deploy.Dir) ([]servicesPast, error) {
	numbers, err := dir.Numbers()
	if err != nil {
		return nil, err
	}
	current, err := dir.Number()
	if err != nil {
		return nil, err
	}
	list := []servicesPast{}
	var before *deploy.Generation
	for _, n := range numbers {
		p := servicesPast{Generation: n, Current: n == current}
		g, err := dir.Generation(n)
		if err != nil {
			p.Error = protocol.AsError(err).Message
			list = append(list, p)
			continue
		}
		p.Created, p.Set, p.Manager, p.Failed, p.Changes = g.Created, g.Set.String(), g.Manager, g.Failed, deploy.Changes(before, g)
		if g.Failed == "" {
			before = g
		}
		list = append(list, p)
	}
	return list, nil
}

func (a *app) servicesLogs() *cobra.Command {
	c := &cobra.Command{
		Use: "logs NAME", Short: "print what a service has printed", Args: exactArgs("NAME"),
		Example: "  nuka services logs web --lines 100\n  nuka services logs web -f",
	}
	var o servicesOptions
	o.flags(c)
	lines := c.Flags().IntP("lines", "n", 20, "print the last `N` lines")
	follow := c.Flags().BoolP("follow", "f", false, "go on with what it prints from now on")
	c.ValidArgsFunction = a.completeServices(&o)
	c.RunE = func(c *cobra.Command, words []string) error {
		dir, err := a.servicesDir(&o)
		if err != nil {
			return err
		}
		if *lines < 0 {
			return usage("services logs: --lines %d: want 0 or more", *lines)
		}
		if err := knownService(dir, words[0]); err != nil {
			return err
		}
		for _, line := range dir.Tail(words[0], *lines, 0) {
			fmt.Fprintln(a.out, printable(line))
		}
		if !*follow {
			return nil
		}
		return a.followLog(c.Context(), dir.Log(words[0]))
	}
	return c
}

// knownService returns an error unless a service is applied, or has left a log.
func knownService(dir *deploy.Dir, name string) error {
	g, err := dir.Current()
	if err != nil || g.Service(name) != nil {
		return err
	}
	if !strings.ContainsAny(name, `./\`) {
		if _, err := os.Stat(dir.Log(name)); err == nil {
			return nil
		}
	}
	_, err = chosen(g, []string{name}, false)
	return err
}

// followLog prints what is appended to a log, over rotations, until ctx ends.
func (a *app) followLog(ctx context.Context, path string) error {
	f, err := openEnd(path)
	if err != nil {
		return err
	}
	defer func() {
		if f != nil {
			f.Close() //nolint:errcheck // it was read only
		}
	}()
	var rest string
	for {
		if f != nil {
			r := bufio.NewReader(f)
			for {
				line, err := r.ReadString('\n')
				rest += line
				if err == nil || len(rest) > maxLine {
					fmt.Fprint(a.out, printable(rest))
					rest = ""
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
		if f, err = renewed(f, path); err != nil {
			return err
		}
	}
}

// openEnd opens a log at its end. It returns nil if there is none yet.
func openEnd(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekEnd)
	}
	return f, err
}

// renewed returns the file at path: f, if it is that, or else the new one, from its begin on.
func renewed(f *os.File, path string) (*os.File, error) {
	there, err := os.Stat(path)
	if err != nil {
		return f, nil // it is being rotated, or not there yet
	}
	if f != nil {
		if here, err := f.Stat(); err == nil && os.SameFile(here, there) {
			return f, nil
		}
		f.Close() //nolint:errcheck // it was read only
	}
	return os.Open(path)
}
