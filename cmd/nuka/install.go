package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) installCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "install PKG… | install PKG [flags of the package]",
		Short: "install packages for this user",
		Long: `Install adds packages to the profile and puts their commands into PATH. Each change of the profile is a generation;
nuka rollback goes back to an earlier one. A package of the same name as an installed one replaces it.

If two packages have different files at one path, choose: --priority lets the files of PKG win (or lose, if negative), --leave leaves files of
PKG out, --rename gives them other names.`,
		Example:     "  nuka install lua sqlite\n  nuka install zlib --minizip\n  nuka install luajit --rename bin/lua=bin/lua-jit\n  nuka install --relink",
		Annotations: map[string]string{withoutPackage: "yes"},
	}
	var o installOptions
	o.build.flags(c)
	o.nameFlag(c)
	c.Flags().IntVar(&o.merge.Priority, "priority", 0, "let files of PKG win over those of packages with a smaller `NUMBER`")
	c.Flags().StringArrayVar(&o.merge.Leave, "leave", nil, "leave out `PATH` of PKG, which may have wildcards, and everything below it")
	c.Flags().StringArrayVar(&o.rename, "rename", nil, "rename a file or folder of PKG: `FROM=TO`")
	c.Flags().BoolVar(&o.pin, "pin", false, "let nuka upgrade leave PKG as it is")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the changes and the plan, and change nothing")
	c.Flags().BoolVar(&o.relink, "relink", false, "write the launchers again, after nuka was moved")
	a.packageFlags(c)
	a.jsonFlag(c)
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		packages, err := a.installed(c, pkg, args, rest, &o)
		if err != nil {
			return err
		}
		return a.install(c.Context(), packages, &o)
	})
}

type installOptions struct {
	profileOptions
	merge       pir.Merge
	rename      []string
	pin, relink bool
}

// installed returns the packages that the words of install name: one with its flags, or several without.
func (a *app) installed(c *cobra.Command, pkg string, args, rest []string, o *installOptions) ([]asked, error) {
	if len(rest) > 0 {
		return nil, usage("%s: %q: no program runs, so nothing takes this argument", c.Name(), rest[0])
	}
	if pkg == "" {
		if o.relink {
			return nil, nil
		}
		return nil, protocol.Errorf(protocol.Invalid, "%s: PKG is missing", c.Name()).WithHint("usage: %s", c.UseLine())
	}
	packages, err := a.packagesOf(c, pkg, args)
	if err != nil {
		return nil, err
	}
	slices.Sort(o.merge.Leave)
	o.merge.Leave = slices.Compact(o.merge.Leave)
	for _, r := range o.rename {
		from, to, ok := strings.Cut(r, "=")
		if !ok {
			return nil, usage("%s: --rename %s: want FROM=TO", c.Name(), r)
		}
		if o.merge.Rename == nil {
			o.merge.Rename = map[string]string{}
		}
		o.merge.Rename[path.Clean(from)] = path.Clean(to)
	}
	if err := o.merge.Check(); err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %w", c.Name(), err).WithHint("see: %s --help", c.CommandPath())
	}
	if len(packages) > 1 && !o.merge.IsZero() {
		return nil, usage("%s: --priority, --leave and --rename are about one package, and there are %d", c.Name(), len(packages))
	}
	return packages, nil
}

// packagesOf returns the packages that the words of a command name: one with its flags, or several without.
func (a *app) packagesOf(c *cobra.Command, pkg string, args []string) ([]asked, error) {
	packages := []asked{{pkg: pkg, args: args, set: a.set}}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return packages, nil
	}
	packages[0].args = nil
	for _, word := range args {
		if strings.HasPrefix(word, "-") {
			return nil, protocol.Errorf(protocol.Invalid, "%s: %q is a flag of a package, and there are several packages", c.Name(), word).
				WithHint("give such a package alone")
		}
		packages = append(packages, asked{pkg: word, set: a.set})
	}
	return packages, nil
}

