package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) permissionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "permissions",
		Short: "show and change what foreign programs may do",
		Long: `Permissions are kept for each application: those that its packages asked for and you agreed to, those that you allow it always, and those that you
deny it. nuka exec --help has the list of permissions.`,
		Args: exactArgs(),
	}
	c.AddCommand(a.permissionsShow(), a.permissionsSet(), a.permissionsReset())
	return group(c)
}

// An appPermissions is the JSON of what is known about one application.
type appPermissions struct {
	App    string   `json:"app"`
	Agreed []string `json:"agreed"`
	Allow  []string `json:"allow"`
	Deny   []string `json:"deny"`
}

func (a *app) permissionsShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show [APP]", Short: "show the permissions of an application, or of all", Args: rangeArgs(0, "APP"),
		ValidArgsFunction: a.completeApps,
	}
	a.jsonFlag(c)
	c.RunE = func(_ *cobra.Command, apps []string) error {
		book := a.book()
		if len(apps) == 0 {
			var err error
			if apps, err = book.Apps(); err != nil {
				return err
			}
		}
		out := []appPermissions{}
		for _, app := range apps {
			e, err := book.Get(app)
			if err != nil {
				return err
			}
			out = append(out, appPermissions{app, permissionTexts(e.Seen), permissionTexts(e.Allow), permissionTexts(e.Deny)})
			if a.json {
				continue
			}
			if e.IsZero() {
				a.say("nothing was decided about %s", app)
				continue
			}
			fmt.Fprintln(a.out, app)
			for _, part := range []struct {
				how  string
				list []permission.Permission
			}{{"agreed", e.Seen}, {"allow", e.Allow}, {"deny", e.Deny}} {
				for _, p := range part.list {
					fmt.Fprintf(a.out, "  %-7s %s: %s\n", part.how, printable(p.String()), p.Says())
				}
			}
		}
		if a.json {
			return a.terminal.json(out)
		}
		return nil
	}
	return c
}

func permissionTexts(list []permission.Permission) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func (a *app) permissionsSet() *cobra.Command {
	c := &cobra.Command{
		Use: "set APP [--allow PERMISSION]… [--deny PERMISSION]…", Short: "allow or deny an application something, for each run", Args: exactArgs("APP"),
		Long: `Set keeps a decision about an application. What is allowed is given to it in each run; what is denied it does not get, also if its packages ask for it.
A later decision about the same thing replaces the earlier one.`,
		Example:           "  nuka permissions set python --allow network --allow files=~/data:ro\n  nuka permissions set editor --deny network",
		ValidArgsFunction: a.completeApps,
	}
	var allow, deny []string
	c.Flags().StringArrayVar(&allow, "allow", nil, "give the `PERMISSION`")
	c.Flags().StringArrayVar(&deny, "deny", nil, "take the `PERMISSION` away")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(allow)+len(deny) == 0 {
			return protocol.Errorf(protocol.Invalid, "permissions set: say what: --allow or --deny").WithHint("usage: %s", c.UseLine())
		}
		allowed, err := a.parsePermissions("--allow", allow)
		if err != nil {
			return err
		}
		denied, err := a.parsePermissions("--deny", deny)
		if err != nil {
			return err
		}
		return a.book().Change(c.Context(), args[0], func(e *permission.Entry) error {
			for _, p := range append(slices.Clone(allowed), denied...) {
				same := func(q permission.Permission) bool { return q.Kind == p.Kind && q.Name == p.Name }
				e.Allow, e.Deny = slices.DeleteFunc(e.Allow, same), slices.DeleteFunc(e.Deny, same)
			}
			e.Allow, e.Deny = append(e.Allow, allowed...), append(e.Deny, denied...)
			return nil
		})
	}
	return c
}

// parsePermissions reads the permissions of a flag and makes their paths absolute.
func (a *app) parsePermissions(flag string, texts []string) (out []permission.Permission, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		p, err := permission.Parse(text)
		if err == nil {
			p, err = p.Resolve(a.user, here)
		}
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%s %s: %w", flag, text, err).WithHint("the permissions: nuka exec --help")
		}
		out = append(out, p)
	}
	return out, nil
}

func (a *app) permissionsReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset APP", Short: "forget what was decided about an application", Args: exactArgs("APP"), ValidArgsFunction: a.completeApps,
		RunE: func(_ *cobra.Command, args []string) error { return a.book().Reset(args[0]) },
	}
}

func (a *app) completeApps(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	apps, _ := a.book().Apps()
	return apps, cobra.ShellCompDirectiveNoFileComp
}
