package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/MordragT/nuka/protocol"
)

// group makes a command that only has subcommands: without arguments it prints its help, and an unknown subcommand is an error.
func group(c *cobra.Command) *cobra.Command {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// unknownCommand returns the error for a word in place of a subcommand of c.
func unknownCommand(c *cobra.Command, word string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	err := protocol.Errorf(protocol.Invalid, "%q is not a command of %s", word, c.CommandPath())
	near := nearest(word, names)
	switch {
	case near != "" && c.HasParent():
		return err.WithHint("did you mean %s %s? It has %s", c.CommandPath(), near, strings.Join(names, ", "))
	case near != "":
		return err.WithHint("did you mean %s %s? All commands: nuka help", c.CommandPath(), near)
	case c.HasParent():
		return err.WithHint("it has %s", strings.Join(names, ", "))
	}
	return err.WithHint("see: nuka help")
}

// flagError explains what is wrong with a flag. If an unknown command precedes the flag, flagError reports the command instead.
func (a *app) flagError(c *cobra.Command, err error) error {
	if c.HasSubCommands() && c.Args != nil {
		for _, word := range c.Flags().Args() {
			if e := c.Args(c, []string{word}); e != nil {
				return e
			}
		}
	}
	e := protocol.Errorf(protocol.Invalid, "%w", err)
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return e.WithHint("see: %s --help", c.CommandPath())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	name, _, _ := strings.Cut(unknown.GetSpecifiedName(), "=")
	if near := nearest(name, names); near != "" {
		return e.WithHint("did you mean --%s? All flags: %s --help", near, c.CommandPath())
	}
	return e.WithHint("see: %s --help", c.CommandPath())
}

// nearest returns the name that a word probably misspells, or "".
func nearest(word string, names []string) string {
	c := cobra.Command{SuggestionsMinimumDistance: max(1, min(2, len(word)/2))}
	for _, name := range names {
		c.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return near[0]
	}
	return ""
}

// packageHelp prints the help of a package's own flags, then the command's help.
func (a *app) packageHelp(c *cobra.Command, pkg string) error {
	doc, params, err := a.signature(pkg)
	if err != nil {
		return err
	}
	if doc != "" {
		fmt.Fprintf(a.out, "%s\n\n", printable(doc))
	}
	if len(params) == 0 {
		fmt.Fprintf(a.out, "%s has no flags of its own.\n\n", pkg)
	} else {
		fmt.Fprintf(a.out, "Flags of %s, after its name:\n", pkg)
		w := tabwriter.NewWriter(a.out, 0, 0, 3, ' ', 0)
		for _, p := range params {
			fmt.Fprintf(w, "  %s\t%s\n", printable(p.Text), printable(p.Doc))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
	}
	return c.Help()
}

// nodeFlag is the value of --node. An empty value is refused: it comes from a variable that should have held a ticket,
// and the command would change the node of this machine, which is the wrong one.
type nodeFlag struct {
	ticket *string
}

func (f nodeFlag) String() string {
	if f.ticket == nil {
		return ""
	}
	return *f.ticket
}

func (nodeFlag) Type() string { return "TICKET" }

func (f nodeFlag) Set(s string) error {
	if strings.TrimSpace(s) == "" {
		return fmt.Errorf("the ticket is empty")
	}
	*f.ticket = s
	return nil
}

// checkNode returns an error if NUKA_NODE is set but empty, unless --node is given.
func (a *app) checkNode() error {
	if a.nodeEmpty && a.node == "" {
		return protocol.Errorf(protocol.Invalid, "NUKA_NODE is set and empty").
			WithHint("unset it to use the node of this machine; to make a ticket: nuka daemon ticket")
	}
	return nil
}