func (a *app) install(ctx context.Context, packages []asked, o *installOptions) error {
	if _, err := a.profile(o.name); err != nil { // before the work of an evaluation
		return err
	}
	words := []string{"install"}
	for _, p := range packages {
		words = append(append(words, p.pkg), p.args...)
	}
	if len(packages) == 0 {
		words = append(words, "--relink")
	}
	client, results, err := a.evalAll(ctx, packages)
	if err != nil {
		return err
	}
	t, err := a.begin(ctx, &o.profileOptions, strings.Join(words, " "))
	if err != nil {
		client.Close()
		return err
	}
	defer t.close()
	t.client, t.results = client, results
	for i, r := range results {
		p, err := newPackage(packages[i], r)
		if err != nil {
			return err
		}
		p.Pinned, p.Merge = o.pin, o.merge
		if old, there := t.next.Packages[r.Name]; there && old.PID == p.PID && p.Merge.IsZero() {
			p.Commands, p.Merge, p.Pinned = old.Commands, old.Merge, old.Pinned || o.pin
		}
		t.next.Packages[r.Name] = p
	}
	if len(t.changes()) == 0 && !o.relink {
		if err := t.repair(ctx); err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(changeResult{Profile: o.name, Changes: []changed{}})
		}
		for _, r := range results {
			a.say("%s is installed", strings.TrimSpace(r.Name+" "+r.Version))
		}
		return nil
	}
	return t.finish(ctx)
}

// repair makes the packages of the generation in use present again, if the store lost them.
func (t *transaction) repair(ctx context.Context) error {
	request, err := t.request()
	if request == nil || err != nil || t.o.dryRun {
		return err
	}
	_, err = t.a.realize(ctx, t.client, request, &t.o.build)
	return err
}

func (a *app) removeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "remove NAME…",
		Short: "remove installed packages",
		Long: `Remove makes a generation without these packages. The store keeps them as long as an earlier generation has them.
After the last package the profile is empty: the generation has no environment.`,
		Example: "  nuka remove lua sqlite",
	}
	var o profileOptions
	o.nameFlag(c)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the changes, and change nothing")
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeInstalled(&o)
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 {
			return protocol.Errorf(protocol.Invalid, "remove: NAME is missing").WithHint("nuka list shows the installed packages")
		}
		t, err := a.begin(c.Context(), &o, "remove "+strings.Join(names, " "))
		if err != nil {
			return err
		}
		defer t.close()
		for _, name := range names {
			if err := t.mustHave(name); err != nil {
				return err
			}
			delete(t.next.Packages, name)
		}
		return t.finish(c.Context())
	}
	return c
}

// mustHave returns an error unless the package of a name is installed.
func (t *transaction) mustHave(name string) error {
	if _, there := t.next.Packages[name]; there {
		return nil
	}
	err := protocol.Errorf(protocol.NotFound, "%q is not installed in the profile %s", name, t.dir.Name)
	if near := nearest(name, t.next.Names()); near != "" {
		return err.WithHint("did you mean %s? All: nuka list", near)
	}
	return err.WithHint("nuka list shows the installed packages")
}

func (a *app) pinCommand(pin bool) *cobra.Command {
	c := &cobra.Command{Use: "pin NAME…", Short: "let nuka upgrade leave packages as they are", Example: "  nuka pin lua"}
	if !pin {
		c = &cobra.Command{Use: "unpin NAME…", Short: "let nuka upgrade change packages again", Example: "  nuka unpin lua"}
	}
	var o profileOptions
	o.nameFlag(c)
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeInstalled(&o)
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 {
			return protocol.Errorf(protocol.Invalid, "%s: NAME is missing", c.Name()).WithHint("nuka list shows the installed packages")
		}
		t, err := a.begin(c.Context(), &o, c.Name()+" "+strings.Join(names, " "))
		if err != nil {
			return err
		}
		defer t.close()
		for _, name := range names {
			if err := t.mustHave(name); err != nil {
				return err
			}
			p := t.next.Packages[name]
			p.Pinned = pin
			t.next.Packages[name] = p
		}
		if len(t.changes()) == 0 {
			if a.json {
				return a.terminal.json(changeResult{Profile: o.name, Changes: []changed{}})
			}
			a.say("nothing changes: %s", strings.Join(names, ", "))
			return nil
		}
		return t.finish(c.Context())
	}
	return c
}

// completeInstalled completes the names of installed packages.
func (a *app) completeInstalled(o *profileOptions) cobra.CompletionFunc {
	return func(_ *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
		var list offers
		if dir, err := a.profile(o.name); err == nil {
			if g, err := dir.Current(); err == nil && g != nil {
				for name, p := range g.Packages {
					if !slices.Contains(before, name) {
						list.add(word, name, fmt.Sprintf("%s %s", name, p.Version))
					}
				}
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
