package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) listCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "list the installed packages", Args: exactArgs()}
	var o profileOptions
	o.nameFlag(c)
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := a.profile(o.name)
		if err != nil {
			return err
		}
		g, err := dir.Current()
		if err != nil {
			return err
		}
		list := []*listed{}
		if g != nil {
			for _, name := range g.Names() {
				p := g.Packages[name]
				list = append(list, listedOf(name, &p))
			}
		}
		if a.json {
			return a.terminal.json(list)
		}
		if len(list) == 0 {
			a.say("nothing is installed in the profile %s", o.name)
			return nil
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, p := range list {
			note := strings.Join(p.Commands, " ")
			if p.Pinned {
				note = strings.TrimSpace("pinned  " + note)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(p.Name), printable(p.Version), p.PID.Short(), printable(note))
		}
		return w.Flush()
	}
	return c
}

// A past is a generation as --json writes it.
type past struct {
	Generation int       `json:"generation"`
	Current    bool      `json:"current,omitempty"`
	Created    time.Time `json:"created,omitzero"`
	Command    string    `json:"command,omitempty"`
	Env        string    `json:"env,omitempty"`     // PID of the environment
	Changes    []changed `json:"changes,omitempty"` // since the generation before
	Error      string    `json:"error,omitempty"`
}

func (a *app) historyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "history", Short: "list the generations of the profile", Args: exactArgs(),
		Long: `History lists all generations, and what each changed. * marks the one in use. Generations stay until nuka gc --generations N removes them.`,
	}
	var o profileOptions
	o.nameFlag(c)
	a.jsonFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := a.profile(o.name)
		if err != nil {
			return err
		}
		numbers, err := dir.Numbers()
		if err != nil {
			return err
		}
		current, err := dir.Number()
		if err != nil {
			a.say("%v", err) // history must show the generations to choose from
		}
		var before *profile.Generation
		list := []past{}
		for _, n := range numbers {
			one := past{Generation: n, Current: n == current}
			g, err := dir.Generation(n)
			if err != nil {
				one.Error = protocol.AsError(err).Message
			} else {
				one.Created, one.Command, one.Changes = g.Created, g.Command, changedOf(profile.Diff(before, g))
				if id, err := g.EnvPID(); err == nil && !id.IsZero() {
					one.Env = id.String()
				}
				before = g
			}
			list = append(list, one)
		}
		if a.json {
			return a.terminal.json(list)
		}
		a.printHistory(dir, list)
		return nil
	}
	return c
}

func (a *app) printHistory(dir *profile.Dir, list []past) {
	if len(list) == 0 {
		a.say("the profile %s has no generations", dir.Name)
	}
	var before *profile.Generation
	for _, p := range list {
		mark := " "
		if p.Current {
			mark = "*"
		}
		if p.Error != "" {
			fmt.Fprintf(a.out, "%s %d  %s\n", mark, p.Generation, printable(p.Error))
			continue
		}
		fmt.Fprintf(a.out, "%s %d  %s  nuka %s\n", mark, p.Generation, p.Created.Local().Format("2006-01-02 15:04:05"), printable(p.Command))
		g, err := dir.Generation(p.Generation)
		if err != nil {
			continue
		}
		for _, c := range profile.Diff(before, g) {
			fmt.Fprintln(a.out, "      "+printable(changeText(&c)))
		}
		before = g
	}
}

func (a *app) diffCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "diff [A [B]]", Short: "show what differs between two generations", Args: rangeArgs(0, "A", "B"),
		Long:    "Diff compares generation A with B. B is the generation in use if it is left out, and A the one before it.",
		Example: "  nuka diff\n  nuka diff 3\n  nuka diff 3 5",
	}
	var o profileOptions
	o.nameFlag(c)
	a.jsonFlag(c)
	c.RunE = func(_ *cobra.Command, words []string) error {
		dir, err := a.profile(o.name)
		if err != nil {
			return err
		}
		to, err := dir.Current()
		if len(words) == 2 {
			to, err = generation(dir, words[1])
		}
		if err != nil {
			return err
		}
		var from *profile.Generation
		if len(words) > 0 {
			from, err = generation(dir, words[0])
		} else if to != nil {
			var n int
			if n, err = earlier(dir, to.Number); err == nil && n > 0 {
				from, err = dir.Generation(n)
			}
		}
		if err != nil {
			return err
		}
		changes := profile.Diff(from, to)
		if a.json {
			return a.terminal.json(changedOf(changes))
		}
		a.printChanges(changes, nil)
		return nil
	}
	return c
}

// generation reads the generation whose number a user wrote.
func generation(dir *profile.Dir, word string) (*profile.Generation, error) {
	n, err := generationNumber(word)
	if err != nil {
		return nil, err
	}
	return dir.Generation(n)
}

func generationNumber(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 {
		return 0, protocol.Errorf(protocol.Invalid, "%.60q is not the number of a generation", word).WithHint("all generations: nuka history")
	}
	return n, nil
}

// earlier returns the number of the generation before n, and 0 if there is none.
func earlier(dir *profile.Dir, n int) (int, error) {
	numbers, err := dir.Numbers()
	before := 0
	for _, m := range numbers {
		if m < n {
			before = m
		}
	}
	return before, err
}

func (a *app) rollbackCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rollback [N]", Short: "use an earlier generation of the profile", Args: rangeArgs(0, "N"),
		Long: `Rollback puts generation N into use, or the one before the present one. It changes one link and nothing else: no generation is removed,
and nuka rollback N also goes forward.`,
		Example: "  nuka rollback\n  nuka rollback 3",
	}
	var o profileOptions
	o.nameFlag(c)
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		dir, err := a.profile(o.name)
		if err != nil {
			return err
		}
		lock, err := dir.Lock(c.Context(), func() { a.say("waiting for another command that changes the profile %s", o.name) })
		if err != nil {
			return err
		}
		defer lock.Close()
		n := 0
		current, currentErr := dir.Number()
		if len(words) > 0 {
			n, err = generationNumber(words[0])
		} else if err = currentErr; err == nil {
			if n, err = earlier(dir, current); err == nil && n == 0 {
				return protocol.Errorf(protocol.NotFound, "the profile %s has no earlier generation", o.name).WithHint("all generations: nuka history")
			}
		}
		if err != nil {
			return err
		}
		to, err := dir.Generation(n)
		if err != nil {
			return err
		}
		var from *profile.Generation
		if current > 0 {
			from, err = dir.Generation(current)
			if err != nil {
				a.say("%v", err) // leaving a damaged generation is what rollback is for
			}
		}
		if err := lock.Use(n); err != nil {
			return err
		}
		changes := profile.Diff(from, to)
		if a.json {
			return a.terminal.json(changeResult{Profile: o.name, Generation: n, Changes: changedOf(changes)})
		}
		a.printChanges(changes, nil)
		a.say("generation %d of the profile %s", n, o.name)
		return nil
	}
	return c
}
