package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) rootCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "root",
		Short: "keep packages from collection",
		Long: `A root is a name that keeps a package, and all packages that it refers to, from nuka gc. Names are paths: NAME is short for
user/NAME. Installed packages have roots of their own, below profile.`,
		Example: "  nuka root add tools lua\n  nuka root add old 3lgdxcsu\n  nuka root list\n  nuka root remove tools",
	})
	c.AddCommand(a.rootAdd(), a.rootList(), a.rootRemove())
	return c
}

// rootName returns the full name of a root that a user names.
func rootName(name string) string {
	for _, prefix := range []string{protocol.RootUser, protocol.RootProfile, protocol.RootServices, protocol.RootGot} {
		if strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return protocol.RootUser + name
}

func (a *app) rootAdd() *cobra.Command {
	c := &cobra.Command{
		Use:   "add NAME PKG [flags of the package]",
		Short: "keep a package or content, and build the package first if it is missing",
		Long: `Add stores a root. It replaces a root of the same name. PKG is a PID, a CID, the name of an installed package, or a package name or
file with its flags.`,
	}
	var o buildOptions
	o.flags(c)
	a.packageFlags(c)
	a.jsonFlag(c)
	a.packageCommand(c, func(c *cobra.Command, name string, args, rest []string) error {
		switch {
		case len(rest) > 0:
			return usage("root add: %q: no program runs, so nothing takes this argument", rest[0])
		case len(args) == 0:
			return protocol.Errorf(protocol.Invalid, "root add: PKG is missing").WithHint("usage: %s", c.UseLine())
		}
		root := protocol.Root{Name: rootName(name)}
		if err := protocol.CheckRootName(root.Name, false); err != nil {
			return err
		}
		var err error
		word := args[0]
		if id, ok := a.namedWithoutEval(word); ok && len(args) == 1 {
			word = id
		}
		if root.PID, err = pir.ParsePID(word); err != nil {
			if content, err := cid.Parse(word); err == nil {
				root.CID = content.String()
			}
		}
		if root.PID.IsZero() && root.CID == "" {
			o.root = root.Name
			client, _, err := a.build(c.Context(), args[0], args[1:], &o)
			if err != nil {
				return err
			}
			client.Close()
		} else if len(args) > 1 {
			return usage("root add: %q: only a package has flags", args[1])
		}
		change := protocol.RootsArgs{List: true, Prefix: root.Name}
		if o.root == "" {
			change.Put = []protocol.Root{root}
		}
		return a.roots(c, change)
	})
	c.ValidArgsFunction = func(c *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(before) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completePackage(c, before[1:], word)
	}
	return c
}

func (a *app) rootList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [BEGINNING]",
		Short: "list the roots whose names begin with BEGINNING",
		Args:  rangeArgs(0, "BEGINNING"),
		RunE: func(c *cobra.Command, words []string) error {
			return a.roots(c, protocol.RootsArgs{List: true, Prefix: strings.Join(words, "")})
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) rootRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "remove a root; the next collection removes what nothing else keeps",
		Args:  exactArgs("NAME"),
		RunE: func(c *cobra.Command, words []string) error {
			return a.call(c, protocol.OpRoots, protocol.RootsArgs{Delete: []string{rootName(words[0])}}, nil, nil)
		},
	}
}

// roots changes roots and prints those that the call lists.
func (a *app) roots(c *cobra.Command, args protocol.RootsArgs) error {
	var list []protocol.Root
	if err := a.call(c, protocol.OpRoots, args, &list, nil); err != nil {
		return err
	}
	if a.json {
		return a.terminal.json(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range list {
		what := r.CID
		if !r.PID.IsZero() {
			what = r.PID.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(r.Name), cmp.Or(what, "-"), r.Created.Format("2006-01-02 15:04:05"))
	}
	return w.Flush()
}
